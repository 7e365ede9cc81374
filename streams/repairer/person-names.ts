import type { PersonNames, SystemUser } from '../customer-engagement.ts';
import type { Identity } from '../identity.ts';
import type { Repair } from '../repair.ts';

/**
 * Longest first and last name, in UTF-16 code units.
 * https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/entities/systemuser
 */
const LONGEST = 64;

/** Columns of systemuser and the attributes that they follow. */
const COLUMNS = [
  { column: 'firstname', attribute: 'givenName', called: 'first name' },
  { column: 'lastname', attribute: 'sn', called: 'last name' },
] as const;

/**
 * First and last name of an account as they are to be written to its record. What the account does not have stays as it is, since both columns
 * are required; what is too long for its column is left out, never cut.
 *
 * @returns undefined when there is nothing to write and nothing to tell
 */
export function namesToWrite(identity: Identity, record: SystemUser): NonNullable<Repair['names']> | undefined {
  const names: { firstname?: string; lastname?: string } = {};
  const leftOut: string[] = [];
  for (const { column, attribute, called } of COLUMNS) {
    const name = identity[attribute];
    if (name === undefined || name === record[column]) continue;
    if (name.length <= LONGEST) names[column] = name;
    else leftOut.push(`the ${called} (${attribute}) has ${name.length} characters and ${column} takes ${LONGEST}: it was left as it is`);
  }
  if (Object.keys(names).length === 0 && leftOut.length === 0) return undefined;
  return { ...names, ...(leftOut.length > 0 && { leftOut: leftOut.join('; ') }) };
}

/** What of them is sent; undefined when nothing is. */
export function sentOf(names: Repair['names']): PersonNames | undefined {
  if (names === undefined || names.refused) return undefined;
  const { firstname, lastname } = names;
  if (firstname === undefined && lastname === undefined) return undefined;
  return { ...(firstname !== undefined && { firstname }), ...(lastname !== undefined && { lastname }) };
}

/** Whether both say that the same is sent. */
export function sendSame(one: Repair['names'], other: Repair['names']): boolean {
  const [a, b] = [sentOf(one), sentOf(other)];
  return a?.firstname === b?.firstname && a?.lastname === b?.lastname;
}

/** Behind what is told of the user name: ` with first name Ann, last name Lee`; empty where nothing is sent. */
export function tellNames(names: Repair['names']): string {
  const sent = sentOf(names);
  if (sent === undefined) return '';
  const told = COLUMNS.flatMap(({ column, called }) => (sent[column] === undefined ? [] : [`${called} ${sent[column]}`]));
  return ` with ${told.join(', ')}`;
}
