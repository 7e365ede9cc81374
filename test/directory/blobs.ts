import { guidBytes } from '../../src/directory/identifiers.ts';
import type { Origin, Vector } from '../../streams/origin.ts';

/** Seconds from 1601 to 1970. */
const EPOCH = 11_644_473_600;

function records(version: number, list: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(version, 0);
  header.writeUInt32LE(list.length, 8);
  return Buffer.concat([header, ...list]);
}

/** replPropertyMetaData as a domain controller stores it, by attribute number. */
export function metadata(
  writes: readonly (readonly [
    attribute: number,
    write: Pick<Origin, 'version' | 'time' | 'invocationId' | 'usn'> & { localUsn: string },
  ])[],
): Buffer {
  return records(
    1,
    writes.map(([attribute, { version, time, invocationId, usn, localUsn }]) => {
      const record = Buffer.alloc(48);
      record.writeUInt32LE(attribute, 0);
      record.writeUInt32LE(version, 4);
      record.writeBigUInt64LE(BigInt(Date.parse(time) / 1_000 + EPOCH), 8);
      guidBytes(invocationId).copy(record, 16);
      record.writeBigUInt64LE(BigInt(usn), 32);
      record.writeBigUInt64LE(BigInt(localUsn), 40);
      return record;
    }),
  );
}

/** replUpToDateVector, which has a time after each number in version 2. */
export function vectorBlob(vector: Vector, version: 1 | 2 = 2): Buffer {
  return records(
    version,
    Object.entries(vector).map(([invocationId, usn]) => {
      const record = Buffer.alloc(version === 2 ? 32 : 24);
      guidBytes(invocationId).copy(record);
      record.writeBigUInt64LE(BigInt(usn), 16);
      return record;
    }),
  );
}

/** A DirSync cookie of the kind that domain controllers give. */
export function cookieBlob(vector: Vector): Buffer {
  const head = Buffer.alloc(68);
  head.write('MSDS', 'latin1');
  head.writeUInt32LE(3, 4);
  const tail = vectorBlob(vector, 1);
  head.writeUInt32LE(tail.length, 24);
  return Buffer.concat([head, tail]);
}
