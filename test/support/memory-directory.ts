import type { Identity } from '../../streams/identity.ts';
import type { Observation, SeenAttributes } from '../../streams/observation.ts';

type Optional = 'userPrincipalName' | 'displayName' | 'givenName' | 'sn' | 'mail';
const OPTIONAL: readonly Optional[] = ['userPrincipalName', 'displayName', 'givenName', 'sn', 'mail'];
/** A deletion keeps these and clears the rest. */
const KEPT = ['objectClass', 'objectSid', 'sAMAccountName', 'userAccountControl'] as const;

type Attribute = (typeof KEPT)[number] | Optional;

interface Account {
  readonly objectGUID: string;
  readonly values: Map<Attribute, string | number | readonly string[] | null>;
  /** When each attribute was changed last. */
  readonly usns: Map<Attribute | 'isDeleted', number>;
  deleted: boolean;
}

export interface NewAccount {
  readonly sAMAccountName: string;
  readonly enabled?: boolean;
  readonly objectClass?: readonly string[];
  readonly profile?: Partial<Record<Optional, string>>;
}

export const PERSON = ['top', 'person', 'organizationalPerson', 'user'];
export const COMPUTER = [...PERSON, 'computer'];

/** objectGUIDs and systemuserids that tell which is which. */
export function guid(kind: 'account' | 'record', number: number): string {
  return `${kind === 'account' ? 'a' : 'c'}0000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/**
 * A directory of accounts that reports what changed as DirSync does: the attributes that changed since, at their present
 * values, each object once however often it was changed, tombstones, and objects that came back without their name.
 */
export class MemoryDirectory {
  readonly domain = 'CORP';
  usn = 0;
  readonly #accounts = new Map<string, Account>();

  /** Undefined when the name is in use. */
  create({ sAMAccountName, enabled = true, objectClass = PERSON, profile = {} }: NewAccount): string | undefined {
    if (this.holder(sAMAccountName) !== undefined) return undefined;
    const objectGUID = guid('account', this.#accounts.size + 1);
    const account: Account = { objectGUID, values: new Map(), usns: new Map(), deleted: false };
    this.#accounts.set(objectGUID, account);
    const usn = ++this.usn;
    const values = { objectClass, objectSid: `S-1-5-21-1-2-3-${1000 + this.#accounts.size}`, sAMAccountName, ...profile };
    for (const [attribute, value] of Object.entries({ ...values, userAccountControl: enabled ? 0x200 : 0x202 })) {
      account.values.set(attribute as Attribute, value);
      account.usns.set(attribute as Attribute, usn);
    }
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
    if (!this.#set(objectGUID, Object.fromEntries(OPTIONAL.map((attribute) => [attribute, null])))) return false;
    const account = this.#get(objectGUID);
    account.deleted = true;
    account.usns.set('isDeleted', ++this.usn);
    return true;
  }

  /** With the name that it had, or another one; false when that is in use. */
  restore(objectGUID: string, sAMAccountName?: string): boolean {
    const account = this.#get(objectGUID);
    const name = sAMAccountName ?? String(account.values.get('sAMAccountName'));
    if (!account.deleted || this.holder(name) !== undefined) return false;
    account.deleted = false;
    account.usns.set('isDeleted', ++this.usn);
    return sAMAccountName === undefined || this.#set(objectGUID, { sAMAccountName });
  }

  /** objectGUID of the living account of this name. */
  holder(sAMAccountName: string): string | undefined {
    for (const { objectGUID } of this.#accounts.values()) {
      if (this.nameOf(objectGUID)?.toLowerCase() === sAMAccountName.toLowerCase()) return objectGUID;
    }
    return undefined;
  }

  /** Undefined when it is gone. */
  nameOf(objectGUID: string): string | undefined {
    const account = this.#accounts.get(objectGUID);
    return account === undefined || account.deleted ? undefined : String(account.values.get('sAMAccountName'));
  }

  guids(): string[] {
    return [...this.#accounts.keys()];
  }

  /** What changed after this USN, in the order of the last change of each object. */
  changesSince(usn: number): Observation[] {
    return [...this.#accounts.values()]
      .map((account) => ({ account, last: Math.max(...account.usns.values()) }))
      .filter(({ last }) => last > usn)
      .sort((a, b) => a.last - b.last)
      .map(({ account }) => this.#observe(account, usn));
  }

  readObject(objectGUID: string): Observation | undefined {
    const account = this.#accounts.get(objectGUID);
    if (account === undefined) return undefined;
    return { ...this.#observe(account, 0), deleted: account.deleted };
  }

  /** The persons as they are now, said independently of any observation. */
  identities(): Map<string, Identity> {
    const identities = new Map<string, Identity>();
    for (const { objectGUID, values, deleted } of this.#accounts.values()) {
      const classes = values.get('objectClass');
      if (deleted || (Array.isArray(classes) && classes.includes('computer'))) continue;
      const identity: Identity = {
        objectGUID,
        objectSid: String(values.get('objectSid')),
        domain: this.domain,
        sAMAccountName: String(values.get('sAMAccountName')),
        enabled: values.get('userAccountControl') === 0x200,
      };
      for (const attribute of OPTIONAL) {
        const value = values.get(attribute);
        if (typeof value === 'string') identity[attribute] = value;
      }
      identities.set(objectGUID, identity);
    }
    return identities;
  }

  #observe({ objectGUID, values, usns, deleted }: Account, usn: number): Observation {
    const dn = `CN=${objectGUID},DC=corp,DC=example,DC=test`;
    const changed = [...values].filter(([attribute]) => (usns.get(attribute) ?? 0) > usn);
    const unset = usn === 0 ? OPTIONAL.map((attribute) => [attribute, null] as const) : [];
    const seen = Object.fromEntries([...unset, ...changed]) as SeenAttributes;
    if ((usns.get('isDeleted') ?? 0) > usn) return { objectGUID, dn, deleted, seen };
    return { objectGUID, dn, seen };
  }

  #set(objectGUID: string, values: Partial<Record<Attribute, string | number | null>>): boolean {
    const account = this.#get(objectGUID);
    if (account.deleted) return false;
    const usn = ++this.usn;
    for (const [attribute, value] of Object.entries(values)) {
      account.values.set(attribute as Attribute, value);
      account.usns.set(attribute as Attribute, usn);
    }
    return true;
  }

  #get(objectGUID: string): Account {
    const account = this.#accounts.get(objectGUID);
    if (account === undefined) throw new Error(`no account ${objectGUID}`);
    return account;
  }
}
