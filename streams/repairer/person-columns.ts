import { PERSON_COLUMNS, type PersonColumns, type SystemUser } from '../customer-engagement.ts';
import type { Identity } from '../identity.ts';
import type { Repair } from '../repair.ts';
import { sentOf } from './person-names.ts';

export function personOf({ firstname, lastname, internalemailaddress }: SystemUser): PersonColumns {
  return { firstname, lastname, internalemailaddress };
}

/**
 * A server may take first name, last name and e-mail from each account that a record is given (the opposite of assumption A4).
 *
 * @param now what the record shows after its user name was written
 * @returns what it took, or emptied, as it was before, or as it was written together with the user name
 */
export function takenFrom({ person, names }: Repair, identity: Identity, now: PersonColumns): Partial<PersonColumns> {
  if (person == null) return {};
  const ofAccount = { firstname: identity.givenName, lastname: identity.sn, internalemailaddress: identity.mail };
  const right = { ...person, ...sentOf(names) };
  // Anything else was written by a person meanwhile.
  const taken = PERSON_COLUMNS.filter(
    (column) => now[column] !== right[column] && (now[column] === '' || now[column] === ofAccount[column]),
  );
  return Object.fromEntries(taken.map((column) => [column, right[column]]));
}
