import { EqualityFilter, OrFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { LdapConnection } from './connection.ts';
import type { Warn } from './entry.ts';
import { guidText } from './identifiers.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import type { DomainController } from './root-dse.ts';
import { findEntries } from './search.ts';

/** Milliseconds: an invocationId of a database that is no more stays unknown, however often it is looked for. */
const REFRESH = 60_000;

/** Two objects for each: more than this are no forest. */
const AT_MOST = 20_000;

/** The same after they could not be had: an answer that does not come ends the session that asked. */
const AFTER_FAILURE = 3_600_000;

/** One that is asked. */
type Asked = Pick<DomainController, 'dc' | 'invocationId' | 'configurationNamingContext'>;

/**
 * The domain controllers of the forest, by the invocationIds of their databases. Read when one is asked for that is not known, and
 * remembered from one session to the next.
 */
export class DomainControllerNames {
  readonly #warn: Warn;
  readonly #names = new Map<string, string>();
  #notBefore = Number.NEGATIVE_INFINITY;

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  /** @returns gives the dnsHostName, undefined when it is none of today's @throws DirectoryError */
  async of(
    invocationIds: readonly string[],
    connection: LdapConnection,
    here: Asked,
  ): Promise<(invocationId: string) => string | undefined> {
    this.#names.set(here.invocationId, here.dc);
    const isKnown = invocationIds.every((invocationId) => this.#names.has(invocationId));
    if (!isKnown && performance.now() >= this.#notBefore) {
      this.#notBefore = performance.now() + AFTER_FAILURE;
      if (await this.#read(connection, here)) this.#notBefore = performance.now() + REFRESH;
    }
    return (invocationId) => this.#names.get(invocationId);
  }

  async #read(connection: LdapConnection, { configurationNamingContext }: Asked): Promise<boolean> {
    const parameters = {
      baseDN: `CN=Sites,${configurationNamingContext}`,
      scope: 'sub',
      filter: new OrFilter({
        filters: ['nTDSDSA', 'server'].map((value) => new EqualityFilter({ attribute: 'objectClass', value })),
      }),
      attributes: ['invocationId', 'dNSHostName'],
    } as const;
    try {
      const entries = await findEntries(connection, parameters, 'the list of domain controllers', { atMost: AT_MOST });
      for (const [invocationId, host] of namesOf(entries)) this.#names.set(invocationId, host);
      return true;
    } catch (error) {
      // Names are for people; that they cannot be had stops nothing.
      if (!(error instanceof DirectoryError) || error.failure === 'unavailable') throw error;
      this.#warn(error.message);
      return false;
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
