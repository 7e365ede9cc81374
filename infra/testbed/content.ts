/** Who is in the test bed's domains before anything happens. */

/** Given name, surname, sAMAccountName. */
type NewPerson = readonly [string, string, string];

/** A domain: what it is called and the people in it, to tell stories with. */
export interface DomainPlan {
  readonly realm: string;
  readonly netbios: string;
  readonly people: readonly NewPerson[];
}

export const ADMINISTRATOR = 'administrator';
/** The account of the product: replication of changes and sight of deleted objects, no more. */
export const LISTENER = 'svc-namesake';
/** The account the CE stand-in looks names up with; no special rights. */
export const LOOKUP = 'svc-crm';

export const CORP: DomainPlan = {
  realm: 'CORP.EXAMPLE.TEST',
  netbios: 'CORP',
  people: [
    ['Ann', 'Lee', 'alee'],
    ['Ben', 'Okafor', 'bokafor'],
    ['Carla', 'Mendes', 'cmendes'],
    ['Dag', 'Lindqvist', 'dlindqvist'],
    ['Emi', 'Tanaka', 'etanaka'],
    ['Farid', 'Haddad', 'fhaddad'],
    ['Greta', 'Novak', 'gnovak'],
    ['Hugo', 'Bernard', 'hbernard'],
  ],
};

/** Another forest. One of its names is also in the first, as happens. */
export const PARTNER: DomainPlan = {
  realm: 'PARTNER.EXAMPLE.TEST',
  netbios: 'PARTNER',
  people: [
    ['Alex', 'Lee', 'alee'],
    ['Ines', 'Costa', 'icosta'],
    ['Jonas', 'Weber', 'jweber'],
    ['Kaya', 'Demir', 'kdemir'],
  ],
};

/** Enabled accounts of nobody, for user names that are in between. */
export const PARKING: readonly string[] = Array.from({ length: 8 }, (_, index) => `ns-park-${String(index + 1).padStart(2, '0')}`);

/** The bulk user of this number, counted from 1, as provision.py makes it. */
export function bulkUser(number: number): { readonly givenName: string; readonly sn: string; readonly sAMAccountName: string } {
  const digits = String(number).padStart(5, '0');
  return { givenName: 'Bulk', sn: `User ${digits}`, sAMAccountName: `user${digits}` };
}
