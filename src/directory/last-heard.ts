import { fromFileTime, SECONDS_TO_1970 } from './file-time.ts';
import { guidText } from './identifiers.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { BlobError, recordOffsets } from './records.ts';

/** When a domain controller last took over what was new on another one, in milliseconds since 1970, by the invocationId of that. */
export type LastHeard = ReadonlyMap<string, number>;

type Time = readonly [invocationId: string, milliseconds: number];

/**
 * From the head of a naming context: of all others in the vector, and in words in msDS-NCReplCursors, which Windows has; of those it
 * replicates with itself in repsFrom. Samba has nothing but the last. What cannot be read is not known.
 */
export function lastHeard(head: LdapEntry | undefined): LastHeard {
  const times: Time[] = [
    ...valuesOf(head, 'replUpToDateVector').flatMap(ofVector),
    ...valuesOf(head, 'msDS-NCReplCursors').flatMap((value) => ofText(value.toString())),
    ...valuesOf(head, 'repsFrom').flatMap(ofPartner),
  ];
  const latest = new Map<string, number>();
  for (const [invocationId, time] of times) {
    // Samba's vector says of each that it was in 1970.
    if (time > 0) latest.set(invocationId, Math.max(time, latest.get(invocationId) ?? 0));
  }
  return latest;
}

/** Only the second version of the vector has times, at the end of its records (UPTODATE_CURSOR_V2 of MS-DRSR). */
const SIZES = new Map([[2, 32]]);

function ofVector(value: Buffer): Time[] {
  try {
    return recordOffsets(value, SIZES).map((at) => [
      guidText(value.subarray(at, at + 16)) ?? '',
      millisecondsOf(value.readBigUInt64LE(at + 24)),
    ]);
  } catch (error) {
    if (error instanceof BlobError) return [];
    throw error;
  }
}

function ofText(text: string): Time[] {
  const invocationId = /<uuidSourceDsaInvocationID>\s*([0-9a-f-]{36})\s*</i.exec(text)?.[1];
  const time = Date.parse(/<ftimeLastSyncSuccess>\s*([^<\s]+)\s*</i.exec(text)?.[1] ?? '');
  return invocationId === undefined || Number.isNaN(time) ? [] : [[invocationId.toLowerCase(), time]];
}

/** REPS_FROM of MS-DRSR: offsets of the last success and of the partner's invocationId. */
const LAST_SUCCESS = 16;
const PARTNER = 176;

function ofPartner(value: Buffer): Time[] {
  const invocationId = guidText(value.subarray(PARTNER, PARTNER + 16));
  const isKnown = invocationId !== undefined && value.readUInt32LE(0) === 1;
  return isKnown ? [[invocationId, millisecondsOf(value.readBigUInt64LE(LAST_SUCCESS))]] : [];
}

/** Times are seconds since 1601, in Samba's vector tenths of microseconds; today the one is far below this, the other far above. */
const LARGEST_SECONDS = 10n ** 13n;

function millisecondsOf(time: bigint): number {
  return time < LARGEST_SECONDS ? Number(time - SECONDS_TO_1970) * 1_000 : fromFileTime(time);
}
