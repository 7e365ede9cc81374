import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, fetch } from 'undici';
import { onTestFailed } from 'vitest';
import { ControlClient, type ShownRecord } from '../../infra/customer-engagement/control-client.ts';
import type { Bed } from '../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { type LogLine, Namesake, type NamesakeOptions } from '../../infra/testbed/namesake.ts';
import type { LogStatus } from '../../streams/change-log.ts';
import type { Repair } from '../../streams/repair.ts';
import { namesake } from './chain-cli.ts';
import { type History, kafkaHistory, lastRepairs, sqliteHistory } from './chain-history.ts';
import { until } from './chain-wait.ts';

export type Engine = NamesakeOptions['engine'];
const TOLD_LINES = 40;
export const ENGINES: readonly Engine[] = ['kafka', 'sqlite'];

/** One log of its own on a bed, with the product as a process and everything to look at both from outside. */
export class Stage implements AsyncDisposable {
  readonly bed: Bed;
  readonly engine: Engine;
  readonly topicPrefix: string;
  readonly logFile: string;
  readonly control: ControlClient;
  /** The first instance. */
  readonly product: Namesake;
  readonly #options: StageOptions;
  readonly #instances: Namesake[] = [];
  #admin: DirectoryAdmin;

  private constructor(bed: Bed, engine: Engine, options: StageOptions, place: Place, admin: DirectoryAdmin, product: Namesake) {
    this.bed = bed;
    this.engine = engine;
    this.#options = options;
    this.topicPrefix = place.topicPrefix;
    this.logFile = place.logFile;
    this.#admin = admin;
    this.control = new ControlClient(bed.crm.controlUrl);
    this.product = product;
    this.#instances.push(product);
  }

  /** Nothing is started yet; the stand-in's faults, requests and defects of an earlier test are forgotten. */
  static async prepare(bed: Bed, engine: Engine, options: StageOptions = {}): Promise<Stage> {
    const name = `${engine}-${randomBytes(4).toString('hex')}`;
    const place = { topicPrefix: `${name}.`, logFile: join(bed.path, `${name}.db`) };
    const product = await Namesake.prepare({ bed, engine, ...place, ...options, path: join(bed.path, `${name}-1`) });
    const stage = new Stage(bed, engine, options, place, await DirectoryAdmin.connect(bed.directory), product);
    onTestFailed(() => stage.#tell());
    await stage.control.clearFaults();
    await stage.control.setSettings({});
    await stage.control.setLag(0);
    await stage.control.clear();
    return stage;
  }

  /** The other LDAP client. */
  get admin(): DirectoryAdmin {
    return this.#admin;
  }

  /** After the directory was away. */
  async reconnect(): Promise<void> {
    await this.#admin[Symbol.asyncDispose]().catch(() => {});
    this.#admin = await DirectoryAdmin.connect(this.bed.directory);
  }

  /** Renames the account of this name. */
  async rename(sAMAccountName: string, to: string): Promise<void> {
    const found = await this.#admin.find(sAMAccountName);
    if (found === undefined) throw new Error(`there is no account ${sAMAccountName}`);
    await this.#admin.rename(found.objectGUID, to);
  }

  /** Another instance on the same log, with a state directory of its own. */
  async another(options: StageOptions = {}): Promise<Namesake> {
    const { bed, engine, topicPrefix, logFile } = this;
    const path = `${this.product.configFile.replace(/1\/namesake\.yaml$/, '')}${this.#instances.length + 1}`;
    const instance = await Namesake.prepare({ bed, engine, topicPrefix, logFile, ...this.#options, ...options, path });
    this.#instances.push(instance);
    return instance;
  }

  /** Starts an instance and waits until it repairs, which it does once the directory was read whole and the records are linked. */
  async start(product = this.product): Promise<void> {
    const before = (await product.lines()).length;
    await product.start();
    await this.says(/: repairing with /, { product, after: before, within: 60_000 });
  }

  /** The first line of the product's log after so many lines that fits. */
  async says(pattern: RegExp, { product = this.product, after = 0, within = 20_000 } = {}): Promise<LogLine> {
    return await until(
      `${product.name} says ${pattern}`,
      async () => (await product.lines()).slice(after).find(({ msg }) => pattern.test(msg)),
      within,
    );
  }

  async history(): Promise<History> {
    if (this.engine === 'sqlite') return sqliteHistory(this.logFile);
    return await kafkaHistory(this.bed.broker.bootstrap.join(','), this.topicPrefix);
  }

  /** What `namesake status --json` shows. */
  async status(): Promise<LogStatus> {
    const { code, stdout, stderr } = await namesake(['status', '--json', '--config', this.product.configFile]);
    if (code !== 0) throw new Error(`namesake status ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as LogStatus;
  }

  /** The last journal record of the record that was seeded for this name. */
  async repairOf(seededFor: string): Promise<Repair | undefined> {
    return lastRepairs(await this.history()).get(CustomerEngagement.idOf(seededFor));
  }

  /** A record of the stand-in by the sAMAccountName it was seeded for, or by its systemuserid. */
  async record(nameOrId: string): Promise<ShownRecord> {
    const id = /^[0-9a-f-]{36}$/.test(nameOrId) ? nameOrId : CustomerEngagement.idOf(nameOrId);
    const record = (await this.control.records()).find(({ systemuserid }) => systemuserid === id);
    if (record === undefined) throw new Error(`the stand-in has no record for ${nameOrId}`);
    return record;
  }

  /** Gives a record another user name, as an administrator of Customer Engagement would. */
  async giveName(systemuserid: string, domainname: string): Promise<void> {
    const { url, caFile, token } = this.bed.crm;
    const dispatcher = new Agent({ connect: { ca: await readFile(caFile) } });
    const odata = { 'odata-version': '4.0', 'odata-maxversion': '4.0', accept: 'application/json', 'if-match': '*' };
    const answer = await fetch(`${url}/api/data/v9.1/systemusers(${systemuserid})`, {
      method: 'PATCH',
      dispatcher,
      headers: { ...odata, authorization: `Bearer ${token}`, 'content-type': 'application/json; charset=utf-8' },
      body: JSON.stringify({ domainname }),
    });
    const text = await answer.text();
    await dispatcher.close();
    if (answer.status !== 204) throw new Error(`the stand-in refused ${domainname}: ${answer.status} ${text}`);
  }

  /** Resolves once the account of this sAMAccountName can log on to CE. */
  async canLogOn(sAMAccountName: string, within = 20_000): Promise<void> {
    let reason = '';
    await until(
      `${sAMAccountName} can log on`,
      async () => {
        const logon = await this.control.logon(sAMAccountName);
        reason = logon.reason;
        return logon.canLogOn;
      },
      within,
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${reason}`);
    });
  }

  /** The last that each instance said, for whoever reads of a failed test. */
  async #tell(): Promise<void> {
    for (const instance of this.#instances) {
      const lines = (await instance.lines()).slice(-TOLD_LINES).map(({ time, msg }) => `  ${time.slice(11, 23)} ${msg}`);
      console.error([`last lines of ${instance.logFile}:`, ...lines].join('\n'));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#instances.map((instance) => instance.kill()));
    await this.#admin[Symbol.asyncDispose]().catch(() => {});
  }
}

export type StageOptions = Partial<Omit<NamesakeOptions, 'bed' | 'engine' | 'path'>>;

interface Place {
  readonly topicPrefix: string;
  readonly logFile: string;
}
