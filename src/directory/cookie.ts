import type { Vector } from '../../streams/origin.ts';
import { BlobError } from './records.ts';
import { decodeVector } from './vector.ts';

/** Where the vector begins: after "MSDS", version, time, two unknowns, the vector's length, the high watermark and an invocationId. */
const VECTOR = 68;
const VECTOR_LENGTH = 24;

/**
 * What a DirSync cookie says of what its owner has seen. Cookies are opaque and sent back as they came; looking into one is for what
 * nothing else tells as well, and whoever cannot must do without.
 *
 * @throws BlobError when it is none of the known kind
 */
export function vectorOfCookie(cookie: Buffer): Vector {
  if (cookie.length < VECTOR || cookie.toString('latin1', 0, 4) !== 'MSDS' || cookie.readUInt32LE(4) !== 3) {
    throw new BlobError('a cookie of an unknown kind');
  }
  return cookie.readUInt32LE(VECTOR_LENGTH) === 0 ? {} : decodeVector(cookie.subarray(VECTOR));
}
