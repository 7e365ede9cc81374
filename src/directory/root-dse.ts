import { AndFilter, EqualityFilter, PresenceFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { LdapConnection } from './connection.ts';
import { DIRSYNC, NOTIFICATION } from './controls.ts';
import { guidText } from './identifiers.ts';
import type { LdapEntry } from './message.ts';
import { findEntries } from './search.ts';

/** What a domain controller tells about itself. */
export interface DomainController {
  /** dnsHostName */
  readonly dc: string;
  readonly namingContext: string;
  /** NetBIOS name of the domain. */
  readonly domain: string;
  readonly invocationId: string;
  readonly highestCommittedUSN: string;
}

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
export async function readDomainController(connection: LdapConnection): Promise<DomainController> {
  const rootDse = await readRootDse(connection, [
    'defaultNamingContext',
    'configurationNamingContext',
    'dnsHostName',
    'dsServiceName',
    'highestCommittedUSN',
    'isSynchronized',
    'supportedControl',
  ]);
  const controls = rootDse.texts('supportedControl');
  for (const [oid, what] of [
    [DIRSYNC, 'DirSync'],
    [NOTIFICATION, 'change notification'],
  ] as const) {
    if (!controls.includes(oid))
      throw new DirectoryError('configuration', `${connection.name}: no Active Directory domain controller: it has no ${what} (${oid})`);
  }
  if (rootDse.texts('isSynchronized')[0] === 'FALSE') {
    throw new DirectoryError('unavailable', `${connection.name}: the domain controller has not finished its first synchronization`);
  }

  const namingContext = rootDse.text('defaultNamingContext');
  const service = rootDse.text('dsServiceName');
  const [ntds, crossRef] = await Promise.all([
    findEntries(connection, { baseDN: service, scope: 'base', filter: ANY, attributes: ['invocationId'] }, 'its NTDS Settings'),
    findEntries(
      connection,
      {
        baseDN: `CN=Partitions,${rootDse.text('configurationNamingContext')}`,
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
  ]);
  const invocationId = guidText(new Facts(`${connection.name}: ${service}`, ntds[0]).value('invocationId'));
  if (invocationId === undefined) throw new DirectoryError('configuration', `${connection.name}: an invocationId that is no GUID`);
  return {
    dc: rootDse.text('dnsHostName'),
    namingContext,
    domain: new Facts(`${connection.name}: the crossRef of ${namingContext}`, crossRef[0]).text('nETBIOSName'),
    invocationId,
    highestCommittedUSN: rootDse.usn('highestCommittedUSN'),
  };
}
