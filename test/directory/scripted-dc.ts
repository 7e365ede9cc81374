import { BerReader } from 'ldapts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import { DIRSYNC, dirSyncDone, NOTIFICATION, PAGED_RESULTS, pagedDone } from '../support/fake-domain-controller.ts';
import {
  type Answer,
  type Attributes,
  bindResponse,
  type LdapClient,
  type LdapRequest,
  LdapServer,
  searchDone,
  searchEntry,
} from '../support/ldap-server.ts';

export { dirSyncDone, pagedDone };

export const NC = 'DC=corp,DC=example,DC=test';
export const INVOCATION_ID = '03020100-0504-0706-0809-0a0b0c0d0e0f';
/** S-1-5-21-1-2-3 */
export const DOMAIN_SID = Buffer.from('0104000000000005' + '15000000' + '01000000' + '02000000' + '03000000', 'hex');

/** How a domain controller differs from one that has no users and never changes. */
export interface Script {
  readonly logon?: Answer;
  readonly extended?: Answer;
  readonly rootDse?: Attributes;
  readonly invocationId?: Buffer;
  /** Of its NTDS Settings. */
  readonly ntds?: Attributes;
  readonly notification?: Answer;
  /** Of the naming context's head. */
  readonly head?: Attributes;
  /** Days. */
  readonly tombstoneLifetime?: number;
  /** The objects below CN=Sites. */
  readonly sites?: Answer;
  /** Reads of objects by objectGUID. */
  readonly objects?: Answer;
  readonly dirSync?: (request: LdapRequest, client: LdapClient, cookie: Buffer, flags: number) => void | Promise<void>;
  /** Paged reads. */
  readonly paged?: (request: LdapRequest, client: LdapClient, cookie: Buffer, size: number) => void | Promise<void>;
}

const ROOT_DSE: Attributes = {
  defaultNamingContext: [NC],
  configurationNamingContext: [`CN=Configuration,${NC}`],
  dnsHostName: ['dc1.corp.example.test'],
  dsServiceName: ['CN=NTDS Settings,CN=DC1'],
  highestCommittedUSN: ['4000'],
  isSynchronized: ['TRUE'],
  supportedControl: [DIRSYNC, NOTIFICATION],
};

/** Answers as a domain controller does, in Windows' way where Samba has another. */
export function domainController(script: Script = {}): Answer {
  const lifetime: Attributes = script.tombstoneLifetime === undefined ? {} : { tombstoneLifetime: [String(script.tombstoneLifetime)] };
  return (request, client) => {
    const { id, operation, baseDN, scope, controls } = request;
    const rootDse = { ...ROOT_DSE, ...script.rootDse };
    const entry = (dn: string, attributes: Attributes) => client.send(searchEntry(id, dn, attributes), searchDone(id));
    if (operation === 0x60) return script.logon === undefined ? void client.send(bindResponse(id)) : script.logon(request, client);
    if (operation === 0x77) return script.extended?.(request, client);
    if (operation !== 0x63) return;
    const dirSync = controls.get(DIRSYNC);
    if (dirSync !== undefined) {
      const { flags, cookie } = readDirSync(dirSync);
      return script.dirSync === undefined ? void client.send(dirSyncDone(id, 'c1')) : script.dirSync(request, client, cookie, flags);
    }
    const paged = controls.get(PAGED_RESULTS);
    if (paged !== undefined) {
      const { size, cookie } = readPaged(paged);
      return script.paged === undefined ? void client.send(pagedDone(id)) : script.paged(request, client, cookie, size);
    }
    if (controls.has(NOTIFICATION)) return script.notification?.(request, client);
    if (baseDN === '') entry('', Object.fromEntries(request.attributes.map((name) => [name, rootDse[name] ?? []])));
    else if (baseDN.startsWith('CN=NTDS'))
      entry(baseDN, { invocationId: [script.invocationId ?? Buffer.from([...Array(16).keys()])], ...script.ntds });
    else if (baseDN.startsWith('CN=Partitions')) entry('CN=CORP', { nETBIOSName: ['CORP'] });
    else if (baseDN.startsWith('CN=Directory Service,')) entry(baseDN, lifetime);
    else if (baseDN.startsWith('CN=Sites,'))
      return script.sites === undefined ? void client.send(searchDone(id)) : script.sites(request, client);
    else if (baseDN === NC && scope === 'base') entry(NC, { objectSid: [DOMAIN_SID], ...script.head });
    else if (script.objects !== undefined) return script.objects(request, client);
    else client.send(searchDone(id));
  };
}

function readDirSync(value: Buffer): { flags: number; cookie: Buffer } {
  const reader = new BerReader(value);
  reader.readSequence();
  const flags = reader.readInt() ?? -1;
  reader.readInt();
  return { flags, cookie: reader.readString(4, true) ?? Buffer.alloc(0) };
}

function readPaged(value: Buffer): { size: number; cookie: Buffer } {
  const reader = new BerReader(value);
  reader.readSequence();
  return { size: reader.readInt() ?? -1, cookie: reader.readString(4, true) ?? Buffer.alloc(0) };
}

/** The binary objectGUID whose text form ends in the number. */
export function guid(number: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(number, 12);
  return bytes;
}

export function guidTextOf(number: number): string {
  return `00000000-0000-0000-0000-${number.toString(16).padStart(12, '0')}`;
}

/** The objectGUIDs that a read of objects asks for, in its order. */
export function guidsOf({ filter }: LdapRequest): string[] {
  const parts = filter?.type === 'or' ? filter.filters : [];
  return parts.map((part) => guidTextOf(part.type === 'equal' ? part.value.readUInt32BE(12) : -1));
}

/** A user's entry. */
export function user(id: number, number: number, more: Attributes = {}): Buffer {
  return searchEntry(id, `CN=User ${number},${NC}`, { objectGUID: [guid(number)], sAMAccountName: [`user${number}`], ...more });
}

/** A scripted domain controller and the settings that reach it, over clear text unless told otherwise. */
export async function scripted(script: Script | Answer, more: Partial<DirectorySettings> = {}) {
  const server = await LdapServer.start(typeof script === 'function' ? script : domainController(script));
  return { server, source: ldapDirectorySource(settingsFor(server, more)), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

export function urlOf({ port }: LdapServer): string {
  return `ldap://127.0.0.1:${port}`;
}

export function settingsFor(server: LdapServer, more: Partial<DirectorySettings> = {}): DirectorySettings {
  const urls = [urlOf(server)];
  return { urls, bindDn: 'svc@corp.example.test', password: () => 'correct horse', allowClearText: true, deadline: 1_000, ...more };
}

export const NEVER = new AbortController().signal;
export const nothingStored = () => undefined;

/** Milliseconds: enough for whole openings on a busy machine. */
export const DEADLINE = 1_000;

/** One session with a scripted domain controller that has no position yet. */
export async function withSession<T>(
  script: Script,
  use: (session: DirectorySession) => Promise<T>,
  more: Partial<DirectorySettings> = {},
): Promise<T> {
  await using dc = await scripted(script, { deadline: DEADLINE, ...more });
  await using session = await dc.source.open(nothingStored, NEVER);
  return await use(session);
}
