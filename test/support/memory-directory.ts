import type { WholeObject } from '../../streams/directory-source.ts';
import type { Identity } from '../../streams/identity.ts';
import type { Observation, SeenAttributes } from '../../streams/observation.ts';
import { covers, isNewer, joined, type Origin, type Vector } from '../../streams/origin.ts';

type Optional = 'userPrincipalName' | 'displayName' | 'givenName' | 'sn' | 'mail' | 'title';
const OPTIONAL: readonly Optional[] = ['userPrincipalName', 'displayName', 'givenName', 'sn', 'mail', 'title'];
/** What every account has; a deletion clears the rest. */
const KEPT = ['objectClass', 'objectSid', 'sAMAccountName', 'userAccountControl'] as const;

type Attribute = (typeof KEPT)[number] | Optional;

interface Value {
  readonly value: string | number | boolean | readonly string[] | null;
  readonly origin: Origin;
  /** When it came to this domain controller. */
  readonly localUsn: number;
}

interface Account {
  readonly objectGUID: string;
  /** What was never set is not there. */
  readonly values: Map<Attribute | 'isDeleted', Value>;
}

export interface NewAccount {
  readonly sAMAccountName: string;
  readonly enabled?: boolean;
  readonly objectClass?: readonly string[];
  readonly profile?: Partial<Record<Optional, string>>;
}

export const PERSON = ['top', 'person', 'organizationalPerson', 'user'];
export const COMPUTER = [...PERSON, 'computer'];

const FIRST_DIGIT = { account: 'a', record: 'c', database: 'd' } as const;

/** objectGUIDs, systemuserids and invocationIds that tell which is which. */
export function guid(kind: keyof typeof FIRST_DIGIT, number: number): string {
  return `${FIRST_DIGIT[kind]}0000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/**
 * A domain controller in memory. Reports what changed as DirSync does: the attributes that changed since, at their present values, each
 * object once however often it was changed, tombstones, and objects that came back without their name. Replicates with others and
 * settles conflicts as Active Directory does.
 */
export class MemoryDirectory {
  readonly domain: string;
  readonly dc: string;
  invocationId: string;
  usn = 0;
  #accounts = new Map<string, Account>();
  #vector: Vector = {};
  readonly #numbers: { next: number };

  /** @param numbers of accounts, shared by the domain controllers of one forest */
  constructor({ number = 1, numbers = { next: 1 }, domain = 'CORP' } = {}) {
    this.domain = domain;
    this.dc = `dc${number}`;
    this.invocationId = guid('database', number);
    this.#numbers = numbers;
  }

  /** Undefined when the name is in use. */
  create({ sAMAccountName, enabled = true, objectClass = PERSON, profile = {} }: NewAccount): string | undefined {
    if (this.holder(sAMAccountName) !== undefined) return undefined;
    const number = this.#numbers.next++;
    const objectGUID = guid('account', number);
    this.#accounts.set(objectGUID, { objectGUID, values: new Map() });
    const values = { objectClass, objectSid: `S-1-5-21-1-2-3-${1000 + number}`, sAMAccountName, ...profile };
    this.#write(objectGUID, { ...values, userAccountControl: enabled ? 0x200 : 0x202 });
    return objectGUID;
  }

  /** False, and nothing happens, when the name is in use or the account gone. */
  rename(objectGUID: string, sAMAccountName: string): boolean {
    const holder = this.holder(sAMAccountName);
    return (holder === undefined || holder === objectGUID) && this.#set(objectGUID, { sAMAccountName });
  }

  /** The two end with each other's name, over a temporary one. */
  swap(one: string, other: string): boolean {
    const [a, b] = [this.nameOf(one), this.nameOf(other)];
    if (one === other || a === undefined || b === undefined) return false;
    return this.rename(one, `tmp-${this.usn}`) && this.rename(other, a) && this.rename(one, b);
  }

  set(objectGUID: string, values: Partial<Record<Optional, string | null>>): boolean {
    return this.#set(objectGUID, values);
  }

  enable(objectGUID: string, enabled: boolean): boolean {
    return this.#set(objectGUID, { userAccountControl: enabled ? 0x200 : 0x202 });
  }

  delete(objectGUID: string): boolean {
    const account = this.#accounts.get(objectGUID);
    if (account === undefined || isDeleted(account)) return false;
    const cleared = OPTIONAL.filter((attribute) => account.values.has(attribute)).map((attribute) => [attribute, null]);
    this.#write(objectGUID, { ...Object.fromEntries(cleared), isDeleted: true });
    return true;
  }

  /** With the name that it had, or another one; false when that is in use. */
  restore(objectGUID: string, sAMAccountName?: string): boolean {
    const account = this.#get(objectGUID);
    const name = sAMAccountName ?? String(attributeOf(account, 'sAMAccountName'));
    if (!isDeleted(account) || this.holder(name) !== undefined) return false;
    this.#write(objectGUID, { isDeleted: null });
    return sAMAccountName === undefined || this.#set(objectGUID, { sAMAccountName });
  }

  /**
   * Moves it to another domain of the forest, where it keeps its objectGUID and has a new objectSid. False when the name is in use there.
   *
   * @param trace false: nothing says that it was here
   */
  moveTo(other: MemoryDirectory, objectGUID: string, { trace = true } = {}): boolean {
    const { objectSid, ...values } = Object.fromEntries([...this.#get(objectGUID).values].map(([name, { value }]) => [name, value]));
    const isThere = other.holder(String(values.sAMAccountName)) !== undefined;
    if (values.isDeleted === true || isThere) return false;
    other.#accounts.set(objectGUID, { objectGUID, values: new Map() });
    other.#write(objectGUID, { ...values, objectSid: `${objectSid}-${other.domain}` });
    if (trace) this.delete(objectGUID);
    else this.forget(objectGUID);
    return true;
  }

  /** As the garbage collection does once the lifetime of its tombstone is over. */
  forget(objectGUID: string): void {
    this.#accounts.delete(objectGUID);
  }

  /** objectGUID of the living account of this name. */
  holderOfUpn(userPrincipalName: string): string | undefined {
    const alive = [...this.#accounts.values()].filter((account) => !isDeleted(account));
    const holder = alive.find(
      (account) => String(attributeOf(account, 'userPrincipalName')).toLowerCase() === userPrincipalName.toLowerCase(),
    );
    return holder?.objectGUID;
  }

  holder(sAMAccountName: string): string | undefined {
    for (const { objectGUID } of this.#accounts.values()) {
      if (this.nameOf(objectGUID)?.toLowerCase() === sAMAccountName.toLowerCase()) return objectGUID;
    }
    return undefined;
  }

  /** Undefined when it is gone. */
  nameOf(objectGUID: string): string | undefined {
    const account = this.#accounts.get(objectGUID);
    return account === undefined || isDeleted(account) ? undefined : String(attributeOf(account, 'sAMAccountName'));
  }

  guids(): string[] {
    return [...this.#accounts.keys()];
  }

  /** What this domain controller has seen. */
  vector(): Vector {
    return { ...this.#vector, [this.invocationId]: String(this.usn) };
  }

  /** Takes over what the other one has seen. */
  replicateFrom(other: MemoryDirectory): void {
    const seen = this.vector();
    for (const { objectGUID, values } of other.#accounts.values()) {
      const mine = this.#accounts.get(objectGUID) ?? { objectGUID, values: new Map() };
      this.#accounts.set(objectGUID, mine);
      for (const [attribute, theirs] of values) {
        if (covers(seen, theirs.origin)) continue;
        const own = mine.values.get(attribute);
        if (own === undefined || isNewer(theirs.origin, own.origin)) mine.values.set(attribute, { ...theirs, localUsn: ++this.usn });
      }
    }
    const { [this.invocationId]: _, ...others } = joined(this.#vector, other.vector());
    this.#vector = others;
  }

  /** A copy of the database; putting it back is a roll-back. */
  save(): () => void {
    const saved = structuredClone({ accounts: this.#accounts, usn: this.usn, vector: this.#vector });
    return () => {
      const { accounts, usn, vector } = structuredClone(saved);
      this.#accounts = accounts;
      this.usn = usn;
      this.#vector = vector;
    };
  }

  /**
   * What changed after this USN, in the order of the last change of each object.
   *
   * @param seen writes that are known already, wherever they were made
   */
  changesSince(usn: number, seen: Vector = {}): Observation[] {
    const isNew = ({ origin, localUsn }: Value) => localUsn > usn && !covers(seen, origin);
    return [...this.#accounts.values()]
      .map((account) => ({ account, last: Math.max(0, ...[...account.values.values()].filter(isNew).map(({ localUsn }) => localUsn)) }))
      .filter(({ last }) => last > 0)
      .sort((a, b) => a.last - b.last)
      .map(({ account }) => this.#observe(account, isNew, usn === 0 && Object.keys(seen).length === 0));
  }

  readObject(objectGUID: string): WholeObject | undefined {
    const account = this.#accounts.get(objectGUID);
    if (account === undefined) return undefined;
    const writes = [...account.values].map(([attribute, { origin, localUsn }]) => {
      return [attribute, { ...origin, dc: `of ${origin.invocationId}`, localUsn: String(localUsn) }];
    });
    return { ...this.#observe(account, () => true, true), deleted: isDeleted(account), writes: Object.fromEntries(writes) };
  }

  /** The persons as they are now, said independently of any observation. */
  identities(): Map<string, Identity> {
    const identities = new Map<string, Identity>();
    for (const account of this.#accounts.values()) {
      const classes = attributeOf(account, 'objectClass');
      if (isDeleted(account) || (Array.isArray(classes) && classes.includes('computer'))) continue;
      const { objectGUID } = account;
      const identity: Identity = {
        objectGUID,
        objectSid: String(attributeOf(account, 'objectSid')),
        domain: this.domain,
        sAMAccountName: String(attributeOf(account, 'sAMAccountName')),
        enabled: attributeOf(account, 'userAccountControl') === 0x200,
      };
      for (const attribute of OPTIONAL) {
        const value = attributeOf(account, attribute);
        if (typeof value === 'string') identity[attribute] = value;
      }
      identities.set(objectGUID, identity);
    }
    return identities;
  }

  #observe({ objectGUID, values }: Account, isNew: (value: Value) => boolean, isWhole: boolean): Observation {
    const dn = `CN=${objectGUID},DC=corp,DC=example,DC=test`;
    const changed = [...values].filter(([, value]) => isNew(value)).map(([attribute, { value }]) => [attribute, value] as const);
    const unset = isWhole ? OPTIONAL.map((attribute) => [attribute, null] as const) : [];
    const { isDeleted, ...seen } = Object.fromEntries([...unset, ...changed]);
    if (isDeleted !== undefined) return { objectGUID, dn, deleted: isDeleted === true, seen: seen as SeenAttributes };
    return { objectGUID, dn, seen: seen as SeenAttributes };
  }

  #set(objectGUID: string, values: Partial<Record<Attribute, string | number | null>>): boolean {
    const account = this.#get(objectGUID);
    if (isDeleted(account)) return false;
    this.#write(objectGUID, values);
    return true;
  }

  /** One originating write of some attributes. */
  #write(objectGUID: string, values: Partial<Record<Attribute | 'isDeleted', Value['value']>>): void {
    const account = this.#get(objectGUID);
    const usn = ++this.usn;
    const time = `${new Date().toISOString().slice(0, 19)}Z`;
    for (const [attribute, value] of Object.entries(values) as [Attribute | 'isDeleted', Value['value']][]) {
      const version = (account.values.get(attribute)?.origin.version ?? 0) + 1;
      const origin = { version, time, invocationId: this.invocationId, usn: String(usn) };
      account.values.set(attribute, { value, origin, localUsn: usn });
    }
  }

  #get(objectGUID: string): Account {
    const account = this.#accounts.get(objectGUID);
    if (account === undefined) throw new Error(`no account ${objectGUID}`);
    return account;
  }
}

function attributeOf({ values }: Account, attribute: Attribute | 'isDeleted'): Value['value'] | undefined {
  return values.get(attribute)?.value;
}

function isDeleted(account: Account): boolean {
  return attributeOf(account, 'isDeleted') === true;
}
