/** Who is in the test bed's domain before anything happens. */

export const REALM = 'CORP.EXAMPLE.TEST';
export const NETBIOS = 'CORP';
export const HOST_NAME = 'DC1';
export const ADMINISTRATOR = 'administrator';
/** The account of the product: replication of changes and sight of deleted objects, no more. */
export const LISTENER = 'svc-namesake';
/** The account the CE stand-in looks names up with; no special rights. */
export const LOOKUP = 'svc-crm';

/** Given name, surname, sAMAccountName: people to tell stories with. */
export const PEOPLE: readonly (readonly [string, string, string])[] = [
  ['Ann', 'Lee', 'alee'],
  ['Ben', 'Okafor', 'bokafor'],
  ['Carla', 'Mendes', 'cmendes'],
  ['Dag', 'Lindqvist', 'dlindqvist'],
  ['Emi', 'Tanaka', 'etanaka'],
  ['Farid', 'Haddad', 'fhaddad'],
  ['Greta', 'Novak', 'gnovak'],
  ['Hugo', 'Bernard', 'hbernard'],
];

/** Enabled accounts of nobody, for user names that are in between. */
export const PARKING: readonly string[] = Array.from({ length: 8 }, (_, index) => `ns-park-${String(index + 1).padStart(2, '0')}`);

/** The bulk user of this number, counted from 1, as provision.py makes it. */
export function bulkUser(number: number): { readonly givenName: string; readonly sn: string; readonly sAMAccountName: string } {
  const digits = String(number).padStart(5, '0');
  return { givenName: 'Bulk', sn: `User ${digits}`, sAMAccountName: `user${digits}` };
}
