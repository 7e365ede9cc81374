import { readFileSync } from 'node:fs';
import { AndFilter, Client, type Entry, EqualityFilter, type Filter, OrFilter } from 'ldapts';
import { type Account, type AccountKey, type Directory, DirectoryUnreachable } from './directory.ts';

export interface LdapSettings {
  readonly url: string;
  readonly bindDn: string;
  readonly passwordFile: string;
  readonly caFile?: string | undefined;
  readonly namingContext: string;
}

const DEADLINE_MS = 5000;
/** Values in one search; a filter of thousands is slow to parse on the server. */
const CHUNK = 100;
const ACCOUNTDISABLE = 2;
/** SAM_NORMAL_USER_ACCOUNT: no groups, computers or contacts. */
const NORMAL_USER = '805306368';
const BINARY = ['objectGUID', 'objectSid'];

/** The live look-up, over one connection that is replaced when the domain controller dropped it. */
export class LdapDirectory implements Directory {
  readonly #settings: LdapSettings;
  #client: Promise<Client> | undefined;

  constructor(settings: LdapSettings) {
    this.#settings = settings;
  }

  async find(key: AccountKey, values: readonly string[]): Promise<Account[]> {
    const accounts: Account[] = [];
    for (let start = 0; start < values.length; start += CHUNK) {
      const entries = await this.#search(filterFor(key, values.slice(start, start + CHUNK)));
      accounts.push(...entries.map(accountOf));
    }
    return accounts;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await (await client?.catch(() => undefined))?.unbind().catch(() => undefined);
  }

  async #search(filter: Filter): Promise<Entry[]> {
    const begun = performance.now();
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await this.#attempt(filter);
      } catch (error) {
        // An idle connection does not notice that the domain controller was restarted, so a fresh one decides. One that hangs is enough.
        if (attempts > 1 || performance.now() - begun > DEADLINE_MS / 2)
          throw new DirectoryUnreachable(`The directory ${this.#settings.url} cannot be searched: ${String(error)}`, { cause: error });
      }
    }
  }

  async #attempt(filter: Filter): Promise<Entry[]> {
    this.#client ??= this.#connect();
    const connecting = this.#client;
    try {
      const client = await connecting;
      // The client would reconnect by itself, but as nobody.
      if (!client.isBound) throw new Error('the connection was lost');
      const options = { scope: 'sub', filter, attributes: ATTRIBUTES, explicitBufferAttributes: BINARY } as const;
      return (await client.search(this.#settings.namingContext, options)).searchEntries;
    } catch (error) {
      if (this.#client === connecting) this.#client = undefined;
      connecting.then((client) => client.unbind()).catch(() => undefined);
      throw error;
    }
  }

  async #connect(): Promise<Client> {
    const { url, caFile, bindDn, passwordFile } = this.#settings;
    const tlsOptions = caFile === undefined ? undefined : { ca: readFileSync(caFile) };
    const client = new Client({
      url,
      timeout: DEADLINE_MS,
      connectTimeout: DEADLINE_MS,
      ...(tlsOptions === undefined || !url.startsWith('ldaps:') ? {} : { tlsOptions }),
    });
    await client.bind(bindDn, readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, ''));
    return client;
  }
}

const ATTRIBUTES = ['objectGUID', 'objectSid', 'sAMAccountName', 'userPrincipalName', 'userAccountControl', 'givenName', 'sn', 'mail'];

function filterFor(key: AccountKey, values: readonly string[]): Filter {
  const equalities = values.map((value) => new EqualityFilter({ attribute: key, value: key === 'objectGUID' ? guidBytes(value) : value }));
  const names = equalities.length === 1 && equalities[0] !== undefined ? equalities[0] : new OrFilter({ filters: equalities });
  return new AndFilter({ filters: [names, new EqualityFilter({ attribute: 'sAMAccountType', value: NORMAL_USER })] });
}

function accountOf(entry: Entry): Account {
  return {
    objectGUID: guidText(bytes(entry.objectGUID)),
    objectSid: sidText(bytes(entry.objectSid)),
    sAMAccountName: String(entry.sAMAccountName),
    userPrincipalName: text(entry.userPrincipalName),
    enabled: (Number(entry.userAccountControl) & ACCOUNTDISABLE) === 0,
    givenName: text(entry.givenName),
    sn: text(entry.sn),
    mail: text(entry.mail),
  };
}

function text(value: Entry[string] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function bytes(value: Entry[string] | undefined): Buffer {
  if (Buffer.isBuffer(value)) return value;
  throw new Error('the directory answered without objectGUID or objectSid');
}

/** The first three groups of a GUID are stored with their low byte first (MS-DTYP 2.3.4.2). */
const GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

function guidText(stored: Buffer): string {
  const hex = Buffer.from(GUID_ORDER.map((index) => stored.readUInt8(index))).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function guidBytes(text: string): Buffer {
  const plain = Buffer.from(text.replaceAll('-', ''), 'hex');
  return Buffer.from(GUID_ORDER.map((index) => plain.readUInt8(index)));
}

/** Revision, count, six bytes of authority, then the parts with their low byte first (MS-DTYP 2.4.2.2). */
function sidText(stored: Buffer): string {
  const parts = Array.from({ length: stored.readUInt8(1) }, (_, index) => stored.readUInt32LE(8 + 4 * index));
  return ['S', stored.readUInt8(0), stored.readUIntBE(2, 6), ...parts].join('-');
}
