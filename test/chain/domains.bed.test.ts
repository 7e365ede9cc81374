import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { Directory } from '../../infra/testbed/directory.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { topicRecords } from '../support/chain-history.ts';
import { ENGINES, type Engine, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

/** Milliseconds within which a change is told, also on a busy machine, and also of a domain that has just come back. */
const TOLD = 40_000;

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, secondForest: true, users: 3 });
}, 300_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** The product on both domains, with an administrator of each. Both of them have somebody called alee. */
class TwoDomains implements AsyncDisposable {
  readonly stage: Stage;
  #partner: DirectoryAdmin;

  private constructor(stage: Stage, partner: DirectoryAdmin) {
    this.stage = stage;
    this.#partner = partner;
  }

  static async start(engine: Engine): Promise<TwoDomains> {
    const entry = ({ url, caFile, service: { bindDn, passwordFile } }: Directory) => ({ urls: [url], bindDn, passwordFile, caFile });
    const directories = [entry(bed.directory), entry(bed.secondForest)];
    const stage = await Stage.prepare(bed, engine, { settings: { directories, listener: { readEvery: '2s' } } });
    const domains = new TwoDomains(stage, await DirectoryAdmin.connect(bed.secondForest));
    await stage.start();
    await domains.#positions();
    return domains;
  }

  get corp(): DirectoryAdmin {
    return this.stage.admin;
  }

  get partner(): DirectoryAdmin {
    return this.#partner;
  }

  async reconnect(): Promise<void> {
    await this.#partner[Symbol.asyncDispose]().catch(() => {});
    this.#partner = await DirectoryAdmin.connect(bed.secondForest);
  }

  /** Renames an account of either domain, and waits until that is told. */
  async rename(admin: DirectoryAdmin, name: string, to: string): Promise<void> {
    await admin.rename((await admin.find(name))?.objectGUID ?? '', to);
    await this.tells('renamed', to);
  }

  /** Of an account that has this name afterwards, or had it before it was gone. */
  async tells(kind: string, name: string): Promise<void> {
    const isTold = async () =>
      (await this.stage.history()).events.some((event) => event.kind === kind && (event.after ?? event.before)?.sAMAccountName === name);
    await until(`${kind} ${name} is told`, isTold, TOLD, 100);
  }

  /** By naming context. */
  async #positions(): Promise<string[]> {
    return await until('both have been read to their ends', async () => {
      const contexts = (await this.stage.status()).positions.map(({ namingContext }) => namingContext);
      return contexts.length === 2 ? contexts.sort() : undefined;
    });
  }

  /** The log as a whole: numbered without a hole, and each event with the domain that it is of. */
  async check(): Promise<void> {
    const { events } = await this.stage.history();
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
    for (const { before, after, observed } of events) {
      const { netbios, namingContext } = (before ?? after)?.domain === bed.directory.netbios ? bed.directory : bed.secondForest;
      expect((before ?? after)?.domain).toBe(netbios);
      expect(observed.dn.toLowerCase()).toContain(namingContext.toLowerCase());
    }
    expect(await this.#positions()).toEqual([bed.directory.namingContext, bed.secondForest.namingContext].sort());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#partner[Symbol.asyncDispose]().catch(() => {});
    await this.stage[Symbol.asyncDispose]();
  }
}

describe.each(ENGINES)('two forests in one configuration, on %s (rules 1, 2, 5)', (engine) => {
  const name = (what: string) => `${engine}-${what}`;

  it('both are told on one log, each goes on where it stood, and one that is away stops nothing', async () => {
    await using domains = await TwoDomains.start(engine);
    const { stage, corp } = domains;
    const { objectGUID } = await corp.create({ sAMAccountName: name('ann') });
    await domains.tells('created', name('ann'));
    await domains.partner.create({ sAMAccountName: name('ann') });
    await until('both are told', async () => (await stage.history()).events.length === 2, TOLD);
    const created = (await stage.history()).events.map(({ after, formerHolder }) => [after?.domain, after?.sAMAccountName, formerHolder]);
    // Names are of a domain: nobody took anybody's.
    expect(created).toEqual([
      ['CORP', name('ann'), null],
      ['PARTNER', name('ann'), null],
    ]);

    await stage.product.stop();
    await corp.rename(objectGUID, name('corp-2'));
    await domains.partner.rename((await domains.partner.find(name('ann')))?.objectGUID ?? '', name('partner-2'));
    await stage.start();
    await domains.tells('renamed', name('corp-2'));
    await domains.tells('renamed', name('partner-2'));

    await bed.secondForest.stop();
    await stage.says(/trying again/);
    await domains.rename(corp, name('corp-2'), name('corp-3'));
    // No account of another forest can have been moved there, so nothing waits for it.
    await corp.delete(objectGUID);
    await domains.tells('deleted', name('corp-3'));
    await bed.secondForest.start();
    await domains.reconnect();
    await domains.rename(domains.partner, name('partner-2'), name('partner-3'));

    expect((await stage.history()).events.map(({ kind }) => kind).sort()).toEqual(
      ['created', 'created', 'renamed', 'renamed', 'renamed', 'renamed', 'deleted'].sort(),
    );
    await domains.check();
  });
});

it('on Kafka each event says which domain it is of, and where the listener stands is kept for each', async () => {
  await using domains = await TwoDomains.start('kafka');
  const { stage } = domains;
  await domains.corp.create({ sAMAccountName: 'of-corp' });
  await domains.partner.create({ sAMAccountName: 'of-partner' });
  await domains.tells('created', 'of-corp');
  await domains.tells('created', 'of-partner');
  const bootstrap = bed.broker.bootstrap.join(',');
  const sources = (await topicRecords(bootstrap, `${stage.topicPrefix}identity-change`)).map(({ headers = [] }) => {
    return headers[headers.indexOf('ce_source') + 1];
  });
  const contexts = [bed.directory.namingContext, bed.secondForest.namingContext];
  expect(sources.sort()).toEqual(contexts.map((context) => `ldap:///${context}`).sort());
  const keys = new Set((await topicRecords(bootstrap, `${stage.topicPrefix}identity-position`)).map(({ key }) => key));
  expect([...keys].sort()).toEqual([...contexts, 'sequence'].sort());
});
