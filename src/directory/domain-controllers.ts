import { EqualityFilter, OrFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { LdapConnection } from './connection.ts';
import type { Warn } from './entry.ts';
import { guidText } from './identifiers.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { findEntries } from './search.ts';

/** Milliseconds: an invocationId of a database that is no more stays unknown, however often it is looked for. */
const REFRESH = 60_000;

/** Two objects for each: more than this are no forest. */
const AT_MOST = 20_000;

export interface NamesSettings {
  readonly dc: string;
  readonly invocationId: string;
  readonly configurationNamingContext: string;
  readonly warn: Warn;
}

/** The domain controllers of the forest, by the invocationIds of their databases. Read when one is asked for that is not known. */
export class DomainControllerNames {
  readonly #connection: LdapConnection;
  readonly #settings: NamesSettings;
  #names: ReadonlyMap<string, string>;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(connection: LdapConnection, settings: NamesSettings) {
    this.#connection = connection;
    this.#settings = settings;
    this.#names = new Map([[settings.invocationId, settings.dc]]);
  }

  /** @returns gives the dnsHostName, undefined when it is none of today's @throws DirectoryError */
  async of(invocationIds: readonly string[]): Promise<(invocationId: string) => string | undefined> {
    const isKnown = invocationIds.every((invocationId) => this.#names.has(invocationId));
    if (!isKnown && performance.now() - this.#readAt >= REFRESH) {
      this.#readAt = performance.now();
      await this.#read();
    }
    return (invocationId) => this.#names.get(invocationId);
  }

  async #read(): Promise<void> {
    const { dc, invocationId, configurationNamingContext, warn } = this.#settings;
    const parameters = {
      baseDN: `CN=Sites,${configurationNamingContext}`,
      scope: 'sub',
      filter: new OrFilter({
        filters: ['nTDSDSA', 'server'].map((value) => new EqualityFilter({ attribute: 'objectClass', value })),
      }),
      attributes: ['invocationId', 'dNSHostName'],
    } as const;
    try {
      const entries = await findEntries(this.#connection, parameters, 'the list of domain controllers', { atMost: AT_MOST });
      this.#names = new Map([...namesOf(entries), [invocationId, dc]]);
    } catch (error) {
      // Names are for people; that they cannot be had stops nothing.
      if (!(error instanceof DirectoryError) || error.failure === 'unavailable') throw error;
      warn(error.message);
    }
  }
}

/** The database is told by the NTDS Settings below the server. */
function namesOf(entries: readonly LdapEntry[]): [string, string][] {
  const hosts = new Map(entries.map((entry) => [entry.dn.toLowerCase(), valuesOf(entry, 'dNSHostName')[0]?.toString()]));
  return entries.flatMap((entry) => {
    const invocationId = guidText(valuesOf(entry, 'invocationId')[0]);
    const host = hosts.get(entry.dn.toLowerCase().replace(/^cn=ntds settings,/, ''));
    return invocationId === undefined || host === undefined ? [] : [[invocationId, host] as [string, string]];
  });
}
