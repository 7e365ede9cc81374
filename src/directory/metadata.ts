import type { Origin } from '../../streams/origin.ts';
import { SECONDS_TO_1970 } from './file-time.ts';
import { guidText } from './identifiers.ts';
import { BlobError, recordOffsets } from './records.ts';

export interface AttributeWrite extends Origin {
  /** Update sequence number that it got on the domain controller that was asked. */
  readonly localUsn: string;
}

/**
 * The attributes whose writes count unless settings say otherwise, by the number that stands for each: the prefix of its OID in the table that is the same on every
 * domain controller (MS-ADTS 5.16.4), and the last part of its OID.
 */
export const ATTRIBUTE_IDS: ReadonlyMap<number, string> = new Map([
  [0x00000000, 'objectClass'], // 2.5.4.0
  [0x00000004, 'sn'], // 2.5.4.4
  [0x0000002a, 'givenName'], // 2.5.4.42
  [0x0002000d, 'displayName'], // 1.2.840.113556.1.2.13
  [0x00020030, 'isDeleted'], // 1.2.840.113556.1.2.48
  [0x00090008, 'userAccountControl'], // 1.2.840.113556.1.4.8
  [0x00090092, 'objectSid'], // 1.2.840.113556.1.4.146
  [0x000900dd, 'sAMAccountName'], // 1.2.840.113556.1.4.221
  [0x00090290, 'userPrincipalName'], // 1.2.840.113556.1.4.656
  [0x00150003, 'mail'], // 0.9.2342.19200300.100.1.3
]);

/** u32 attribute, u32 version, u64 time, GUID, u64 USN where it was written, u64 USN on the domain controller that was asked. */
const SIZES = new Map([[1, 48]]);
/** The end of the year 9999: ISO 8601 has no more without an agreement. */
const LAST = 253_402_300_799n + SECONDS_TO_1970;

/**
 * The writes that the values of an object come from, by attribute name: its replPropertyMetaData (MS-DRSR 5.116).
 *
 * @param unusable told of each record that cannot be used
 * @param ids the attributes whose writes count
 * @throws BlobError
 */
export function decodeMetadata(
  value: Buffer,
  unusable: (reason: string) => void,
  ids: ReadonlyMap<number, string> = ATTRIBUTE_IDS,
): Record<string, AttributeWrite> {
  const writes: Record<string, AttributeWrite> = {};
  for (const at of recordOffsets(value, SIZES)) {
    const name = ids.get(value.readUInt32LE(at));
    if (name === undefined) continue;
    try {
      writes[name] = decodeRecord(value, at);
    } catch (error) {
      if (!(error instanceof BlobError)) throw error;
      unusable(`the write of ${name} has ${error.message}`);
    }
  }
  return writes;
}

/** Every write that the values of an object come from, whatever the attribute; records that cannot be used are left out. @throws BlobError */
export function everyWrite(value: Buffer): AttributeWrite[] {
  return recordOffsets(value, SIZES).flatMap((at) => {
    try {
      return [decodeRecord(value, at)];
    } catch (error) {
      if (!(error instanceof BlobError)) throw error;
      return [];
    }
  });
}

function decodeRecord(value: Buffer, at: number): AttributeWrite {
  const seconds = value.readBigUInt64LE(at + 8);
  if (seconds > LAST) throw new BlobError(`a time that is none, ${seconds}`);
  const invocationId = guidText(value.subarray(at + 16, at + 32));
  if (invocationId === undefined) throw new BlobError('no invocationId');
  return {
    version: value.readUInt32LE(at + 4),
    time: new Date(Number(seconds - SECONDS_TO_1970) * 1_000).toISOString(),
    invocationId,
    usn: String(value.readBigUInt64LE(at + 32)),
    localUsn: String(value.readBigUInt64LE(at + 40)),
  };
}
