import { readFile } from 'node:fs/promises';
import { Client, Control, type Entry, EqualityFilter } from 'ldapts';
import type { Directory } from '../../infra/testbed/directory.ts';
import type { Identity } from '../../streams/identity.ts';

const ATTRIBUTES = [
  'objectGUID',
  'objectSid',
  'objectClass',
  'sAMAccountName',
  'userAccountControl',
  'userPrincipalName',
  'displayName',
  'givenName',
  'sn',
  'mail',
];
const BINARY = ['objectGUID', 'objectSid'];
const SHOW_DELETED = new Control('1.2.840.113556.1.4.417', { critical: true });
const DISABLED = 2;

/** What is true in the directory, read by plain searches: nothing in common with how the product reads it. */
export class DirectoryTruth implements AsyncDisposable {
  readonly #client: Client;
  readonly #directory: Directory;

  private constructor(client: Client, directory: Directory) {
    this.#client = client;
    this.#directory = directory;
  }

  static async connect(directory: Directory): Promise<DirectoryTruth> {
    const client = new Client({ url: directory.url, timeout: 10_000, tlsOptions: { ca: await readFile(directory.caFile) } });
    await client.bind(directory.admin.bindDn, directory.admin.password);
    return new DirectoryTruth(client, directory);
  }

  /** Null when it is deleted. */
  async identity(objectGUID: string): Promise<Identity | null> {
    const { searchEntries } = await this.#client.search(
      `<GUID=${objectGUID}>`,
      { scope: 'base', attributes: [...ATTRIBUTES, 'isDeleted'], explicitBufferAttributes: BINARY },
      SHOW_DELETED,
    );
    const [entry] = searchEntries;
    return entry === undefined || entry.isDeleted === 'TRUE' ? null : this.#identityOf(entry);
  }

  /** Every user account by objectGUID, computers left out. */
  async identities(): Promise<Map<string, Identity>> {
    const { searchEntries } = await this.#client.search(this.#directory.namingContext, {
      scope: 'sub',
      filter: new EqualityFilter({ attribute: 'objectClass', value: 'user' }),
      attributes: ATTRIBUTES,
      explicitBufferAttributes: BINARY,
      paged: { pageSize: 1000 },
    });
    const people = searchEntries.filter(({ objectClass }) => !(objectClass as string[]).includes('computer'));
    return new Map(people.map((entry) => this.#identityOf(entry)).map((identity) => [identity.objectGUID, identity]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.unbind().catch(() => {});
  }

  #identityOf(entry: Entry): Identity {
    const texts = ATTRIBUTES.slice(5).flatMap((name) => (typeof entry[name] === 'string' ? [[name, entry[name]]] : []));
    return {
      objectGUID: guidText(entry.objectGUID as Buffer),
      objectSid: sidText(entry.objectSid as Buffer),
      domain: this.#directory.netbios,
      sAMAccountName: String(entry.sAMAccountName),
      enabled: (Number(entry.userAccountControl) & DISABLED) === 0,
      ...Object.fromEntries(texts),
    };
  }
}

/** The first three groups are little-endian (MS-DTYP 2.3.4.2). */
function guidText(bytes: Buffer): string {
  const groups = [bytes.subarray(0, 4).reverse(), bytes.subarray(4, 6).reverse(), bytes.subarray(6, 8).reverse()];
  return [...groups, bytes.subarray(8, 10), bytes.subarray(10)].map((group) => group.toString('hex')).join('-');
}

/** MS-DTYP 2.4.2.2 to 2.4.2.1. */
function sidText(bytes: Buffer): string {
  const parts = Array.from({ length: bytes.readUInt8(1) }, (_, index) => bytes.readUInt32LE(8 + 4 * index));
  return ['S', bytes.readUInt8(0), bytes.readUIntBE(2, 6), ...parts].join('-');
}
