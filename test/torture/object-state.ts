import { type Client, Control, type Entry, NoSuchObjectError } from 'ldapts';
import type { Identity } from '../../streams/identity.ts';
import { guidTextOf, sidTextOf } from '../support/directory-values.ts';

/** Where a value was written, as replication metadata tell it. Written apart from the product's own reading of them. */
export interface Stamp {
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly invocationId: string;
  readonly usn: string;
}

/** One account as one domain controller shows it. */
export interface ObjectState {
  readonly objectGUID: string;
  readonly dn: string;
  /** Absent where nothing is set. `enabled` is `true` or `false`; `isDeleted` is `true` or absent. */
  readonly values: Readonly<Record<string, string>>;
  /** By the name that the attribute has among the values, and of objectClass. */
  readonly stamps: Readonly<Record<string, Stamp>>;
}

const TEXTS = ['userPrincipalName', 'displayName', 'givenName', 'sn', 'mail'] as const;
const BINARY = ['objectGUID', 'objectSid', 'replPropertyMetaData'];
const ATTRIBUTES = [...BINARY, 'sAMAccountName', 'userAccountControl', 'isDeleted', ...TEXTS];
const SHOW_DELETED = new Control('1.2.840.113556.1.4.417', { critical: true });
const DISABLED = 0x2;

/** By the number that replication metadata have for them. */
const STAMPED: ReadonlyMap<number, string> = new Map([
  [0x0, 'objectClass'],
  [0x4, 'sn'],
  [0x2a, 'givenName'],
  [0x2_000d, 'displayName'],
  [0x2_0030, 'isDeleted'],
  [0x9_0008, 'enabled'],
  [0x9_00dd, 'sAMAccountName'],
  [0x9_0290, 'userPrincipalName'],
  [0x15_0003, 'mail'],
]);

/** The account of this objectGUID, deleted or not; undefined when this domain controller has never heard of it. */
export async function readObject(client: Client, objectGUID: string): Promise<ObjectState | undefined> {
  const options = { scope: 'base', attributes: ATTRIBUTES, explicitBufferAttributes: BINARY } as const;
  try {
    const { searchEntries } = await client.search(`<GUID=${objectGUID}>`, options, SHOW_DELETED);
    return searchEntries[0] && stateOf(searchEntries[0]);
  } catch (error) {
    if (error instanceof NoSuchObjectError) return undefined;
    throw error;
  }
}

/** Every living account that is followed, by objectGUID, as an ordinary search shows it. */
export async function readIdentities(
  client: Client,
  namingContext: string,
  domain: string,
  isFollowed: (dn: string) => boolean,
): Promise<Map<string, Identity>> {
  const { searchEntries } = await client.search(namingContext, {
    filter: '(&(objectClass=user)(!(objectClass=computer)))',
    attributes: ATTRIBUTES,
    explicitBufferAttributes: BINARY,
    paged: true,
  });
  return new Map(
    searchEntries
      .filter(({ dn }) => isFollowed(dn))
      .map((entry): [string, Identity] => {
        const { objectGUID, values } = stateOf(entry);
        // Whom an ordinary search shows is alive, also where a conflict left the place or the mark of a deleted one.
        const { enabled, sAMAccountName = '', isDeleted: _, ...profile } = values;
        const objectSid = sidTextOf(entry.objectSid as Buffer);
        return [objectGUID, { objectGUID, objectSid, domain, sAMAccountName, enabled: enabled === 'true', ...profile }];
      }),
  );
}

function stateOf(entry: Entry): ObjectState {
  const values: Record<string, string> = {};
  for (const name of ['sAMAccountName', ...TEXTS]) {
    const value = entry[name];
    if (typeof value === 'string') values[name] = value;
  }
  values.enabled = String((Number(entry.userAccountControl) & DISABLED) === 0);
  const deleted = entry.isDeleted === 'TRUE' || /\\0ADEL:[^,]*,CN=Deleted Objects,/i.test(entry.dn);
  if (deleted) values.isDeleted = 'true';
  return { objectGUID: guidTextOf(entry.objectGUID as Buffer), dn: entry.dn, values, stamps: stampsOf(entry) };
}

/** A header of 16 bytes, then 48 for each attribute: number, version, seconds since 1601, invocationId, USN there, USN here. */
function stampsOf(entry: Entry): Record<string, Stamp> {
  const bytes = entry.replPropertyMetaData;
  const stamps: Record<string, Stamp> = {};
  if (!Buffer.isBuffer(bytes)) return stamps;
  for (let at = 16; at + 48 <= bytes.length; at += 48) {
    const name = STAMPED.get(bytes.readUInt32LE(at));
    if (name === undefined) continue;
    stamps[name] = {
      version: bytes.readUInt32LE(at + 4),
      time: (Number(bytes.readBigUInt64LE(at + 8)) - 11_644_473_600) * 1_000,
      invocationId: guidTextOf(bytes.subarray(at + 16, at + 32)),
      usn: String(bytes.readBigUInt64LE(at + 32)),
    };
  }
  return stamps;
}

/** The order in which the directory settles conflicts: version, then time, then invocationId. */
export function isNewerStamp(one: Stamp, other: Stamp): boolean {
  if (one.version !== other.version) return one.version > other.version;
  if (one.time !== other.time) return one.time > other.time;
  return one.invocationId > other.invocationId;
}
