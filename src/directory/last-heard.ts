import { guidText } from './identifiers.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { BlobError, recordsOf } from './records.ts';

/** When a domain controller last took over what was new on another one, in milliseconds since 1970, by the invocationId of that. */
export type LastHeard = ReadonlyMap<string, number>;

/** Only the second version of the vector has times, at the end of its records. */
const SIZES = new Map([[2, 32]]);
const SECONDS_TO_1970 = 11_644_473_600n;
/** Windows counts seconds since 1601 (UPTODATE_CURSOR_V2 of MS-DRSR), Samba tenths of microseconds; today they are far below this, and far above. */
const LARGEST_SECONDS = 10n ** 13n;

/** From the head of a naming context: its vector, and the same in words, which Windows has. What cannot be read is not known. */
export function lastHeard(head: LdapEntry | undefined): LastHeard {
  const texts = valuesOf(head, 'msDS-NCReplCursors').map((value) => value.toString());
  return new Map([...valuesOf(head, 'replUpToDateVector').flatMap(ofVector), ...texts.flatMap(ofText)]);
}

function ofVector(value: Buffer): [string, number][] {
  try {
    return recordsOf(value, SIZES).map((record) => [guidText(record.subarray(0, 16)) ?? '', millisecondsOf(record.readBigUInt64LE(24))]);
  } catch (error) {
    if (error instanceof BlobError) return [];
    throw error;
  }
}

function ofText(text: string): [string, number][] {
  const invocationId = /<uuidSourceDsaInvocationID>\s*([0-9a-f-]{36})\s*</i.exec(text)?.[1];
  const time = Date.parse(/<ftimeLastSyncSuccess>\s*([^<\s]+)\s*</i.exec(text)?.[1] ?? '');
  return invocationId === undefined || Number.isNaN(time) ? [] : [[invocationId.toLowerCase(), time]];
}

function millisecondsOf(time: bigint): number {
  const milliseconds = time < LARGEST_SECONDS ? time * 1_000n : time / 10_000n;
  return Number(milliseconds - SECONDS_TO_1970 * 1_000n);
}
