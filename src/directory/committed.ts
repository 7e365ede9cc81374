import { AndFilter, Control, type Filter, GreaterThanEqualsFilter, LessThanEqualsFilter } from 'ldapts';
import type { Position } from '../../streams/position.ts';
import type { LdapConnection } from './connection.ts';
import { SHOW_DELETED, SHOW_RECYCLED } from './controls.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { type AttributeWrite, everyWrite } from './metadata.ts';
import { BlobError } from './records.ts';
import { timeOf } from './replication.ts';
import { type DomainController, readRootDse } from './root-dse.ts';
import { findEntries } from './search.ts';

/** The last number that a domain controller has given to a write, and when that was by its own clock, in milliseconds since 1970. */
export interface Committed {
  readonly usn: string;
  readonly at: number | undefined;
}

export async function readCommitted(connection: LdapConnection): Promise<Committed> {
  const rootDse = await readRootDse(connection, ['highestCommittedUSN', 'currentTime']);
  return { usn: rootDse.usn('highestCommittedUSN'), at: timeOf(rootDse.texts('currentTime')[0]) };
}

/** For a position; empty where the domain controller does not tell its time. */
export function shownNow(invocationId: string, usn: string, at: number | undefined): Position['shown'] {
  return at === undefined ? {} : { [invocationId]: { usn, at: new Date(at).toISOString() } };
}

/** Numbers that are looked at on either side: no more objects than a domain controller gives of one search. */
const LOOKED_AT = 900n;
/** Times of the directory are whole seconds. */
const OWN_CLOCK = 1_000;
/** Clocks of domain controllers differ by 5 minutes at most, or nobody could log on. */
const OTHER_CLOCK = 600_000;

/**
 * Whether a domain controller has given out numbers a second time: its database was put back to an earlier state, and has come up to
 * where it had been by writing other things. Whatever has one of the numbers that had been shown must have been written by then. An
 * object that was written again since has a higher number, and tells of the lower one by its other attributes.
 *
 * @returns the number; undefined where there is none
 * @throws Unanswered where the domain controller does not tell
 * @throws DirectoryError
 */
export async function givenTwice(connection: LdapConnection, { shown }: Position, here: DomainController): Promise<string | undefined> {
  const known = shown[here.invocationId];
  if (known === undefined || BigInt(here.highestCommittedUSN) < BigInt(known.usn)) return undefined;
  const last = BigInt(known.usn);
  const up: Range = { first: last > LOOKED_AT ? last - LOOKED_AT + 1n : 1n, last };
  const on: Range = { first: last + 1n, last: last + LOOKED_AT };
  const clock = { invocationId: here.invocationId, now: here.replication.now };
  const second = (entries: readonly LdapEntry[]) =>
    entries.flatMap((entry) => secondWrite(writesOf(entry), known, clock) ?? [])[0]?.localUsn;
  // When an object was changed at all is told in fewer bytes than when each of its attributes was.
  const isLater = (entry: LdapEntry) => (timeOf(String(valuesOf(entry, 'whenChanged')[0])) ?? 0) > Date.parse(known.at) + OWN_CLOCK;
  const isSuspect = (await lastWritten(connection, here, up, 'whenChanged')).some(isLater);
  const found = isSuspect ? second(await lastWritten(connection, here, up, 'replPropertyMetaData')) : undefined;
  return found ?? second(await lastWritten(connection, here, on, 'replPropertyMetaData'));
}

/**
 * The write that has a number which had been given before it was made.
 *
 * @param shown the highest number that was given by then, by the clock of the domain controller
 * @param here the domain controller, and what its clock shows now
 */
export function secondWrite(
  writes: readonly AttributeWrite[],
  shown: Position['shown'][string],
  here: { readonly invocationId: string; readonly now: number },
): AttributeWrite | undefined {
  return writes.find(({ invocationId, time, localUsn }) => {
    const clock = invocationId === here.invocationId ? OWN_CLOCK : OTHER_CLOCK;
    // What lies in the future was written by a clock that was wrong.
    const isLater = Date.parse(time) > Date.parse(shown.at) + clock && Date.parse(time) <= here.now + clock;
    return isLater && BigInt(localUsn) <= BigInt(shown.usn);
  });
}

/** Of uSNChanged, both ends included. */
interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** Objects by the number of their last write, deleted ones too. */
async function lastWritten(
  connection: LdapConnection,
  { namingContext }: DomainController,
  { first, last }: Range,
  attribute: string,
): Promise<LdapEntry[]> {
  const filters: Filter[] = [
    new GreaterThanEqualsFilter({ attribute: 'uSNChanged', value: String(first) }),
    new LessThanEqualsFilter({ attribute: 'uSNChanged', value: String(last) }),
  ];
  const query = {
    baseDN: namingContext,
    scope: 'sub' as const,
    filter: new AndFilter({ filters }),
    attributes: [attribute],
    controls: [new Control(SHOW_DELETED), new Control(SHOW_RECYCLED)],
  };
  return await findEntries(connection, query, 'the look at the last numbers', { atMost: Number(LOOKED_AT), isOptional: true });
}

/** None where they are not shown, or are none. */
function writesOf(entry: LdapEntry): AttributeWrite[] {
  const [value] = valuesOf(entry, 'replPropertyMetaData');
  try {
    return Buffer.isBuffer(value) ? everyWrite(value) : [];
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    return [];
  }
}
