import type { Identity } from '../../streams/identity.ts';
import { guidBytes, type Stamp, sidBytes, sidTextOf, type UpToDateVector } from './directory-values.ts';

export type Value = string | Buffer;
export type NewValues = Readonly<Record<string, Value | readonly Value[] | null>>;

/** An attribute with its metadata; without values it was cleared. */
export interface StoredAttribute {
  readonly type: string;
  readonly values: readonly Buffer[];
  readonly stamp: Stamp;
}

export interface StoredObject {
  readonly objectGUID: string;
  readonly dn: string;
  /** By lower-case type. */
  readonly attributes: ReadonlyMap<string, StoredAttribute>;
}

export interface FakeDirectoryOptions {
  readonly namingContext?: string;
  /** The domain that the forest is named after. Default: the naming context. */
  readonly forest?: string;
  /** NetBIOS name of the domain. */
  readonly domain?: string;
  /** dnsHostName. */
  readonly host?: string;
  readonly invocationId?: string;
  /** Deleted objects keep their attributes until they are recycled. */
  readonly recycleBin?: boolean;
}

export interface NewUser {
  readonly sAMAccountName: string;
  /** Default: the sAMAccountName. */
  readonly cn?: string;
  /** Default: the naming context. */
  readonly parent?: string;
  readonly attributes?: NewValues;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const PERSON = ['top', 'person', 'organizationalPerson', 'user'];
/** What an object keeps as a tombstone, and when it is recycled. */
const KEPT = ['objectclass', 'objectsid', 'samaccountname', 'useraccountcontrol', 'instancetype', 'isdeleted', 'lastknownparent'];
/** Seconds from 1601 to 1970. */
export const EPOCH = 11_644_473_600;

/**
 * The database of one domain controller of Active Directory: objects of any naming context, each attribute with its replication
 * metadata, tombstones, and replication from another one. It refuses nothing that a test asks for, not even one name twice.
 */
export class FakeDirectory {
  readonly namingContext: string;
  readonly domain: string;
  readonly host: string;
  readonly configuration: string;
  /** Of its own NTDS Settings. */
  readonly service: string;
  /** Those that are held here. A child domain is one more. */
  readonly namingContexts: string[];
  invocationId: string;
  recycleBin: boolean;
  highestCommittedUSN = 4_000;
  /** Milliseconds since 1970. */
  clock = Date.now;
  readonly #partners = new Map<string, number>();
  readonly #objects = new Map<string, Mutable<StoredObject> & { readonly attributes: Map<string, StoredAttribute> }>();
  readonly #listeners = new Set<(object: StoredObject) => void>();
  #lastNumber = 0;

  constructor(options: FakeDirectoryOptions = {}) {
    this.namingContext = options.namingContext ?? 'DC=corp,DC=example,DC=test';
    this.domain = options.domain ?? 'CORP';
    this.host = options.host ?? 'dc1.corp.example.test';
    this.invocationId = options.invocationId ?? 'd0000000-0000-4000-8000-000000000001';
    this.recycleBin = options.recycleBin ?? false;
    this.configuration = `CN=Configuration,${options.forest ?? this.namingContext}`;
    this.service = `CN=NTDS Settings,CN=${this.host.split('.')[0]},CN=Servers,CN=Sites,${this.configuration}`;
    this.namingContexts = [this.namingContext, this.configuration];
    this.add(this.namingContext, { objectClass: ['top', 'domain', 'domainDNS'] });
    this.add(this.service, { objectClass: ['top', 'nTDSDSA'], invocationId: guidBytes(this.invocationId) });
    this.addCrossRef(this.namingContext, this.domain);
  }

  /** What gives a naming context its NetBIOS name. */
  addCrossRef(namingContext: string, domain: string): string {
    const values = { objectClass: ['top', 'crossRef'], nCName: namingContext, nETBIOSName: domain };
    return this.add(`CN=${domain},CN=Partitions,${this.configuration}`, values);
  }

  /** Any object; @returns its objectGUID */
  add(dn: string, values: NewValues, objectGUID = this.#nextGuid()): string {
    this.#objects.set(objectGUID, { objectGUID, dn, attributes: new Map() });
    this.#write(objectGUID, { instanceType: '4', name: nameOf(dn), cn: nameOf(dn), ...values });
    return objectGUID;
  }

  /** An enabled account, unless the attributes say otherwise; @returns its objectGUID */
  addUser({ sAMAccountName, cn = sAMAccountName, parent = this.namingContext, attributes = {} }: NewUser): string {
    const objectGUID = this.#nextGuid();
    const objectSid = sidBytes(`S-1-5-21-1-2-3-${1_000 + this.#lastNumber}`);
    const values = { objectClass: PERSON, objectSid, sAMAccountName, userAccountControl: '512', ...attributes };
    return this.add(`CN=${cn},${parent}`, values, objectGUID);
  }

  /** Replaces attributes; null clears one. Values that are there already are not written again. */
  modify(objectGUID: string, values: NewValues): void {
    const { attributes } = this.object(objectGUID);
    const isNew = ([type, value]: [string, NewValues[string]]) => {
      const before = attributes.get(type.toLowerCase())?.values ?? [];
      const after = bytesOf(value ?? []);
      return before.length !== after.length || before.some((each, index) => !each.equals(after[index] ?? Buffer.alloc(0)));
    };
    const changed = Object.entries(values).filter(isNew);
    if (changed.length > 0) this.#write(objectGUID, Object.fromEntries(changed));
  }

  /** Another name, another parent or both. What is below it goes along, unseen as in Active Directory. */
  rename(objectGUID: string, dn: string): void {
    const before = this.object(objectGUID).dn;
    for (const each of this.#objects.values()) {
      if (isBelow(each.dn, before)) each.dn = each.dn.slice(0, each.dn.length - before.length) + dn;
    }
    this.#write(objectGUID, { name: nameOf(dn), cn: nameOf(dn) });
  }

  delete(objectGUID: string): void {
    const object = this.#objects.get(objectGUID);
    if (object === undefined || isDeleted(object)) throw new Error(`no living object ${objectGUID}`);
    const parent = parentOf(object.dn);
    const gone = this.recycleBin ? {} : this.#withoutMost(object);
    object.dn = `CN=${nameOf(object.dn)}\\0ADEL:${objectGUID},CN=Deleted Objects,${this.contextOf(object.dn)}`;
    this.#write(objectGUID, { ...gone, name: nameOf(object.dn), isDeleted: 'TRUE', lastKnownParent: parent });
  }

  /** To another domain of the forest, where it keeps its objectGUID and gets another objectSid. Here a deleted object is left. */
  moveTo(other: FakeDirectory, objectGUID: string, dn: string): void {
    const { attributes } = this.object(objectGUID);
    const values = Object.fromEntries([...attributes.values()].map(({ type, values }) => [type, values]));
    const [former] = values.objectSid ?? [];
    if (former === undefined) throw new Error(`${objectGUID} has no objectSid`);
    const objectSid = sidBytes(`S-1-5-21-4-5-6-${1_000 + former.readUInt32LE(former.length - 4)}`);
    other.add(dn, { ...values, objectSid, sIDHistory: former, name: nameOf(dn), cn: nameOf(dn) }, objectGUID);
    this.delete(objectGUID);
  }

  /** What time does to a deleted object where there is a recycle bin. */
  recycle(objectGUID: string): void {
    this.#write(objectGUID, this.#withoutMost(this.object(objectGUID)));
  }

  /** As the garbage collection does with what was deleted long ago. */
  forget(objectGUID: string): void {
    this.#objects.delete(objectGUID);
  }

  restore(objectGUID: string, dn: string): void {
    const object = this.#objects.get(objectGUID);
    if (object === undefined || !isDeleted(object)) throw new Error(`no deleted object ${objectGUID}`);
    object.dn = dn;
    this.#write(objectGUID, { isDeleted: null, isRecycled: null, lastKnownParent: null, name: nameOf(dn), cn: nameOf(dn) });
  }

  /** @returns what puts the database back to what it is now, numbers included: nobody is told */
  save(): () => void {
    const objects = [...this.#objects].map(([guid, object]) => [guid, { ...object, attributes: new Map(object.attributes) }] as const);
    const [usn, partners] = [this.highestCommittedUSN, [...this.#partners]];
    return () => {
      this.#objects.clear();
      for (const [guid, object] of objects) this.#objects.set(guid, { ...object, attributes: new Map(object.attributes) });
      this.#partners.clear();
      for (const [invocationId, seen] of partners) this.#partners.set(invocationId, seen);
      this.highestCommittedUSN = usn;
    };
  }

  /** As the database of a domain controller that was restored: what it wrote before is as another one's. */
  renew(invocationId: string): void {
    this.#partners.set(this.invocationId, this.highestCommittedUSN);
    this.invocationId = invocationId;
    const service = this.objects().find(({ dn }) => dn === this.service);
    if (service !== undefined) this.modify(service.objectGUID, { invocationId: guidBytes(invocationId) });
  }

  /** Takes what another domain controller has and this one has not, as replication does; conflicts go by version, time, invocationId. */
  pull(from: FakeDirectory, namingContext = this.namingContext): void {
    for (const theirs of from.objects().filter(({ dn }) => from.contextOf(dn) === namingContext)) {
      const ours = this.#objects.get(theirs.objectGUID) ?? { objectGUID: theirs.objectGUID, dn: theirs.dn, attributes: new Map() };
      const newer = [...theirs.attributes].filter(([type, { stamp }]) => isNewer(stamp, ours.attributes.get(type)?.stamp));
      if (newer.length === 0) continue;
      this.#objects.set(ours.objectGUID, ours);
      const localUsn = ++this.highestCommittedUSN;
      for (const [type, attribute] of newer) ours.attributes.set(type, { ...attribute, stamp: { ...attribute.stamp, localUsn } });
      if (newer.some(([type]) => type === 'name')) ours.dn = theirs.dn;
      this.#tell(ours);
    }
    for (const [invocationId, usn] of from.vector()) {
      if (invocationId !== this.invocationId) this.#partners.set(invocationId, Math.max(usn, this.#partners.get(invocationId) ?? 0));
    }
  }

  /** How far each other domain controller has been replicated, and this one's own place. */
  vector(): UpToDateVector {
    return new Map([...this.#partners, [this.invocationId, this.highestCommittedUSN]]);
  }

  object(objectGUID: string): StoredObject {
    const object = this.#objects.get(objectGUID);
    if (object === undefined) throw new Error(`no object ${objectGUID}`);
    return object;
  }

  objects(): StoredObject[] {
    return [...this.#objects.values()];
  }

  /** The naming context that an object of this name is in. */
  contextOf(dn: string): string {
    const around = this.namingContexts.filter((each) => isBelow(dn, each));
    return around.sort((a, b) => b.length - a.length)[0] ?? '';
  }

  /** Told of each object that is written. @returns what ends that */
  onChange(listener: (object: StoredObject) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The accounts of persons as they are now, said independently of any search. */
  identities(): Map<string, Identity> {
    return new Map(
      this.objects().flatMap((object) => {
        const identity = this.identity(object);
        return identity === undefined ? [] : [[object.objectGUID, identity]];
      }),
    );
  }

  /** Undefined when it is deleted, or no person's account. */
  identity({ objectGUID, dn, attributes }: StoredObject): Identity | undefined {
    const text = (type: string) => attributes.get(type.toLowerCase())?.values[0]?.toString();
    const classes = attributes.get('objectclass')?.values.map(String) ?? [];
    const sAMAccountName = text('sAMAccountName');
    if (this.contextOf(dn) !== this.namingContext || text('isDeleted') === 'TRUE' || sAMAccountName === undefined) return undefined;
    if (!classes.includes('user') || classes.includes('computer')) return undefined;
    const sid = attributes.get('objectsid')?.values[0];
    const identity: Identity = {
      objectGUID,
      domain: this.domain,
      sAMAccountName,
      enabled: (Number(text('userAccountControl')) & 2) === 0,
    };
    if (sid !== undefined) identity.objectSid = sidTextOf(sid);
    for (const type of ['userPrincipalName', 'displayName', 'givenName', 'sn', 'mail'] as const) {
      const value = text(type);
      if (value !== undefined) identity[type] = value;
    }
    return identity;
  }

  #withoutMost({ attributes }: StoredObject): NewValues {
    const gone = [...attributes.values()].filter(({ type, values }) => values.length > 0 && !KEPT.includes(type.toLowerCase()));
    return { ...Object.fromEntries(gone.map(({ type }) => [type, null])), isRecycled: 'TRUE' };
  }

  #write(objectGUID: string, values: NewValues): void {
    const object = this.#objects.get(objectGUID);
    if (object === undefined) throw new Error(`no object ${objectGUID}`);
    const usn = ++this.highestCommittedUSN;
    const time = Math.floor(this.clock() / 1_000) + EPOCH;
    for (const [type, value] of Object.entries(values)) {
      const before = object.attributes.get(type.toLowerCase());
      const stamp = { version: (before?.stamp.version ?? 0) + 1, time, invocationId: this.invocationId, usn, localUsn: usn };
      object.attributes.set(type.toLowerCase(), { type: before?.type ?? type, values: bytesOf(value ?? []), stamp });
    }
    this.#tell(object);
  }

  #tell(object: StoredObject): void {
    for (const listener of [...this.#listeners]) listener(object);
  }

  /** Tells in which order and by which domain controller objects were made. */
  #nextGuid(): string {
    this.#lastNumber += 1;
    return `${this.invocationId.slice(0, 8)}-0000-4000-9000-${this.invocationId.slice(-4)}${String(this.#lastNumber).padStart(8, '0')}`;
  }
}

export function isDeleted({ attributes }: StoredObject): boolean {
  return attributes.get('isdeleted')?.values[0]?.toString() === 'TRUE';
}

export function isRecycled({ attributes }: StoredObject): boolean {
  return attributes.get('isrecycled')?.values[0]?.toString() === 'TRUE';
}

export function parentOf(dn: string): string {
  return dn.replace(/^(?:[^,\\]|\\.)*,?/s, '');
}

/** Itself, or anywhere below. */
export function isBelow(dn: string, base: string): boolean {
  const [name, end] = [dn.toLowerCase(), base.toLowerCase()];
  return name === end || name.endsWith(`,${end}`);
}

/** The value of the first part. */
function nameOf(dn: string): string {
  const first = dn.slice(0, dn.length - parentOf(dn).length).replace(/,$/, '');
  const raw = first.slice(first.indexOf('=') + 1);
  return raw.replace(/\\(?:([0-9a-f]{2})|(.))/gis, (_, hex: string | undefined, other: string) =>
    hex === undefined ? other : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function bytesOf(values: Value | readonly Value[]): Buffer[] {
  return [values].flat().map((value) => Buffer.from(value as string));
}

function isNewer(theirs: Stamp, ours: Stamp | undefined): boolean {
  if (ours === undefined || theirs.version !== ours.version) return ours === undefined || theirs.version > ours.version;
  if (theirs.time !== ours.time) return theirs.time > ours.time;
  return theirs.invocationId > ours.invocationId;
}
