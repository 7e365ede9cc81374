import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Attribute, Change, Client } from 'ldapts';
import type { Directory } from '../../infra/testbed/directory.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { guidTextOf } from '../support/directory-values.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const DEADLINE = 20_000;
/** DISABLE_INBOUND_REPL in `options` of its NTDS Settings: it pulls nothing. */
const INBOUND_DISABLED = 0x2;

/** One domain controller, whoever writes to it, and the line over which the listener reaches it. */
export class Controller implements AsyncDisposable {
  readonly directory: Directory;
  readonly line: TcpProxy;
  invocationId = '';
  #state: 'up' | 'frozen' | 'down' = 'up';
  #pulls = true;
  #coming: Promise<void> | undefined;
  #client: Client | undefined;
  #admin: DirectoryAdmin | undefined;

  private constructor(directory: Directory, line: TcpProxy) {
    this.directory = directory;
    this.line = line;
  }

  static async of(directory: Directory): Promise<Controller> {
    const line = await TcpProxy.start({ host: directory.address, port: 636 });
    const controller = new Controller(directory, line);
    const settings = await controller.#settings();
    controller.invocationId = guidTextOf(settings.invocationId as Buffer);
    return controller;
  }

  get name(): string {
    return this.directory.name;
  }

  /** For the listener. */
  get url(): string {
    return `ldaps://${this.directory.address}:${this.line.port}`;
  }

  /** Whether this is its dnsHostName, which is written in any case. */
  isCalled(hostName: string | undefined): boolean {
    return hostName?.toLowerCase() === this.directory.hostName;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen';
  }

  /** Whether it pulls what is written on the other one. */
  get pulls(): boolean {
    return this.#pulls;
  }

  async client(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const { url, caFile, admin } = this.directory;
    const client = new Client({ url, timeout: DEADLINE, connectTimeout: DEADLINE, tlsOptions: { ca: await readFile(caFile) } });
    await client.bind(admin.bindDn, admin.password);
    this.#client = client;
    return client;
  }

  async admin(): Promise<DirectoryAdmin> {
    this.#admin ??= await DirectoryAdmin.connect(this.directory);
    return this.#admin;
  }

  async setPulls(pulls: boolean): Promise<void> {
    const settings = await this.#settings();
    const options = Number(settings.options ?? 0);
    const changed = pulls ? options & ~INBOUND_DISABLED : options | INBOUND_DISABLED;
    this.#pulls = pulls;
    if (changed === options) return;
    const modification = new Attribute({ type: 'options', values: [String(changed)] });
    await (await this.client()).modify(settings.dn, new Change({ operation: 'replace', modification }));
  }

  freeze(): void {
    this.#state = 'frozen';
    this.directory.pause();
  }

  wake(): void {
    this.directory.resume();
    this.#state = 'up';
  }

  async kill(): Promise<void> {
    await this.#down(() => this.directory.kill());
  }

  async stop(): Promise<void> {
    await this.#down(() => this.directory.stop());
  }

  /** Begins; it is up some time later. */
  comeBack(): void {
    this.#coming ??= this.directory.start().then(() => {
      this.#state = 'up';
      this.#coming = undefined;
    });
    // Told where it is waited for.
    this.#coming.catch(() => {});
  }

  async up(): Promise<void> {
    if (this.isFrozen) this.wake();
    if (this.#state === 'down') this.comeBack();
    await this.#coming;
  }

  async save(name: string): Promise<void> {
    await this.#down(() => this.directory.save(name));
    this.#state = 'up';
  }

  async rollBack(name: string): Promise<void> {
    const pulls = this.#pulls;
    await this.#down(() => this.directory.rollBack(name));
    this.#state = 'up';
    await this.setPulls(pulls);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#coming?.catch(() => {});
    await this.#disconnect();
    await this.line[Symbol.asyncDispose]();
  }

  async #settings() {
    const client = await this.client();
    const rootDse = await client.search('', { scope: 'base', attributes: ['dsServiceName'] });
    const { searchEntries } = await client.search(String(rootDse.searchEntries[0]?.dsServiceName), {
      scope: 'base',
      attributes: ['options', 'invocationId'],
      explicitBufferAttributes: ['invocationId'],
    });
    const [settings] = searchEntries;
    if (settings === undefined) throw new Error(`${this.name} shows no NTDS Settings`);
    return settings;
  }

  async #down(body: () => Promise<void>): Promise<void> {
    this.#state = 'down';
    await this.#disconnect();
    await body();
  }

  async #disconnect(): Promise<void> {
    const [client, admin] = [this.#client, this.#admin];
    [this.#client, this.#admin] = [undefined, undefined];
    // Nothing of it is needed any more, and it may be gone already.
    const farewells = Promise.allSettled([client?.unbind(), admin?.[Symbol.asyncDispose]()]);
    await Promise.race([farewells, delay(1_000, undefined, { ref: false })]);
  }
}
