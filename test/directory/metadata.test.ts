import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vectorOfCookie } from '../../src/directory/cookie.ts';
import { ATTRIBUTE_IDS, decodeMetadata } from '../../src/directory/metadata.ts';
import { BlobError } from '../../src/directory/records.ts';
import { decodeVector, parseCursors } from '../../src/directory/vector.ts';
import { Origin, Vector } from '../../streams/origin.ts';
import { cookieBlob, metadata, vectorBlob } from './blobs.ts';

const usn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const invocationId = fc.uuid();
const time = fc
  .integer({ min: Date.parse('1601-01-01T00:00:00Z') / 1_000, max: Date.parse('9999-12-31T23:59:59Z') / 1_000 })
  .map((seconds) => new Date(seconds * 1_000).toISOString());
const write = fc.record({ version: fc.nat(0xffff_ffff), time, invocationId, usn, localUsn: usn });
const vector = fc.dictionary(invocationId, usn, { maxKeys: 20 });

/** What a stored value becomes on the way: bytes lost, added and changed. */
const damaged = (value: fc.Arbitrary<Buffer>) =>
  fc
    .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat(255))), fc.nat(), fc.uint8Array({ maxLength: 60 }))
    .map(([bytes, changes, cut, more]) => {
      const copy = Buffer.concat([bytes.subarray(0, cut % 3 === 0 ? cut % (bytes.length + 1) : bytes.length), more]);
      for (const [place, byte] of changes) if (copy.length > 0) copy[place % copy.length] = byte;
      return copy;
    });
const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const writes = fc.uniqueArray(fc.tuple(fc.constantFrom(...ATTRIBUTE_IDS.keys(), 3, 0x00090001, 0x8000_0001), write), {
  selector: ([attribute]) => attribute,
});

/** What a decoder makes of bytes, unless it says that they are none of its kind. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(BlobError);
    return undefined;
  }
}

const never = (reason: string) => expect.unreachable(reason);

describe('replPropertyMetaData', () => {
  it('gives the writes of the watched attributes as they were', () => {
    fc.assert(
      fc.property(writes, (list) => {
        const expected = list.flatMap(([attribute, each]) => {
          const name = ATTRIBUTE_IDS.get(attribute);
          return name === undefined ? [] : [[name, each]];
        });
        expect(decodeMetadata(metadata(list), never)).toEqual(Object.fromEntries(expected));
      }),
    );
  });

  it('is read as a domain controller writes it', () => {
    const value =
      '01000000' +
      '00000000' +
      '01000000' +
      '00000000' +
      'dd000900' +
      '02000000' +
      'e066182103000000' +
      'ce6778541545ac48a6d7fc0396e6560a' +
      '660f000000000000' +
      '670f000000000000';
    expect(decodeMetadata(Buffer.from(value, 'hex'), never)).toEqual({
      sAMAccountName: {
        version: 2,
        time: '2026-11-26T06:46:56.000Z',
        invocationId: '547867ce-4515-48ac-a6d7-fc0396e6560a',
        usn: '3942',
        localUsn: '3943',
      },
    });
  });

  it('is set aside when it is something else, and never gives a write that is none', () => {
    fc.assert(
      fc.property(fc.oneof(anyBytes, damaged(writes.map(metadata))), (value) => {
        const decoded = attempt(() => decodeMetadata(value, () => {})) ?? {};
        for (const each of Object.values(decoded)) {
          expect(Origin.safeParse(each).error).toBeUndefined();
          expect(each.localUsn).toMatch(/^\d+$/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('loses a write of an impossible time, with a reason, and no other', () => {
    const good = {
      version: 1,
      time: '2026-01-02T03:04:05.000Z',
      invocationId: '547867ce-4515-48ac-a6d7-fc0396e6560a',
      usn: '1',
      localUsn: '2',
    };
    const value = metadata([
      [0x4, good],
      [0x2a, good],
    ]);
    value.writeBigUInt64LE(2n ** 64n - 1n, 16 + 8);
    const unusable: string[] = [];
    expect(decodeMetadata(value, (reason) => unusable.push(reason))).toEqual({ givenName: good });
    expect(unusable).toEqual([expect.stringContaining('sn')]);
  });

  it('does not believe a count', () => {
    const value = Buffer.alloc(16);
    value.writeUInt32LE(1, 0);
    value.writeUInt32LE(0xffff_ffff, 8);
    expect(() => decodeMetadata(value, never)).toThrow(BlobError);
  });
});

describe('an up-to-dateness vector', () => {
  it.each([1, 2] as const)('of version %i is read as it was written', (version) => {
    fc.assert(fc.property(vector, (each) => void expect(decodeVector(vectorBlob(each, version))).toEqual(each)));
  });

  it('is found in a cookie', () => {
    fc.assert(fc.property(vector, (each) => void expect(vectorOfCookie(cookieBlob(each))).toEqual(each)));
  });

  it.each([
    ['stored', decodeVector, vectorBlob],
    ['in a cookie', vectorOfCookie, cookieBlob],
  ] as const)('%s that is something else is set aside, and never gives what is none', (_, decode, encode) => {
    const values = fc.oneof(anyBytes, damaged(vector.map((each) => encode(each))));
    fc.assert(
      fc.property(values, (value) => {
        expect(Vector.safeParse(attempt(() => decode(value)) ?? {}).error).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });

  it('is read from cursors, those that are none left out', () => {
    const cursor = (id: string, number: string) =>
      `<DS_REPL_CURSOR>\n\t<uuidSourceDsaInvocationID>${id}</uuidSourceDsaInvocationID>\n\t<usnAttributeFilter>${number}</usnAttributeFilter>\n` +
      '\t<ftimeLastSyncSuccess>2026-01-02T03:04:05Z</ftimeLastSyncSuccess>\n\t<pszSourceDsaDN></pszSourceDsaDN>\n</DS_REPL_CURSOR>\n\0';
    const one = '547867CE-4515-48AC-A6D7-FC0396E6560A';
    expect(parseCursors([cursor(one, '18446744073709551615'), cursor(one, '7'), cursor('nobody', '1'), cursor(one, 'many'), ''])).toEqual({
      [one.toLowerCase()]: '18446744073709551615',
    });
    fc.assert(fc.property(fc.array(fc.string()), (values) => void expect(parseCursors(values)).toEqual({})));
  });
});
