import { BerReader, BerWriter } from 'ldapts';
import { cookieValue, type DirSyncCookie, guidBytes, metadataValue, readCookie, upToDateVectorValue } from './directory-values.ts';
import { EPOCH, FakeDirectory, isBelow, isDeleted, isRecycled, parentOf, type StoredObject } from './fake-directory.ts';
import { matches } from './ldap-filter.ts';
import { type Answer, type Attributes, bindResponse, extendedResponse, type LdapRequest, searchDone, searchEntry } from './ldap-server.ts';

export const DIRSYNC = '1.2.840.113556.1.4.841';
export const NOTIFICATION = '1.2.840.113556.1.4.528';
export const PAGED_RESULTS = '1.2.840.113556.1.4.319';
const SHOW_DELETED = '1.2.840.113556.1.4.417';
const SHOW_RECYCLED = '1.2.840.113556.1.4.2064';
const IN_CHAIN = '1.2.840.113556.1.4.1941';

export const BIND = 0x60;
export const SEARCH = 0x63;
const EXTENDED = 0x77;

/** Where answers go: a client of the server, or whatever stands before it. */
export interface Peer {
  readonly closed: boolean;
  send(...messages: readonly Buffer[]): unknown;
}

export interface Refusal {
  readonly code: number;
  readonly diagnostic?: string;
}

/** Not replicated, or the name in the DN: no DirSync answer has them. */
const NEVER_IN_DIRSYNC = new Set(['usnchanged', 'replpropertymetadata', 'repluptodatevector', 'distinguishedname', 'cn', 'parentguid']);

/**
 * Answers LDAP requests from a directory as a domain controller does: searches with their filters, DirSync with cookies and as many
 * answers as it takes, pages, change notification. `refuse` and `rootDse` make it one that does not.
 */
export class FakeDomainController {
  readonly directory: FakeDirectory;
  /** Asked before each request; undefined lets it pass. */
  refuse: (request: LdapRequest) => Refusal | undefined = () => undefined;
  /** Laid over what it says of itself. */
  rootDse: Attributes = {};
  /** Objects of one DirSync answer at most. */
  objectsPerAnswer = 1_000;
  /** What is left of paged searches, by cookie. */
  readonly #rest = new Map<string, readonly StoredObject[]>();
  #cookies = 0;

  constructor(directory = new FakeDirectory()) {
    this.directory = directory;
  }

  /** For LdapServer.start. */
  readonly answer: Answer = (request, client) => this.respond(request, client);

  respond(request: LdapRequest, peer: Peer): void {
    const { id, operation, controls } = request;
    const refusal = this.refuse(request);
    if (operation === BIND) peer.send(bindResponse(id, refusal?.code, refusal?.diagnostic));
    else if (operation === EXTENDED) peer.send(extendedResponse(id, refusal?.code ?? 2, refusal?.diagnostic ?? 'unknown'));
    else if (operation !== SEARCH) return;
    else if (refusal !== undefined) peer.send(searchDone(id, refusal.code, refusal.diagnostic));
    else if (controls.has(NOTIFICATION)) this.#notify(request, peer);
    else if (controls.has(DIRSYNC)) this.#dirSync(request, peer);
    else this.#search(request, peer);
  }

  #search(request: LdapRequest, peer: Peer): void {
    const { id, baseDN, scope } = request;
    if (baseDN === '' && scope === 'base') {
      const rootDse: Attributes = { ...this.#ownRootDse(), ...this.rootDse };
      const chosen = request.attributes.flatMap((name) => (rootDse[name] === undefined ? [] : [[name, rootDse[name]] as const]));
      peer.send(searchEntry(id, '', Object.fromEntries(chosen)), searchDone(id));
      return;
    }
    const visible = this.directory.objects().filter((object) => isVisible(object, request));
    const base = visible.find(({ objectGUID, dn }) => {
      const name = baseDN.toLowerCase();
      return name === dn.toLowerCase() || name === `<guid=${objectGUID}>`;
    });
    // Containers are taken for granted: nobody has to make the ones on the way.
    const from = base?.dn ?? (visible.some(({ dn }) => isBelow(dn, baseDN)) && scope !== 'base' ? baseDN : undefined);
    if (from === undefined) {
      peer.send(searchDone(id, 32, '0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT)'));
      return;
    }
    const context = this.directory.contextOf(from);
    const inScope = (dn: string) =>
      scope === 'base' ? dn === from : scope === 'one' ? isBelow(dn, from) && parentOf(dn).length === from.length : isBelow(dn, from);
    const found = visible.filter(({ dn }) => this.directory.contextOf(dn) === context && inScope(dn));
    const passing = found.filter((object) => this.#passes(object, request));
    const paging = request.controls.get(PAGED_RESULTS);
    if (paging === undefined) peer.send(...passing.map((object) => this.#entry(request, object)), searchDone(id));
    else this.#page(request, passing, paging, peer);
  }

  /** In the order of the index that a search by uSNChanged uses, each as it is when its page is asked for. */
  #page(request: LdapRequest, found: readonly StoredObject[], paging: Buffer, peer: Peer): void {
    const reader = new BerReader(paging);
    reader.readSequence();
    const size = Math.min(reader.readInt() ?? 0, this.objectsPerAnswer);
    const cookie = reader.readString() ?? '';
    const due = cookie === '' ? found.toSorted((a, b) => usnChanged(a) - usnChanged(b)) : (this.#rest.get(cookie) ?? []);
    this.#rest.delete(cookie);
    const next = due.length > size ? String(++this.#cookies) : '';
    if (next !== '') this.#rest.set(next, due.slice(size));
    peer.send(...due.slice(0, size).map((object) => this.#entry(request, object)), pagedDone(request.id, next));
  }

  #entry({ id, attributes: wanted }: LdapRequest, object: StoredObject): Buffer {
    const names = wanted.length === 0 || wanted.includes('*') ? [...object.attributes.values()].map(({ type }) => type) : wanted;
    const present = names
      .map((name) => [typeOf(object, name), this.#values(object, name)] as const)
      .filter(([, values]) => values.length > 0);
    return searchEntry(id, object.dn, Object.fromEntries(present));
  }

  /** Also of what is made up when it is asked for. */
  #values(object: StoredObject, name: string): readonly Buffer[] {
    const { objectGUID, dn, attributes } = object;
    switch (name.toLowerCase()) {
      case 'objectguid':
        return [guidBytes(objectGUID)];
      case 'distinguishedname':
        return [Buffer.from(dn)];
      case 'usnchanged':
        return [Buffer.from(String(usnChanged(object)))];
      case 'whenchanged':
        return [Buffer.from(generalizedTime((Math.max(...[...attributes.values()].map(({ stamp }) => stamp.time)) - EPOCH) * 1_000))];
      case 'replpropertymetadata':
        return [metadataValue([...attributes.values()].map(({ type, stamp }) => [type, stamp]))];
      case 'repluptodatevector': {
        const partners = [...this.directory.vector()].filter(([invocationId]) => invocationId !== this.directory.invocationId);
        return dn === this.directory.contextOf(dn) && partners.length > 0 ? [upToDateVectorValue(new Map(partners))] : [];
      }
      case 'memberof':
        return this.#groupsOf(dn).map((group) => Buffer.from(group));
      case `memberof:${IN_CHAIN}`:
        return this.#allGroupsOf(dn).map((group) => Buffer.from(group));
      default:
        return attributes.get(name.toLowerCase())?.values ?? [];
    }
  }

  /** Members are written as objectGUIDs, as a database keeps links: they stay whatever their objects are called. */
  #groupsOf(dn: string): string[] {
    const member = this.directory.objects().find((object) => object.dn === dn)?.objectGUID ?? '';
    const isGroup = (object: StoredObject) => object.attributes.get('member')?.values.some((value) => value.toString() === member) === true;
    return this.directory
      .objects()
      .filter((object) => isGroup(object) && !isDeleted(object))
      .map((object) => object.dn);
  }

  #allGroupsOf(dn: string, found: string[] = []): string[] {
    for (const group of this.#groupsOf(dn)) {
      if (found.includes(group)) continue;
      found.push(group);
      this.#allGroupsOf(group, found);
    }
    return found;
  }

  #passes(object: StoredObject, { filter }: LdapRequest): boolean {
    return filter === undefined || matches(filter, (attribute) => this.#values(object, attribute));
  }

  #dirSync(request: LdapRequest, peer: Peer): void {
    const { id, baseDN } = request;
    const { directory } = this;
    const asked = readRequestCookie(request.controls.get(DIRSYNC) ?? Buffer.alloc(0));
    const cookie = asked.length === 0 ? undefined : readCookie(asked);
    if (!directory.namingContexts.some((each) => each.toLowerCase() === baseDN.toLowerCase())) {
      peer.send(searchDone(id, 50, '00002105: LdapErr: no naming context'));
      return;
    }
    if (asked.length > 0 && cookie === undefined) {
      peer.send(searchDone(id, 2, '0000203D: LdapErr: DSID-0C090B1B, comment: Error processing control, data 0, v4563\0'));
      return;
    }
    const vector = cookie?.vector ?? new Map<string, number>();
    // Another one's numbers of objects mean nothing here; what its vector covers has been sent all the same.
    const highest = cookie?.invocationId === directory.invocationId ? cookie.highest : 0;
    const due = directory
      .objects()
      .filter((object) => directory.contextOf(object.dn) === directory.contextOf(baseDN) && usnChanged(object) > highest)
      .filter((object) => this.#passes(object, request))
      .sort((a, b) => usnChanged(a) - usnChanged(b));
    const now = due.slice(0, this.objectsPerAnswer);
    const more = now.length < due.length;
    const entries = now.flatMap((object) => this.#delta(request, object, vector, cookie === undefined) ?? []);
    const reached = now.at(-1);
    const next: DirSyncCookie =
      more && reached !== undefined
        ? { invocationId: directory.invocationId, highest: usnChanged(reached), vector }
        : { invocationId: directory.invocationId, highest: directory.highestCommittedUSN, vector: directory.vector() };
    peer.send(...entries, dirSyncDone(id, cookieValue(next), more));
  }

  /** What an object has that the vector does not cover; cleared attributes are told to whoever may know their values. */
  #delta(
    { id, attributes: wanted }: LdapRequest,
    object: StoredObject,
    vector: DirSyncCookie['vector'],
    first: boolean,
  ): Buffer | undefined {
    const asked = new Set(wanted.map((name) => name.toLowerCase()));
    const changed = [...object.attributes].filter(
      ([name, { values, stamp }]) =>
        asked.has(name) &&
        !NEVER_IN_DIRSYNC.has(name) &&
        stamp.usn > (vector.get(stamp.invocationId) ?? 0) &&
        !(first && values.length === 0),
    );
    if (changed.length === 0) return undefined;
    const parent = this.directory.objects().find(({ dn }) => dn === parentOf(object.dn));
    const isNamed = changed.some(([name]) => name === 'name') && parent !== undefined;
    return searchEntry(id, object.dn, {
      ...Object.fromEntries(changed.map(([, { type, values }]) => [type, values])),
      ...(isNamed && { parentGUID: [guidBytes(parent.objectGUID)] }),
      objectGUID: [guidBytes(object.objectGUID)],
      instanceType: ['4'],
    });
  }

  #notify(request: LdapRequest, peer: Peer): void {
    const { id, baseDN, filter } = request;
    if (filter?.type !== 'present' || filter.attribute.toLowerCase() !== 'objectclass') {
      peer.send(searchDone(id, 53, '000020AE: SvcErr: DSID-03140404, problem 5003 (WILL_NOT_PERFORM)'));
      return;
    }
    const end = this.directory.onChange((object) => {
      if (peer.closed) end();
      else if (isVisible(object, request) && isBelow(object.dn, baseDN)) peer.send(this.#entry(request, object));
    });
  }

  #ownRootDse(): Attributes {
    const { directory } = this;
    return {
      defaultNamingContext: [directory.namingContext],
      configurationNamingContext: [directory.configuration],
      namingContexts: directory.namingContexts,
      dnsHostName: [directory.host],
      dsServiceName: [directory.service],
      highestCommittedUSN: [String(directory.highestCommittedUSN)],
      currentTime: [generalizedTime(directory.clock())],
      isSynchronized: ['TRUE'],
      supportedControl: [DIRSYNC, NOTIFICATION, SHOW_DELETED, SHOW_RECYCLED],
    };
  }
}

/** The end of one answer of a paged read; without a cookie, of the last one. */
export function pagedDone(id: number, cookie = ''): Buffer {
  const writer = new BerWriter();
  writer.startSequence();
  writer.writeInt(0);
  writer.writeBuffer(Buffer.from(cookie), 4);
  writer.endSequence();
  return searchDone(id, 0, '', { [PAGED_RESULTS]: Buffer.from(writer.buffer) });
}

/** The end of a DirSync answer. */
export function dirSyncDone(id: number, cookieOrText: Buffer | string, more = false): Buffer {
  const cookie = Buffer.from(cookieOrText as string);
  const writer = new BerWriter({ size: cookie.length + 64 });
  writer.startSequence();
  writer.writeInt(more ? 1 : 0);
  writer.writeInt(0);
  writer.writeBuffer(cookie, 4);
  writer.endSequence();
  return searchDone(id, 0, '', { [DIRSYNC]: Buffer.from(writer.buffer) });
}

/** The cookie in a request's control value. */
export function readRequestCookie(value: Buffer): Buffer {
  const reader = new BerReader(value);
  reader.readSequence();
  reader.readInt();
  reader.readInt();
  return reader.readString(4, true) ?? Buffer.alloc(0);
}

/** Whole seconds in UTC: 20260102030405.0Z. */
function generalizedTime(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}.0Z`;
}

function isVisible(object: StoredObject, { controls }: LdapRequest): boolean {
  if (!isDeleted(object) || controls.has(SHOW_RECYCLED)) return true;
  // Without a recycle bin a tombstone is marked as recycled and shown all the same; with one it keeps its attributes until then.
  return controls.has(SHOW_DELETED) && !(isRecycled(object) && wasInRecycleBin(object));
}

function wasInRecycleBin({ attributes }: StoredObject): boolean {
  return attributes.get('isrecycled')?.stamp.usn !== attributes.get('isdeleted')?.stamp.usn;
}

function usnChanged({ attributes }: StoredObject): number {
  return Math.max(0, ...[...attributes.values()].map(({ stamp }) => stamp.localUsn));
}

function typeOf({ attributes }: StoredObject, name: string): string {
  return attributes.get(name.toLowerCase())?.type ?? name;
}
