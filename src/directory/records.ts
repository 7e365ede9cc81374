/** Bytes that are not the structure they should be. */
export class BlobError extends Error {
  override readonly name = 'BlobError';
}

const HEADER = 16;

/**
 * Where the records begin of a structure as the directory stores several: u32 version, u32 reserved, u32 count, u32 reserved, then the records,
 * little-endian (MS-DRSR 5.116, 5.166).
 *
 * @param sizes bytes of a record by version
 * @returns offsets in the value, each with a whole record behind it
 * @throws BlobError
 */
export function recordOffsets(value: Buffer, sizes: ReadonlyMap<number, number>): number[] {
  if (value.length < HEADER) throw new BlobError(`${value.length} bytes, too few for a header`);
  const version = value.readUInt32LE(0);
  const size = sizes.get(version);
  if (size === undefined) throw new BlobError(`an unknown version, ${version}`);
  const count = value.readUInt32LE(8);
  if (HEADER + count * size > value.length) throw new BlobError(`${value.length} bytes, too few for ${count} records of ${size}`);
  return Array.from({ length: count }, (_, index) => HEADER + index * size);
}
