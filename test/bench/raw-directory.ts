import { readFile } from 'node:fs/promises';
import { connect } from 'node:tls';
import {
  Ber,
  type BerReader,
  BerWriter,
  Client,
  type ClientOptions,
  Control,
  type Entry,
  EqualityFilter,
  OrFilter,
  type SearchOptions,
} from 'ldapts';
import type { Directory } from '../../infra/testbed/directory.ts';

const DIRSYNC = '1.2.840.113556.1.4.841';
const NOTIFICATION = '1.2.840.113556.1.4.528';
const SHOW_DELETED = '1.2.840.113556.1.4.417';
export const MAX_BYTES = 2_097_152;

/** Asked for at once, which is as many as the product asks for. */
const OBJECTS = 100;

/** What the product asks for, so that the same is compared. */
export const FILTER = '(objectClass=user)';
export const ATTRIBUTES: readonly string[] = [
  'objectGUID',
  'objectSid',
  'objectClass',
  'sAMAccountName',
  'userAccountControl',
  'isDeleted',
  'userPrincipalName',
  'displayName',
  'givenName',
  'sn',
  'mail',
];

class DirSync extends Control {
  readonly #cookie: Buffer;
  more = false;
  next: Buffer = Buffer.alloc(0);

  constructor(cookie: Buffer) {
    super(DIRSYNC, { critical: true });
    this.#cookie = cookie;
  }

  override writeControl(writer: BerWriter): void {
    const value = new BerWriter({ size: this.#cookie.length + 64 });
    value.startSequence();
    value.writeInt(0);
    value.writeInt(MAX_BYTES);
    value.writeBuffer(this.#cookie, Ber.OctetString);
    value.endSequence();
    writer.writeBuffer(value.buffer, Ber.OctetString);
  }

  override parseControl(reader: BerReader): void {
    reader.readSequence();
    this.more = reader.readInt() !== 0;
    reader.readInt();
    this.next = reader.readString(Ber.OctetString, true) ?? this.next;
  }
}

/** DirSync and change notification as they come out of the box of an LDAP library: nothing is checked, nothing is kept. */
export class RawDirectory implements AsyncDisposable {
  cookie: Buffer = Buffer.alloc(0);
  /** Called when the notification connection brings something. */
  onWake: () => void = () => {};
  readonly #namingContext: string;
  readonly #reads: Client;
  readonly #waits: Client;

  private constructor(namingContext: string, reads: Client, connectWaits: (onData: () => void) => Client) {
    this.#namingContext = namingContext;
    this.#reads = reads;
    this.#waits = connectWaits(() => this.onWake());
  }

  static async open({ url, caFile, service, namingContext }: Directory): Promise<RawDirectory> {
    const ca = await readFile(caFile);
    const client = (more: Partial<ClientOptions> = {}) => new Client({ url, tlsOptions: { ca }, ...more });
    const raw = new RawDirectory(namingContext, client(), (onData) =>
      client({
        createSecureConnection: ((...args: Parameters<typeof connect>) => connect(...args).on('data', onData)) as typeof connect,
      }),
    );
    await raw.#reads.bind(service.bindDn, service.password);
    await raw.#waits.bind(service.bindDn, service.password);
    return raw;
  }

  /** Everything since the cookie. */
  async read(): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (let more = true; more; ) {
      const control = new DirSync(this.cookie);
      const options: SearchOptions = {
        scope: 'sub',
        filter: FILTER,
        attributes: [...ATTRIBUTES],
        explicitBufferAttributes: ['objectGUID'],
        timeLimit: 0,
      };
      entries.push(...(await this.#reads.search(this.#namingContext, options, [control])).searchEntries);
      this.cookie = control.next;
      more = control.more;
    }
    return entries;
  }

  /** Replication metadata of what was read: which write made each value. Not decoded. */
  async metadata(entries: readonly Entry[]): Promise<Entry[]> {
    const found: Entry[] = [];
    for (let first = 0; first < entries.length; first += OBJECTS) {
      const asked = entries.slice(first, first + OBJECTS);
      const options: SearchOptions = {
        scope: 'sub',
        filter: new OrFilter({
          filters: asked.map(({ objectGUID }) => new EqualityFilter({ attribute: 'objectGUID', value: objectGUID as Buffer })),
        }),
        attributes: [...ATTRIBUTES, 'replPropertyMetaData'],
        explicitBufferAttributes: ['objectGUID', 'replPropertyMetaData'],
        timeLimit: 0,
      };
      found.push(...(await this.#reads.search(this.#namingContext, options, [new Control(SHOW_DELETED)])).searchEntries);
    }
    return found;
  }

  /** From now on each change calls `onWake`. */
  watch(): void {
    const options: SearchOptions = { scope: 'sub', filter: '(objectClass=*)', attributes: ['objectGUID'], timeLimit: 0 };
    this.#waits.search(this.#namingContext, options, [new Control(NOTIFICATION, { critical: true })]).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.#reads.unbind(), this.#waits.unbind()]);
  }
}
