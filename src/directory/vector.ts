import type { Vector } from '../../streams/origin.ts';
import { joined } from '../../streams/origin.ts';
import { guidText } from './identifiers.ts';
import { recordOffsets } from './records.ts';

/** GUID, u64 USN, and in version 2 the time of the last replication. */
const SIZES = new Map([
  [1, 24],
  [2, 32],
]);

/**
 * An up-to-dateness vector as domain controllers store it and send it (MS-DRSR 5.166): what was seen of the others.
 *
 * @throws BlobError
 */
export function decodeVector(value: Buffer): Vector {
  return recordOffsets(value, SIZES).reduce<Vector>((vector, at) => {
    const invocationId = guidText(value.subarray(at, at + 16));
    return invocationId === undefined ? vector : joined(vector, { [invocationId]: String(value.readBigUInt64LE(at + 16)) });
  }, {});
}

const CURSOR = /<uuidSourceDsaInvocationID>\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*</i;
const CURSOR_USN = /<usnAttributeFilter>\s*(\d{1,20})\s*</i;

/** The same as the values of msDS-NCReplCursors have it: a piece of XML for each; what is none says nothing. */
export function parseCursors(values: readonly string[]): Vector {
  return values.reduce<Vector>((vector, value) => {
    const [, invocationId] = CURSOR.exec(value) ?? [];
    const [, usn] = CURSOR_USN.exec(value) ?? [];
    return invocationId === undefined || usn === undefined ? vector : joined(vector, { [invocationId.toLowerCase()]: usn });
  }, {});
}
