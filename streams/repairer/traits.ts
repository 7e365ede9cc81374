import type { SystemUser } from '../customer-engagement.ts';
import { type Identity, isUpn, nameKey } from '../identity.ts';

/** What a record and an account can have in common. */
export const TRAITS = ['upn', 'employeeid', 'email', 'names'] as const;
export type Trait = (typeof TRAITS)[number];

/** Whose value each account has, for the values that were asked for; objectGUIDs. */
export type TraitIndex = ReadonlyMap<string, readonly string[]>;

const OF_RECORD: Record<Trait, (record: SystemUser) => string> = {
  upn: ({ domainname }) => (isUpn(domainname) ? domainname : ''),
  employeeid: ({ employeeid }) => employeeid,
  email: ({ internalemailaddress }) => internalemailaddress,
  names: ({ firstname, lastname }) => joined(firstname, lastname),
};

/** An account can be written to under its UPN as well, whether or not that is its mail address. */
const OF_ACCOUNT: Record<Trait, (identity: Identity) => readonly string[]> = {
  upn: ({ userPrincipalName = '' }) => [userPrincipalName],
  employeeid: ({ employeeID }) => [typeof employeeID === 'string' ? employeeID : ''],
  email: ({ mail = '', userPrincipalName = '' }) => [...new Set([nameKey(mail), nameKey(userPrincipalName)])],
  names: ({ givenName = '', sn = '' }) => [joined(givenName, sn)],
};

/** The key of a record's value; undefined where it has none. */
export function traitKey(trait: Trait, record: SystemUser): string | undefined {
  return keyOf(trait, OF_RECORD[trait](record));
}

/** Looks through all accounts once, for those that have something in common with one of these records. */
export async function indexTraits(
  records: readonly SystemUser[],
  traits: readonly Trait[],
  identities: AsyncIterable<readonly Identity[]>,
): Promise<TraitIndex> {
  const wanted = new Map<string, string[]>();
  for (const record of records) {
    for (const trait of traits) {
      const key = traitKey(trait, record);
      if (key !== undefined) wanted.set(key, []);
    }
  }
  if (wanted.size === 0) return wanted;
  for await (const page of identities) {
    for (const identity of page) {
      for (const trait of traits) {
        for (const value of OF_ACCOUNT[trait](identity)) wanted.get(keyOf(trait, value) ?? '')?.push(identity.objectGUID);
      }
    }
  }
  return wanted;
}

function keyOf(trait: Trait, value: string): string | undefined {
  return value === '' ? undefined : `${trait} ${nameKey(value)}`;
}

/** Only both together say anything. */
function joined(first: string, last: string): string {
  return first === '' || last === '' ? '' : `${first}\n${last}`;
}
