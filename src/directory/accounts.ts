import { randomBytes } from 'node:crypto';
import { AddRequest, AndFilter, Attribute, EqualityFilter, OrFilter, PresenceFilter } from 'ldapts';
import type { AccountDesk, AccountFacts, AccountLogon } from '../../streams/account-desk.ts';
import { backoff } from '../../streams/backoff.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { ACCOUNTDISABLE } from '../../streams/listener/detector.ts';
import { attempt } from './attempt.ts';
import { type Candidate, inDns, named } from './candidates.ts';
import type { LdapConnection } from './connection.ts';
import { trustedCertificates } from './endpoint.ts';
import { failed } from './failure.ts';
import { fromFileTime } from './file-time.ts';
import { guidText, sidText } from './identifiers.ts';
import { type LdapEntry, Response, valuesOf } from './message.ts';
import { Names } from './names.ts';
import { readRootDse } from './root-dse.ts';
import { findEntries } from './search.ts';
import type { DirectorySettings } from './source.ts';

export type AccountsSettings = Pick<
  DirectorySettings,
  'urls' | 'domain' | 'site' | 'protocol' | 'dnsServers' | 'bindDn' | 'password' | 'caFile' | 'allowClearText'
> & {
  /** Milliseconds for connecting and logging on, and for each answer. */
  readonly deadline: number;
};

const NORMAL_ACCOUNT = 0x200;
const DONT_EXPIRE_PASSWORD = 0x10000;
const NAMES_AT_ONCE = 50;
/** Milliseconds for which a directory is not asked again that could not be opened: each try with a wrong password counts towards a lock-out. */
const AFTER_FAILURE = { first: 30_000, longest: 900_000 };

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
  readonly #connection: LdapConnection;
  readonly #namingContext: string;

  private constructor(connection: LdapConnection, namingContext: string) {
    this.#connection = connection;
    this.#namingContext = namingContext;
  }

  /** On the first domain controller that answers. A password that one refuses is not tried on the others. @throws DirectoryError */
  static async open(settings: AccountsSettings, signal: AbortSignal): Promise<Accounts> {
    const { deadline, bindDn, password, dnsServers } = settings;
    const names = new Names(dnsServers, deadline);
    const credentials = { dn: bindDn, password: await password() };
    const access = { ca: trustedCertificates(settings.caFile), deadline, lookup: names.lookup, credentials };
    const failures = new Set<string>();
    for (const { endpoint } of await candidatesOf(settings, names, signal)) {
      try {
        return await attempt(endpoint, access, signal, async (connect) => {
          const connection = await connect();
          const rootDse = await readRootDse(connection, ['defaultNamingContext']);
          return new Accounts(connection, rootDse.text('defaultNamingContext'));
        });
      } catch (error) {
        const failure = failed('unavailable', endpoint.url, error);
        if (failure.failure === 'credentials') throw failure;
        failures.add(failure.message);
      }
    }
    throw new DirectoryError('unavailable', [...failures].join('; '));
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
      lastLogon: timeOf(textOf(entry, 'lastLogon')),
      lastLogonTimestamp: timeOf(textOf(entry, 'lastLogonTimestamp')),
    }));
  }

  /** Those of these sAMAccountNames that somebody has. @throws DirectoryError */
  async taken(names: readonly string[]): Promise<string[]> {
    return (await this.#named(names, ['sAMAccountName'])).map((entry) => textOf(entry, 'sAMAccountName'));
  }

  /**
   * Makes an account for parking: with a random password that nobody knows, that never expires, and without anything of a person. That a
   * disabled one will do is assumption A2.
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
    const dn = `CN=${sAMAccountName},${ou}`;
    await this.#connection.ask(`making ${dn}`, Response.add, (messageId) => new AddRequest({ messageId, dn, attributes }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }

  async #named(names: readonly string[], attributes: readonly string[]): Promise<LdapEntry[]> {
    const found: LdapEntry[] = [];
    for (let from = 0; from < names.length; from += NAMES_AT_ONCE) {
      const filters = names.slice(from, from + NAMES_AT_ONCE).map((value) => new EqualityFilter({ attribute: 'sAMAccountName', value }));
      const filter = new AndFilter({
        filters: [new EqualityFilter({ attribute: 'objectClass', value: 'user' }), new OrFilter({ filters })],
      });
      const query = { baseDN: this.#namingContext, scope: 'sub' as const, filter, attributes: ['objectGUID', ...attributes] };
      // Two domain controllers can have given one name to two accounts.
      found.push(...(await findEntries(this.#connection, query, 'the look for accounts', { atMost: 2 * NAMES_AT_ONCE })));
    }
    return found;
  }

  async #factsOf(entry: LdapEntry): Promise<AccountFacts> {
    const query = { baseDN: entry.dn, scope: 'base' as const, filter: ANY, attributes: ['tokenGroups'] };
    const [itself] = await findEntries(this.#connection, query, `the groups of ${entry.dn}`);
    const groups = valuesOf(itself, 'tokenGroups').map((value) => sidText(value) ?? '');
    const privileges = groups.flatMap(
      (sid) => BUILT_IN[sid] ?? (/^S-1-5-21-/.test(sid) ? (PRIVILEGED[sid.split('-').at(-1) ?? ''] ?? []) : []),
    );
    return {
      dn: entry.dn,
      objectGUID: objectGuidOf(entry),
      sAMAccountName: textOf(entry, 'sAMAccountName'),
      enabled: (Number(textOf(entry, 'userAccountControl')) & ACCOUNTDISABLE) === 0,
      privileges: [...privileges, ...(Number(textOf(entry, 'adminCount')) > 0 ? ['adminCount'] : [])],
    };
  }
}

const ANY = new PresenceFilter({ attribute: 'objectClass' });

async function candidatesOf(settings: AccountsSettings, names: Names, signal: AbortSignal): Promise<readonly Candidate[]> {
  const { urls, domain, allowClearText = false } = settings;
  if (domain === undefined) return named(urls ?? [], allowClearText);
  return await inDns({ ...settings, domain, allowClearText }, names, () => {})(signal);
}

function objectGuidOf(entry: LdapEntry): string {
  return guidText(valuesOf(entry, 'objectGUID')[0]) ?? '';
}

/** Empty where there is none. */
function textOf(entry: LdapEntry, name: string): string {
  return valuesOf(entry, name)[0]?.toString() ?? '';
}

function text(type: string, value: string): Attribute {
  return new Attribute({ type, values: [value] });
}

/** 0 and the largest number mean never. */
function timeOf(value: string): string | null {
  if (!/^\d+$/.test(value)) return null;
  const milliseconds = fromFileTime(BigInt(value));
  return milliseconds <= 0 || milliseconds > LAST_TIME ? null : new Date(milliseconds).toISOString();
}

/** Of a Date. */
const LAST_TIME = 8_640_000_000_000_000;

/** One that keeps its connections, and opens those anew that failed; not at once where they cannot be opened. */
export function accountDesk(all: readonly AccountsSettings[]): AccountDesk {
  const directories = all.map((settings) => new Reopened(settings));
  const askAll = async <T>(ask: (accounts: Accounts) => Promise<T[]>): Promise<T[]> =>
    (await Promise.all(directories.map((directory) => directory.ask(ask)))).flat();
  return {
    facts: (names) => askAll((accounts) => accounts.find(names)),
    logons: (names) => askAll((accounts) => accounts.logons(names)),
    async close() {
      await Promise.all(directories.map((directory) => directory.close()));
    },
  };
}

/** The connection to one directory. */
class Reopened {
  readonly #settings: AccountsSettings;
  #opened: Promise<Accounts> | undefined;
  /** Why it could not be opened, how often in a row, and until when it is not tried again. */
  #refused: { readonly error: unknown; readonly times: number; readonly until: number } | undefined;

  constructor(settings: AccountsSettings) {
    this.#settings = settings;
  }

  async ask<T>(question: (accounts: Accounts) => Promise<T>): Promise<T> {
    const accounts = await this.#open();
    try {
      return await question(accounts);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.then((accounts) => accounts[Symbol.asyncDispose]()).catch(() => {});
  }

  async #open(): Promise<Accounts> {
    if (this.#refused !== undefined && Date.now() < this.#refused.until) throw this.#refused.error;
    this.#opened ??= Accounts.open(this.#settings, AbortSignal.timeout(this.#settings.deadline * 2));
    const opened = this.#opened;
    try {
      const accounts = await opened;
      this.#refused = undefined;
      return accounts;
    } catch (error) {
      // Several may have waited for it; it was one try.
      if (this.#opened === opened) {
        this.#opened = undefined;
        const times = (this.#refused?.times ?? 0) + 1;
        this.#refused = { error, times, until: Date.now() + backoff(times, AFTER_FAILURE) };
      }
      throw error;
    }
  }
}
