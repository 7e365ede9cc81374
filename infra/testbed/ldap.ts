import { readFile } from 'node:fs/promises';
import { AndFilter, Attribute, Change, Client, Control, EqualityFilter, type SearchOptions } from 'ldapts';
import type { Account, Directory } from './directory.ts';

/** An account as it is right now. */
export interface Found {
  readonly dn: string;
  /** Lower-case text form. */
  readonly objectGUID: string;
  readonly sAMAccountName: string;
}

export interface NewUser {
  /** Relative to the naming context. Default `OU=Staff`. */
  readonly parent?: string;
  /** Default: the sAMAccountName. */
  readonly cn?: string;
  readonly sAMAccountName: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

const SHOW_DELETED = '1.2.840.113556.1.4.417';
const DISABLED = 2;
// Enabled, and in need of no password.
const NEW_ACCOUNT = 544;
const DEADLINE = 10_000;

/** Changes accounts as any other LDAP client of an administrator would. Accounts are named by objectGUID, which nothing changes. */
export class DirectoryAdmin implements AsyncDisposable {
  readonly #client: Client;
  readonly #namingContext: string;

  private constructor(client: Client, namingContext: string) {
    this.#client = client;
    this.#namingContext = namingContext;
  }

  /** Over LDAPS, as the administrator unless told otherwise. */
  static async connect(directory: Directory, account: Account = directory.admin): Promise<DirectoryAdmin> {
    const ca = await readFile(directory.caFile);
    const client = new Client({ url: directory.url, timeout: DEADLINE, connectTimeout: DEADLINE, tlsOptions: { ca } });
    await client.bind(account.bindDn, account.password);
    return new DirectoryAdmin(client, directory.namingContext);
  }

  /** The highest USN that this domain controller has given out. */
  async highestCommittedUSN(): Promise<bigint> {
    const { searchEntries } = await this.#client.search('', { scope: 'base', attributes: ['highestCommittedUSN'] });
    return BigInt(String(searchEntries[0]?.highestCommittedUSN));
  }

  /** The account of this name, deleted ones left out. */
  async find(sAMAccountName: string): Promise<Found | undefined> {
    const filter = new EqualityFilter({ attribute: 'sAMAccountName', value: sAMAccountName });
    return await this.#read(this.#namingContext, { filter, scope: 'sub' }, []);
  }

  /** The deleted account that had this name; of several any. */
  async findDeleted(sAMAccountName: string): Promise<Found | undefined> {
    const filter = new AndFilter({
      filters: [
        new EqualityFilter({ attribute: 'isDeleted', value: 'TRUE' }),
        new EqualityFilter({ attribute: 'sAMAccountName', value: sAMAccountName }),
      ],
    });
    return await this.#read(this.#namingContext, { filter, scope: 'sub' }, [new Control(SHOW_DELETED, { critical: true })]);
  }

  /** The account of this objectGUID, also when it is deleted. */
  async get(objectGUID: string): Promise<Found> {
    const found = await this.#read(named(objectGUID), { scope: 'base' }, [new Control(SHOW_DELETED, { critical: true })]);
    if (found === undefined) {
      throw new Error(`there is no account ${objectGUID}`);
    }
    return found;
  }

  async create(user: NewUser): Promise<Found> {
    const dn = `CN=${escaped(user.cn ?? user.sAMAccountName)},${user.parent ?? 'OU=Staff'},${this.#namingContext}`;
    const { sAMAccountName, attributes } = user;
    await this.#client.add(dn, { objectClass: 'user', userAccountControl: String(NEW_ACCOUNT), sAMAccountName, ...attributes });
    const found = await this.find(sAMAccountName);
    if (found === undefined) {
      throw new Error(`${dn} was created and cannot be found`);
    }
    return found;
  }

  /** Changes the sAMAccountName; rejects when another account has the name. */
  async rename(objectGUID: string, sAMAccountName: string): Promise<void> {
    await this.set(objectGUID, { sAMAccountName });
  }

  /** Replaces attributes; null clears one. */
  async set(objectGUID: string, attributes: Readonly<Record<string, string | null>>): Promise<void> {
    const changes = Object.entries(attributes).map(([type, value]) => replace(type, value));
    await this.#client.modify(named(objectGUID), changes);
  }

  async disable(objectGUID: string): Promise<void> {
    await this.#control(objectGUID, (control) => control | DISABLED);
  }

  async enable(objectGUID: string): Promise<void> {
    await this.#control(objectGUID, (control) => control & ~DISABLED);
  }

  /** To another parent, relative to the naming context, such as `OU=Staff`; the CN stays unless a new one is given. */
  async move(objectGUID: string, parent: string, cn?: string): Promise<void> {
    const { dn } = await this.get(objectGUID);
    const rdn = cn === undefined ? dn.slice(0, dn.search(/(?<!\\),/)) : `CN=${escaped(cn)}`;
    await this.#client.modifyDN(dn, `${rdn},${parent},${this.#namingContext}`);
  }

  async delete(objectGUID: string): Promise<void> {
    await this.#client.del(named(objectGUID));
  }

  /** Brings a deleted account back below `parent`. As without a recycle bin, most attributes are gone. */
  async reanimate(objectGUID: string, cn: string, parent = 'OU=Staff'): Promise<void> {
    const { dn } = await this.get(objectGUID);
    const undelete = new Change({ operation: 'delete', modification: new Attribute({ type: 'isDeleted' }) });
    const restore = [undelete, replace('distinguishedName', `CN=${escaped(cn)},${parent},${this.#namingContext}`)];
    await this.#client.modify(dn, restore, new Control(SHOW_DELETED, { critical: true }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.unbind();
  }

  async #control(objectGUID: string, change: (control: number) => number): Promise<void> {
    const { searchEntries } = await this.#client.search(named(objectGUID), { scope: 'base', attributes: ['userAccountControl'] });
    const control = Number(searchEntries[0]?.userAccountControl);
    await this.set(objectGUID, { userAccountControl: String(change(control)) });
  }

  async #read(base: string, options: SearchOptions, controls: Control[]): Promise<Found | undefined> {
    const attributes = ['objectGUID', 'sAMAccountName'];
    const { searchEntries } = await this.#client.search(
      base,
      { ...options, attributes, explicitBufferAttributes: ['objectGUID'] },
      controls,
    );
    const entry = searchEntries[0];
    return entry && { dn: entry.dn, objectGUID: textOf(entry.objectGUID as Buffer), sAMAccountName: String(entry.sAMAccountName) };
  }
}

function replace(type: string, value: string | null): Change {
  return new Change({ operation: 'replace', modification: new Attribute({ type, values: value === null ? [] : [value] }) });
}

function named(objectGUID: string): string {
  return `<GUID=${objectGUID}>`;
}

/** RFC 4514. */
function escaped(value: string): string {
  return value.replace(/[",+;<=>\\]|^[ #]| $/g, '\\$&');
}

/** The first three groups are little-endian on the wire. */
function textOf(bytes: Buffer): string {
  const part = (start: number, end: number) => bytes.subarray(start, end).toString('hex');
  const swapped = (start: number, end: number) => Buffer.from(bytes.subarray(start, end)).reverse().toString('hex');
  return [swapped(0, 4), swapped(4, 6), swapped(6, 8), part(8, 10), part(10, 16)].join('-');
}
