import { AndFilter, EqualityFilter, PresenceFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { Vector } from '../../streams/origin.ts';
import type { LdapConnection } from './connection.ts';
import { DIRSYNC, NOTIFICATION } from './controls.ts';
import type { Warn } from './entry.ts';
import { guidText } from './identifiers.ts';
import type { LdapEntry } from './message.ts';
import { readNamingContext } from './naming-context.ts';
import { REPLICATION_ATTRIBUTES, type Replication, replicationOf, seenOn } from './replication.ts';
import { findEntries } from './search.ts';

/** What a domain controller tells about itself. */
export interface DomainController {
  /** dnsHostName */
  readonly dc: string;
  readonly namingContext: string;
  readonly configurationNamingContext: string;
  /** NetBIOS name of the domain. */
  readonly domain: string;
  readonly invocationId: string;
  readonly highestCommittedUSN: string;
  /** Empty when the account may not see it. */
  readonly domainSid: string;
  /** What it has seen of the writes on every domain controller, itself included. */
  readonly vector: Vector;
  readonly hasDirSync: boolean;
  /** Milliseconds for which deletions are remembered. */
  readonly tombstoneLifetime: number;
  readonly replication: Replication;
}

const DAY = 86_400_000;
/** Days, where none are set. */
const TOMBSTONE_LIFETIME = 60;

const ANY = new PresenceFilter({ attribute: 'objectClass' });

/** One entry whose attributes have to be there. */
export class Facts {
  readonly #place: string;
  readonly #attributes: ReadonlyMap<string, readonly Buffer[]>;

  constructor(place: string, entry: LdapEntry | undefined) {
    this.#place = place;
    this.#attributes = new Map(entry?.attributes.map(({ type, values }) => [type.toLowerCase(), values]));
  }

  texts(name: string): string[] {
    return (this.#attributes.get(name.toLowerCase()) ?? []).map((value) => value.toString());
  }

  value(name: string): Buffer {
    const value = this.#attributes.get(name.toLowerCase())?.[0];
    if (value === undefined || value.length === 0) throw new DirectoryError('configuration', `${this.#place} shows no ${name}`);
    return value;
  }

  text(name: string): string {
    return this.value(name).toString();
  }

  /** Text, since a USN has 64 bits. */
  usn(name: string): string {
    const text = this.text(name);
    if (!/^\d{1,20}$/.test(text)) throw new DirectoryError('configuration', `${this.#place} shows a ${name} that is no number`);
    return text;
  }
}

/** @throws DirectoryError */
export async function readRootDse(connection: LdapConnection, attributes: readonly string[]): Promise<Facts> {
  return new Facts(
    `${connection.name}: rootDSE`,
    (await findEntries(connection, { baseDN: '', scope: 'base', filter: ANY, attributes }, 'rootDSE'))[0],
  );
}

/**
 * Learns which domain controller answers, and whether it can be listened to.
 *
 * @throws DirectoryError
 */
export async function readDomainController(connection: LdapConnection, warn: Warn = () => {}): Promise<DomainController> {
  const rootDse = await readRootDse(connection, [
    'defaultNamingContext',
    'configurationNamingContext',
    'dnsHostName',
    'dsServiceName',
    'highestCommittedUSN',
    'isSynchronized',
    'currentTime',
    'supportedControl',
  ]);
  const controls = rootDse.texts('supportedControl');
  if (!controls.includes(NOTIFICATION)) throw notOurs(connection.name, 'change notification', NOTIFICATION);
  if (rootDse.texts('isSynchronized')[0] === 'FALSE') {
    throw new DirectoryError('unavailable', `${connection.name}: the domain controller has not finished its first synchronization`);
  }

  const namingContext = rootDse.text('defaultNamingContext');
  const configurationNamingContext = rootDse.text('configurationNamingContext');
  const service = rootDse.text('dsServiceName');
  // All at once: opening takes one round trip for rootDSE and one for these.
  const [ntds, crossRef, head, tombstoneLifetime] = await Promise.all([
    findEntries(
      connection,
      { baseDN: service, scope: 'base', filter: ANY, attributes: ['invocationId', ...REPLICATION_ATTRIBUTES] },
      'its NTDS Settings',
    ),
    findEntries(
      connection,
      {
        baseDN: `CN=Partitions,${configurationNamingContext}`,
        scope: 'one',
        filter: new AndFilter({
          filters: [
            new EqualityFilter({ attribute: 'objectClass', value: 'crossRef' }),
            new EqualityFilter({ attribute: 'nCName', value: namingContext }),
          ],
        }),
        attributes: ['nETBIOSName'],
      },
      'the crossRef of its domain',
    ),
    readNamingContext(connection, namingContext, warn),
    readTombstoneLifetime(connection, configurationNamingContext),
  ]);
  const invocationId = guidText(new Facts(`${connection.name}: ${service}`, ntds[0]).value('invocationId'));
  if (invocationId === undefined) throw new DirectoryError('configuration', `${connection.name}: an invocationId that is no GUID`);
  const highestCommittedUSN = rootDse.usn('highestCommittedUSN');
  const replication = replicationOf(ntds[0], head.head, rootDse.texts('currentTime')[0]);
  return {
    dc: rootDse.text('dnsHostName'),
    namingContext,
    configurationNamingContext,
    domain: new Facts(`${connection.name}: the crossRef of ${namingContext}`, crossRef[0]).text('nETBIOSName'),
    invocationId,
    highestCommittedUSN,
    domainSid: head.domainSid,
    vector: seenOn({ invocationId, replication }, head.replicated, highestCommittedUSN),
    hasDirSync: controls.includes(DIRSYNC),
    tombstoneLifetime,
    replication,
  };
}

/** What the server is not. */
export function notOurs(name: string, what: string, oid: string): DirectoryError {
  return new DirectoryError('configuration', `${name}: no Active Directory domain controller: it has no ${what} (${oid})`);
}

async function readTombstoneLifetime(connection: LdapConnection, configurationNamingContext: string): Promise<number> {
  const parameters = {
    baseDN: `CN=Directory Service,CN=Windows NT,CN=Services,${configurationNamingContext}`,
    scope: 'base',
    filter: ANY,
    attributes: ['tombstoneLifetime'],
  } as const;
  const [entry] = await findEntries(connection, parameters, 'the settings of the directory service');
  const [days = ''] = new Facts(parameters.baseDN, entry).texts('tombstoneLifetime');
  return DAY * (/^[1-9]\d{0,7}$/.test(days) ? Number(days) : TOMBSTONE_LIFETIME);
}
