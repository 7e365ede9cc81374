import { AndFilter, EqualityFilter, NotFilter, OrFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import type { LdapConnection } from './connection.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { findEntries } from './search.ts';

/** Text, of whatever characters: case-sensitive, case-ignoring, printable or IA5, numeric, Unicode (MS-ADTS 3.1.1.2.2.2). */
const TEXT: readonly string[] = ['2.5.5.3', '2.5.5.4', '2.5.5.5', '2.5.5.6', '2.5.5.12'];

/** Bits of searchFlags and systemFlags (MS-ADTS 2.2.9, 2.2.10). */
const CONFIDENTIAL = 0x80;
const NOT_FOR_RODC = 0x200;
const NOT_REPLICATED = 0x1;
const CONSTRUCTED = 0x4;
const IS_RDN = 0x20;

/** By the place in the table of OID prefixes that is the same on every domain controller (MS-ADTS 3.1.1.1.12, MS-DRSR 5.16.4). */
const PREFIXES: ReadonlyMap<string, number> = new Map([
  ['2.5.4', 0],
  ['1.2.840.113556.1.2', 2],
  ['1.2.840.113556.1.4', 9],
  ['0.9.2342.19200300.100', 19],
  ['2.16.840.1.113730.3', 20],
  ['0.9.2342.19200300.100.1', 21],
  ['2.16.840.1.113730.3.1', 22],
]);
/** From here on the last part of an OID does not fit into the number. */
const LARGE = 16_384;

/** What is always watched, and what an identity calls something of its own. */
const TAKEN: readonly string[] = [
  'objectguid',
  'objectsid',
  'objectclass',
  'samaccountname',
  'useraccountcontrol',
  'userprincipalname',
  'isdeleted',
  'domain',
  'enabled',
  // Reported only as a new DN.
  'cn',
  'name',
  'distinguishedname',
];
const SECRET = /pwd|passw|secret|credential|^(?:currentValue|priorValue|pekList|initialAuth|trustAuth)/i;

/** @returns why an attribute of this name cannot be watched, whatever the directory says of it; undefined: it can */
export function whyNotWatched(name: string): string | undefined {
  if (TAKEN.includes(name.toLowerCase())) return 'is watched anyway, or is none that can be watched by itself';
  return SECRET.test(name) ? 'may hold a secret, which does not belong into events' : undefined;
}

export interface Attributes {
  /** As the schema spells them. */
  readonly profile: readonly string[];
  /** The numbers that stand for them in replication metadata, as far as they are known. */
  readonly ids: readonly (readonly [number, string])[];
}

/**
 * Looks the attributes up that a setting names. Those that are watched unless it says otherwise are the same everywhere.
 *
 * @throws DirectoryError of kind 'configuration' that says of each that cannot be watched why
 */
export async function findAttributes(connection: LdapConnection, configuration: string, names: readonly string[]): Promise<Attributes> {
  const isUsual = (name: string) => (PROFILE_ATTRIBUTES as readonly string[]).includes(name);
  const unusual = names.filter((name) => !isUsual(name));
  if (unusual.length === 0) return { profile: names, ids: [] };
  const parameters = {
    baseDN: `CN=Schema,${configuration}`,
    scope: 'one',
    // One that was made defunct may have had the name before.
    filter: new AndFilter({
      filters: [
        new OrFilter({ filters: unusual.map((value) => new EqualityFilter({ attribute: 'lDAPDisplayName', value })) }),
        new NotFilter({ filter: new EqualityFilter({ attribute: 'isDefunct', value: 'TRUE' }) }),
      ],
    }),
    attributes: ['lDAPDisplayName', 'attributeSyntax', 'isSingleValued', 'attributeID', 'msDS-IntId', 'searchFlags', 'systemFlags'],
  } as const;
  const entries = await findEntries(connection, parameters, 'the schema of the watched attributes', { atMost: unusual.length });
  const found = new Map(entries.map((entry) => [textOf(entry, 'lDAPDisplayName').toLowerCase(), entry]));
  const problems = unusual.flatMap((name) => {
    const problem = problemOf(name, found.get(name.toLowerCase()));
    return problem === undefined ? [] : [`${name} ${problem}`];
  });
  if (problems.length > 0) throw new DirectoryError('configuration', `${connection.name}: listener.attributes: ${problems.join('; ')}`);
  const nameOf = (name: string) => textOf(found.get(name.toLowerCase()), 'lDAPDisplayName') || name;
  return {
    profile: [...new Set(names.map((name) => (isUsual(name) ? name : nameOf(name))))],
    ids: entries.flatMap((entry) => {
      const id = idOf(entry);
      return id === undefined ? [] : [[id, textOf(entry, 'lDAPDisplayName')] as const];
    }),
  };
}

function problemOf(name: string, entry: LdapEntry | undefined): string | undefined {
  const ofName = whyNotWatched(name);
  if (ofName !== undefined) return ofName;
  if (entry === undefined) return 'is no attribute of this directory';
  const [search, system] = [numberOf(entry, 'searchFlags') ?? 0, numberOf(entry, 'systemFlags') ?? 0];
  if ((search & CONFIDENTIAL) !== 0) return 'is confidential';
  if ((search & NOT_FOR_RODC) !== 0) return 'is kept from read-only domain controllers, which takes another right to read';
  if ((system & (NOT_REPLICATED | CONSTRUCTED | IS_RDN)) !== 0)
    return 'is not replicated as a value of its own, so that its changes are not told';
  if (!TEXT.includes(textOf(entry, 'attributeSyntax'))) return 'holds no text';
  return textOf(entry, 'isSingleValued') === 'TRUE' ? undefined : 'can hold several values';
}

/** Undefined where only the table of the domain controller itself tells. */
function idOf(entry: LdapEntry): number | undefined {
  const own = numberOf(entry, 'msDS-IntId');
  if (own !== undefined) return own >>> 0;
  const [, prefix = '', last = ''] = /^([\d.]+)\.(\d+)$/.exec(textOf(entry, 'attributeID')) ?? [];
  const place = PREFIXES.get(prefix);
  return place === undefined || Number(last) >= LARGE ? undefined : place * 0x1_0000 + Number(last);
}

function textOf(entry: LdapEntry | undefined, name: string): string {
  return valuesOf(entry, name)[0]?.toString() ?? '';
}

function numberOf(entry: LdapEntry, name: string): number | undefined {
  const text = textOf(entry, name);
  return /^-?\d{1,10}$/.test(text) ? Number(text) : undefined;
}
