/** Binary values as a domain controller stores them. Written apart from the product's own, so that each can show the other wrong. */

/** @param text 8-4-4-4-12; the first three fields are little-endian (MS-DTYP 2.3.4.3) */
export function guidBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  for (const [start, end] of [
    [0, 4],
    [4, 6],
    [6, 8],
  ])
    bytes.subarray(start, end).reverse();
  return bytes;
}

/** Lower-case text of 16 bytes. */
export function guidTextOf(bytes: Buffer): string {
  const hex = guidBytes(bytes.toString('hex')).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @param text S-1-5-21-… */
export function sidBytes(text: string): Buffer {
  const [revision = 1, authority = 0, ...parts] = text.split('-').slice(1).map(Number);
  const bytes = Buffer.alloc(8 + 4 * parts.length);
  bytes.writeUInt8(revision, 0);
  bytes.writeUInt8(parts.length, 1);
  bytes.writeUIntBE(authority, 2, 6);
  for (const [index, part] of parts.entries()) bytes.writeUInt32LE(part, 8 + 4 * index);
  return bytes;
}

/** S-1-5-21-… */
export function sidTextOf(bytes: Buffer): string {
  const parts = Array.from({ length: bytes.readUInt8(1) }, (_, index) => bytes.readUInt32LE(8 + 4 * index));
  return ['S', bytes.readUInt8(0), bytes.readUIntBE(2, 6), ...parts].join('-');
}

/** Where and when an attribute was written, equal on every domain controller but for `localUsn`. */
export interface Stamp {
  readonly version: number;
  /** Seconds since 1601. */
  readonly time: number;
  /** Of the domain controller that was written to. */
  readonly invocationId: string;
  /** There. */
  readonly usn: number;
  /** Here. */
  readonly localUsn: number;
}

/** Of the attributes that tests look at (MS-ADA); an attribute without one has no metadata. */
const ATTRIBUTE_IDS: ReadonlyMap<string, number> = new Map([
  ['objectclass', 0x0],
  ['cn', 0x3],
  ['sn', 0x4],
  ['title', 0xc],
  ['description', 0xd],
  ['givenname', 0x2a],
  ['instancetype', 0x2_0001],
  ['displayname', 0x2_000d],
  ['isdeleted', 0x2_0030],
  ['name', 0x9_0001],
  ['useraccountcontrol', 0x9_0008],
  ['objectsid', 0x9_0092],
  ['samaccountname', 0x9_00dd],
  ['userprincipalname', 0x9_0290],
  ['lastknownparent', 0x9_030d],
  ['isrecycled', 0x9_080a],
  ['mail', 0x15_0003],
]);

/** replPropertyMetaData: a header of 16 bytes, and 48 for each attribute. */
export function metadataValue(stamps: Iterable<readonly [attribute: string, Stamp]>): Buffer {
  const known = [...stamps].flatMap(([attribute, stamp]) => {
    const id = ATTRIBUTE_IDS.get(attribute.toLowerCase());
    return id === undefined ? [] : [{ id, stamp }];
  });
  const bytes = Buffer.alloc(16 + 48 * known.length);
  bytes.writeUInt32LE(1, 0);
  bytes.writeUInt32LE(known.length, 8);
  for (const [index, { id, stamp }] of known.sort((a, b) => a.id - b.id).entries()) {
    const at = 16 + 48 * index;
    bytes.writeUInt32LE(id, at);
    bytes.writeUInt32LE(stamp.version, at + 4);
    bytes.writeBigUInt64LE(BigInt(stamp.time), at + 8);
    guidBytes(stamp.invocationId).copy(bytes, at + 16);
    bytes.writeBigUInt64LE(BigInt(stamp.usn), at + 32);
    bytes.writeBigUInt64LE(BigInt(stamp.localUsn), at + 40);
  }
  return bytes;
}

/** Up to which originating USN of each domain controller, by invocationId, everything is here. */
export type UpToDateVector = ReadonlyMap<string, number>;

/** replUpToDateVector, in its second version: a header of 16 bytes, and 32 for each domain controller. */
export function upToDateVectorValue(vector: UpToDateVector): Buffer {
  const bytes = Buffer.alloc(16 + 32 * vector.size);
  bytes.writeUInt32LE(2, 0);
  bytes.writeUInt32LE(vector.size, 8);
  for (const [index, [invocationId, usn]] of [...vector].entries()) {
    guidBytes(invocationId).copy(bytes, 16 + 32 * index);
    bytes.writeBigUInt64LE(BigInt(usn), 32 + 32 * index);
  }
  return bytes;
}

/** Where a DirSync reader stands. */
export interface DirSyncCookie {
  readonly invocationId: string;
  /** Objects up to this uSNChanged have been sent. */
  readonly highest: number;
  /** Attributes that it covers have been sent; grows only with the end of a read. */
  readonly vector: UpToDateVector;
}

/** As Samba lays it out: "MSDS", the usual header of 68 bytes, the vector of 24 bytes for each domain controller. */
export function cookieValue({ invocationId, highest, vector }: DirSyncCookie): Buffer {
  const bytes = Buffer.alloc(84 + 24 * vector.size);
  bytes.write('MSDS', 0, 'latin1');
  bytes.writeUInt32LE(3, 4);
  bytes.writeUInt32LE(bytes.length - 68, 24);
  bytes.writeBigUInt64LE(BigInt(highest), 28);
  bytes.writeBigUInt64LE(BigInt(highest), 44);
  guidBytes(invocationId).copy(bytes, 52);
  bytes.writeUInt32LE(1, 68);
  bytes.writeUInt32LE(vector.size, 76);
  for (const [index, [from, usn]] of [...vector].entries()) {
    guidBytes(from).copy(bytes, 84 + 24 * index);
    bytes.writeBigUInt64LE(BigInt(usn), 100 + 24 * index);
  }
  return bytes;
}

/** @returns undefined when the bytes are no cookie */
export function readCookie(bytes: Buffer): DirSyncCookie | undefined {
  if (bytes.length < 84 || bytes.toString('latin1', 0, 4) !== 'MSDS') return undefined;
  const count = bytes.readUInt32LE(76);
  if (bytes.length !== 84 + 24 * count) return undefined;
  const records = Array.from({ length: count }, (_, index) => bytes.subarray(84 + 24 * index, 108 + 24 * index));
  return {
    invocationId: guidTextOf(bytes.subarray(52, 68)),
    highest: Number(bytes.readBigUInt64LE(44)),
    vector: new Map(records.map((record) => [guidTextOf(record.subarray(0, 16)), Number(record.readBigUInt64LE(16))])),
  };
}
