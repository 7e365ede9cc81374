import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import type { DirectorySource } from '../../streams/directory-source.ts';
import { DryRun } from '../../streams/listener/dry-run.ts';
import { until } from '../support/chain-wait.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeDomainController } from '../support/fake-domain-controller.ts';
import { LdapServer } from '../support/ldap-server.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { Listening } from './listening.ts';
import { NEVER, settingsFor } from './scripted-dc.ts';

const ROOT = 'DC=corp,DC=example,DC=test';
const CHILD = `DC=sales,${ROOT}`;
/** Milliseconds: less than any of these tests waits, and much less than a test may take. */
const MOVES_WITHIN = 300;

/** A forest of two domains, each with a domain controller that a listener reaches by LDAP, and the listener on both. */
class Forest implements AsyncDisposable {
  readonly corp = new FakeDomainController(new FakeDirectory({ namingContext: ROOT, recycleBin: true }));
  readonly sales = new FakeDomainController(
    new FakeDirectory({
      namingContext: CHILD,
      forest: ROOT,
      domain: 'SALES',
      host: 'dc1.sales.corp.example.test',
      invocationId: 'd0000001-0000-4000-8000-000000000002',
    }),
  );
  readonly log = new MemoryChangeLog();
  readonly #releases = new AsyncDisposableStack();
  /** New ones, of both domains. */
  sources: () => DirectorySource[] = () => [];
  #marks = 0;
  #listening: Listening | undefined;

  get listening(): Listening {
    if (this.#listening === undefined) throw new Error('nobody listens yet');
    return this.#listening;
  }

  async start(): Promise<void> {
    const dcs = [this.corp, this.sales];
    const servers = await Promise.all(dcs.map((dc) => LdapServer.start(dc.answer)));
    for (const server of servers) this.#releases.use(server);
    const [inCorp = '', inSales = ''] = dcs.map(({ directory }) => directory.addUser({ sAMAccountName: 'mark' }));
    const mark = async () => {
      const mail = `mark${++this.#marks}@example.test`;
      this.corp.directory.modify(inCorp, { mail });
      this.sales.directory.modify(inSales, { mail });
      return ({ known }: MemoryChangeLog) => [inCorp, inSales].every((guid) => known.identity(guid)?.mail === mail);
    };
    this.sources = () => servers.map((server) => ldapDirectorySource(settingsFor(server, { deadline: 2_000 })));
    const settings = { ...READING, readEvery: 100, movesWithin: MOVES_WITHIN };
    this.#listening = this.#releases.use(new Listening(this.sources(), inCorp, mark, this.log, settings));
    await this.#listening.start();
  }

  /** What was told of an account. */
  told(objectGUID: string) {
    return this.log.events.filter((event) => event.objectGUID === objectGUID);
  }

  check(): void {
    expect(this.log.known.identities).toEqual(new Map([...this.corp.directory.identities(), ...this.sales.directory.identities()]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#releases.disposeAsync();
  }
}

let forest: Forest;

beforeEach(() => {
  forest = new Forest();
});

afterEach(() => forest[Symbol.asyncDispose]());

const AWAY = () => ({ code: 51, diagnostic: 'busy' });

describe('two domains of one forest over LDAP (SPEC rules 1, 3)', () => {
  it('a move there and back is one event each time, and never a deletion', async () => {
    const { corp, sales, listening } = await started();
    const ann = corp.directory.addUser({ sAMAccountName: 'ann', attributes: { mail: 'ann@example.test' } });
    await listening.events(async () => {});
    await listening.events(async () => corp.directory.moveTo(sales.directory, ann, `CN=ann,${CHILD}`));
    await listening.events(async () => sales.directory.moveTo(corp.directory, ann, `CN=ann,${ROOT}`));
    expect(forest.told(ann).map(({ kind, after }) => [kind, after?.domain])).toEqual([
      ['created', 'CORP'],
      ['moved-domain', 'SALES'],
      ['moved-domain', 'CORP'],
    ]);
    const [, there] = forest.told(ann);
    expect(there).toMatchObject({
      changed: ['domain', 'objectSid'],
      before: { domain: 'CORP', sAMAccountName: 'ann', mail: 'ann@example.test' },
      after: { sAMAccountName: 'ann', mail: 'ann@example.test' },
      observed: { dc: 'dc1.sales.corp.example.test', dn: `CN=ann,${CHILD}`, origin: { invocationId: sales.directory.invocationId } },
    });
    forest.check();
  });

  it('fifty moves while it was stopped are fifty events', async () => {
    const { corp, sales, listening } = await started();
    const guids = Array.from({ length: 50 }, (_, index) => corp.directory.addUser({ sAMAccountName: `user${index}` }));
    await listening.events(async () => {});
    const events = await listening.eventsAfterAbsence(async () => {
      for (const [index, guid] of guids.entries()) corp.directory.moveTo(sales.directory, guid, `CN=user${index},${CHILD}`);
    });
    expect(events.filter(({ kind }) => kind === 'moved-domain')).toHaveLength(50);
    expect(events.filter(({ kind }) => kind === 'deleted')).toEqual([]);
    forest.check();
  });

  it('while the other domain is away a deletion is not told, and then it was a move', async () => {
    const { corp, sales, listening } = await started();
    const [ann, ben] = ['ann', 'ben'].map((sAMAccountName) => corp.directory.addUser({ sAMAccountName }));
    if (ann === undefined || ben === undefined) throw new Error('two were made');
    await listening.events(async () => {});
    sales.refuse = AWAY;
    await until('its domain controller is given up', async () => listening.reportsOf('waiting').length > 0);
    corp.directory.moveTo(sales.directory, ann, `CN=ann,${CHILD}`);
    corp.directory.delete(ben);
    await until('both wait', async () => Object.keys(forest.log.positions.get(ROOT)?.held ?? {}).length === 2);
    corp.directory.addUser({ sAMAccountName: 'carl' });
    await until('the others go on', async () => forest.log.known.holder('CORP', 'carl') !== undefined);
    expect(forest.told(ann).map(({ kind }) => kind)).toEqual(['created']);
    sales.refuse = () => undefined;
    await until('the move is told', async () => forest.told(ann).length > 1);
    await until('the deletion is told', async () => forest.told(ben).length > 1);
    expect(forest.told(ann).map(({ kind }) => kind)).toEqual(['created', 'moved-domain']);
    expect(forest.told(ben).map(({ kind }) => kind)).toEqual(['created', 'deleted']);
    forest.check();
  });

  it('whoever is deleted and nowhere else is told as deleted', async () => {
    const { corp, listening } = await started();
    const ann = corp.directory.addUser({ sAMAccountName: 'ann' });
    await listening.events(async () => {});
    corp.directory.delete(ann);
    await until('the deletion is told', async () => forest.told(ann).length > 1);
    expect(forest.told(ann).map(({ kind }) => kind)).toEqual(['created', 'deleted']);
    forest.check();
  });
});

describe('a look at what a comparison would tell', () => {
  it('tells a move once, as that, whichever domain is looked at first, and nobody of it', async () => {
    for (const order of [0, 1]) {
      const { corp, sales, listening } = await started();
      const ann = corp.directory.addUser({ sAMAccountName: 'ann' });
      await listening.events(async () => {});
      await listening.stop();
      const before = forest.log.events.length;
      corp.directory.moveTo(sales.directory, ann, `CN=ann,${CHILD}`);
      const sources = forest.sources();
      if (order === 1) sources.reverse();
      await using dryRun = await DryRun.open(sources, await forest.log.look(), READING, NEVER);
      const told: ChangeEvent[] = [];
      for (const session of dryRun.sessions) {
        const reports = await lastValueFrom(dryRun.compare(session, NEVER).pipe(toArray()));
        for (const report of reports) if (report.type === 'published') told.push(...report.events);
      }
      expect(told.map(({ kind, objectGUID }) => [kind, objectGUID])).toEqual([['moved-domain', ann]]);
      expect(forest.log.events.length).toBe(before);
      await forest[Symbol.asyncDispose]();
      forest = new Forest();
    }
  });
});

async function started(): Promise<Forest> {
  await forest.start();
  return forest;
}
