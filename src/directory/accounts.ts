import { randomBytes } from 'node:crypto';
import { AndFilter, Attribute, Client, type Entry, EqualityFilter, OrFilter } from 'ldapts';
import type { AccountDesk, AccountFacts, AccountLogon } from '../../streams/account-desk.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { type Candidate, inDns, named } from './candidates.ts';
import { tlsOptions, trustedCertificates } from './endpoint.ts';
import { failed } from './failure.ts';
import { guidText, sidText } from './identifiers.ts';
import { Names } from './names.ts';

export interface AccountsSettings {
  readonly urls?: readonly string[] | undefined;
  readonly domain?: string | undefined;
  readonly site?: string | undefined;
  readonly protocol?: 'ldaps' | 'ldap' | undefined;
  readonly dnsServers?: readonly string[] | undefined;
  readonly bindDn: string;
  readonly password: () => string | Promise<string>;
  readonly caFile?: string | undefined;
  readonly allowClearText?: boolean | undefined;
  /** Milliseconds for connecting, and for each answer. */
  readonly deadline: number;
}

const ACCOUNTDISABLE = 0x2;
const NORMAL_ACCOUNT = 0x200;
const DONT_EXPIRE_PASSWORD = 0x10000;
const NAMES_AT_ONCE = 50;

/** Relative ids of groups whose members can do more than log on (MS-DTYP 2.4.2.4). */
const PRIVILEGED: Readonly<Record<string, string>> = {
  512: 'Domain Admins',
  516: 'Domain Controllers',
  518: 'Schema Admins',
  519: 'Enterprise Admins',
  520: 'Group Policy Creator Owners',
  526: 'Key Admins',
  527: 'Enterprise Key Admins',
};
const BUILT_IN: Readonly<Record<string, string>> = {
  'S-1-5-32-544': 'Administrators',
  'S-1-5-32-548': 'Account Operators',
  'S-1-5-32-549': 'Server Operators',
  'S-1-5-32-550': 'Print Operators',
  'S-1-5-32-551': 'Backup Operators',
  'S-1-5-32-552': 'Replicator',
};

/** A connection for single questions, and for making accounts: commands use it, and whoever wants to know of a last logon. */
export class Accounts implements AsyncDisposable {
  readonly #client: Client;
  /** Of the domain. */
  readonly namingContext: string;
  /** Which domain controller answers. */
  readonly dc: string;

  private constructor(client: Client, namingContext: string, dc: string) {
    this.#client = client;
    this.namingContext = namingContext;
    this.dc = dc;
  }

  /** On the first domain controller that answers. @throws DirectoryError */
  static async open(settings: AccountsSettings, signal: AbortSignal): Promise<Accounts> {
    const failures: string[] = [];
    for (const candidate of await candidatesOf(settings, signal)) {
      const { endpoint } = candidate;
      const { deadline } = settings;
      const ca = trustedCertificates(settings.caFile);
      const tls = tlsOptions(endpoint, ca);
      const client = new Client({ url: endpoint.url, timeout: deadline, connectTimeout: deadline, tlsOptions: tls });
      try {
        if (endpoint.security === 'starttls') await client.startTLS(tls);
        await client.bind(settings.bindDn, await settings.password());
        const { searchEntries } = await client.search('', { scope: 'base', attributes: ['defaultNamingContext', 'dnsHostName'] });
        const [rootDse] = searchEntries;
        return new Accounts(client, String(rootDse?.defaultNamingContext), String(rootDse?.dnsHostName));
      } catch (error) {
        await client.unbind().catch(() => {});
        failures.push(failed('unavailable', endpoint.url, error).message);
      }
    }
    throw new DirectoryError('unavailable', failures.join('; '));
  }

  /** Those of these sAMAccountNames that there are. @throws DirectoryError */
  async find(names: readonly string[]): Promise<AccountFacts[]> {
    const found: AccountFacts[] = [];
    for (const entry of await this.#named(names, ['sAMAccountName', 'userAccountControl', 'adminCount']))
      found.push(await this.#factsOf(entry));
    return found;
  }

  /** @throws DirectoryError */
  async logons(names: readonly string[]): Promise<AccountLogon[]> {
    const entries = await this.#named(names, ['lastLogon', 'lastLogonTimestamp']);
    return entries.map((entry) => ({
      objectGUID: objectGuidOf(entry),
      lastLogon: timeOf(entry.lastLogon),
      lastLogonTimestamp: timeOf(entry.lastLogonTimestamp),
    }));
  }

  async #named(names: readonly string[], attributes: string[]): Promise<Entry[]> {
    const found: Entry[] = [];
    for (let from = 0; from < names.length; from += NAMES_AT_ONCE) {
      const filters = names.slice(from, from + NAMES_AT_ONCE).map((value) => new EqualityFilter({ attribute: 'sAMAccountName', value }));
      const filter = new AndFilter({
        filters: [new EqualityFilter({ attribute: 'objectClass', value: 'user' }), new OrFilter({ filters })],
      });
      const options = {
        scope: 'sub' as const,
        filter,
        attributes: ['objectGUID', ...attributes],
        explicitBufferAttributes: ['objectGUID'],
      };
      const { searchEntries } = await this.#asked(() => this.#client.search(this.namingContext, options));
      found.push(...searchEntries);
    }
    return found;
  }

  /** The names that begin so. @throws DirectoryError */
  async startingWith(prefix: string): Promise<string[]> {
    const filter = `(&(objectClass=user)(sAMAccountName=${prefix.replaceAll(/[^A-Za-z0-9-]/g, (character) => `\\${Buffer.from(character).toString('hex')}`)}*))`;
    const { searchEntries } = await this.#asked(() =>
      this.#client.search(this.namingContext, { scope: 'sub', filter, attributes: ['sAMAccountName'] }),
    );
    return searchEntries.map((entry) => String(entry.sAMAccountName));
  }

  /**
   * Makes an account for parking: with a random password that nobody knows, that never expires, and without anything of a person.
   *
   * @throws DirectoryError also when the domain controller refuses, in its words
   */
  async createParking(sAMAccountName: string, ou: string, { enabled }: { enabled: boolean }): Promise<void> {
    // Three of four classes of characters, for whatever the domain demands; 120 of them.
    const password = `Aa1!${randomBytes(87).toString('base64')}`.slice(0, 120);
    const control = NORMAL_ACCOUNT | DONT_EXPIRE_PASSWORD | (enabled ? 0 : ACCOUNTDISABLE);
    const attributes = [
      text('objectClass', 'user'),
      text('sAMAccountName', sAMAccountName),
      text('userAccountControl', String(control)),
      text(
        'description',
        'Parking account of Namesake: user records of Dynamics 365 pass through it while they are renamed. Nobody logs on with it.',
      ),
      new Attribute({ type: 'unicodePwd', values: [Buffer.from(`"${password}"`, 'utf16le')] }),
    ];
    await this.#asked(() => this.#client.add(`CN=${sAMAccountName},${ou}`, attributes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.unbind().catch(() => {});
  }

  async #factsOf(entry: Entry): Promise<AccountFacts> {
    const options = { scope: 'base' as const, attributes: ['tokenGroups'], explicitBufferAttributes: ['tokenGroups'] };
    const { searchEntries } = await this.#asked(() => this.#client.search(entry.dn, options));
    const groups = [searchEntries[0]?.tokenGroups ?? []].flat().map((value) => sidText(Buffer.from(value as Buffer)) ?? '');
    const privileges = groups.flatMap(
      (sid) => BUILT_IN[sid] ?? (/^S-1-5-21-/.test(sid) ? (PRIVILEGED[sid.split('-').at(-1) ?? ''] ?? []) : []),
    );
    return {
      dn: entry.dn,
      objectGUID: objectGuidOf(entry),
      sAMAccountName: String(entry.sAMAccountName),
      enabled: (Number(entry.userAccountControl) & ACCOUNTDISABLE) === 0,
      privileges: [...privileges, ...(Number(entry.adminCount ?? 0) > 0 ? ['adminCount'] : [])],
    };
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw failed('unavailable', this.dc, error);
    }
  }
}

async function candidatesOf(settings: AccountsSettings, signal: AbortSignal): Promise<readonly Candidate[]> {
  const { urls, domain, dnsServers, deadline, allowClearText = false } = settings;
  if (domain === undefined) return named(urls ?? [], allowClearText);
  return await inDns({ ...settings, domain, allowClearText }, new Names(dnsServers, deadline), () => {})(signal);
}

function objectGuidOf(entry: Entry): string {
  return guidText(Buffer.from(entry.objectGUID as Buffer)) ?? '';
}

function text(type: string, value: string): Attribute {
  return new Attribute({ type, values: [value] });
}

/** Tenths of microseconds since 1601 (MS-DTYP 2.3.3); 0 and the largest number mean never. */
function timeOf(value: Entry[string] | undefined): string | null {
  if (typeof value !== 'string' || !/^\d+$/.test(value)) return null;
  const milliseconds = BigInt(value) / 10_000n - 11_644_473_600_000n;
  return milliseconds <= 0n || milliseconds > 8_640_000_000_000_000n ? null : new Date(Number(milliseconds)).toISOString();
}

/** One that keeps its connections, and opens those anew that failed. */
export function accountDesk(all: readonly AccountsSettings[]): AccountDesk {
  const opened = new Map<AccountsSettings, Promise<Accounts>>();
  const askOne = async <T>(settings: AccountsSettings, ask: (accounts: Accounts) => Promise<T[]>): Promise<T[]> => {
    const accounts = opened.get(settings) ?? Accounts.open(settings, AbortSignal.timeout(settings.deadline * 2));
    opened.set(settings, accounts);
    try {
      return await ask(await accounts);
    } catch (error) {
      if (opened.get(settings) === accounts) opened.delete(settings);
      void accounts.then((one) => one[Symbol.asyncDispose]()).catch(() => {});
      throw error;
    }
  };
  const askAll = async <T>(ask: (accounts: Accounts) => Promise<T[]>): Promise<T[]> =>
    (await Promise.all(all.map((settings) => askOne(settings, ask)))).flat();
  return {
    facts: (names) => askAll((accounts) => accounts.find(names)),
    logons: (names) => askAll((accounts) => accounts.logons(names)),
    async close() {
      const connections = [...opened.values()];
      opened.clear();
      await Promise.all(connections.map((one) => one.then((accounts) => accounts[Symbol.asyncDispose]()).catch(() => {})));
    },
  };
}
