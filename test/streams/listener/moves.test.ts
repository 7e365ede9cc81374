import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LogError } from '../../../streams/change-log.ts';
import { DirectoryError } from '../../../streams/directory-source.ts';
import { listen } from '../../../streams/listener/listener.ts';
import { MemoryDirectory } from '../../support/memory-directory.ts';
import { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { expectExact, MINUTE, passed, SECOND, SETTINGS, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const FOREST = 'CN=Configuration,DC=forest';

/** Two domains of one forest with two accounts each, and a listener that has read both. */
async function twoDomains({ settings = SETTINGS, forests = [FOREST, FOREST] } = {}) {
  const w = world({ accounts: 0, settings });
  const numbers = { next: 1 };
  const [corp, sales] = ['CORP', 'SALES'].map((domain, index) => {
    const directory = new MemoryDirectory({ number: index + 1, numbers, domain });
    const source = new MemoryDirectorySource(directory, domain.toLowerCase());
    source.forest = forests[index] ?? FOREST;
    return { directory, source };
  });
  if (corp === undefined || sales === undefined) throw new Error('two domains were made');
  const create = (directory: MemoryDirectory, sAMAccountName: string) => directory.create({ sAMAccountName }) ?? '';
  const ann = create(corp.directory, 'ann');
  const ben = create(corp.directory, 'ben');
  const zoe = create(sales.directory, 'zoe');
  const baseline = new Map([...corp.directory.identities(), ...sales.directory.identities()]);
  const read = async (...domains: { source: MemoryDirectorySource }[]) => {
    for (const { source } of domains) {
      source.wakes.next();
      await passed(SECOND);
    }
  };
  const start = async () => {
    w.start([corp.source, sales.source]);
    await passed(SECOND);
  };
  const kinds = () => w.log.events.map(({ kind }) => kind);
  const domains = () => w.log.events.map(({ before, after }) => [before?.domain, after?.domain]);
  const check = () => {
    const identities = () => new Map([...corp.directory.identities(), ...sales.directory.identities()]);
    expectExact({ directory: { identities }, log: w.log }, { identities: () => new Map(baseline) });
  };
  return { ...w, corp, sales, ann, ben, zoe, read, start, kinds, domains, check };
}

type TwoDomains = Awaited<ReturnType<typeof twoDomains>>;

/** Makes a domain unreachable until its interference is taken back. */
function takeAway({ source }: { source: MemoryDirectorySource }): void {
  const gone = () => {
    throw new DirectoryError('unavailable', 'away');
  };
  source.interference = { open: gone, readObject: gone };
  source.lose();
}

function expectOneMove(w: TwoDomains): void {
  expect(w.kinds()).toEqual(['moved-domain']);
  expect(w.log.events[0]).toMatchObject({
    objectGUID: w.ann,
    before: { domain: 'CORP', sAMAccountName: 'ann' },
    after: { domain: 'SALES', sAMAccountName: 'ann' },
    observed: { dc: 'dc2', origin: { usn: expect.any(String) } },
  });
  expect(w.log.events[0]?.after?.objectSid).not.toBe(w.log.events[0]?.before?.objectSid);
  w.check();
}

describe('an account that is moved to another domain of its forest (SPEC rules 1, 3)', () => {
  test.each([
    ['the one that it left', true],
    ['the one that it came to', false],
  ])('is told once when %s is read first', async (_, isLeftFirst) => {
    const w = await twoDomains();
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await (isLeftFirst ? w.read(w.corp, w.sales) : w.read(w.sales, w.corp));
    await passed(5 * MINUTE);
    expectOneMove(w);
  });

  test('is told as what the new domain says, wherever it was noticed', async () => {
    const w = await twoDomains();
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp);
    expectOneMove(w);
    expect(w.log.batches.find(({ changes }) => changes.length > 0)?.namingContext).toBe('DC=sales');
    expect(w.log.positions.get('DC=corp')?.recent).toEqual([]);
  });

  test.each([
    ['the one that it left', true],
    ['the one that it came to', false],
  ])('left the scope when it is out of scope there, and is not deleted: %s is read first', async (_, isLeftFirst) => {
    const w = await twoDomains();
    w.sales.source.scope = { text: 'nobody new', has: (objectGUID) => objectGUID === w.zoe };
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await (isLeftFirst ? w.read(w.corp, w.sales) : w.read(w.sales, w.corp));
    await passed(2 * MINUTE);
    expect(w.log.events).toMatchObject([{ kind: 'left-scope', objectGUID: w.ann, before: { domain: 'CORP' }, after: null }]);
    expect(w.log.positions.get('DC=corp')?.held).toEqual({});
  });

  test('is created where it comes into scope by that', async () => {
    const w = await twoDomains();
    w.corp.source.scope = { text: 'not Ann', has: (objectGUID) => objectGUID !== w.ann };
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp, w.sales);
    await passed(2 * MINUTE);
    expect(w.log.events).toMatchObject([{ kind: 'created', objectGUID: w.ann, before: null, after: { domain: 'SALES' } }]);
  });

  test('is told once when it left no trace', async () => {
    const w = await twoDomains();
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann, { trace: false });
    await w.read(w.corp, w.sales);
    await passed(5 * MINUTE);
    expectOneMove(w);
  });

  test.each([1, 55])('is told once when the domain that it came to shows it %i s later', async (seconds) => {
    const w = await twoDomains();
    await w.start();
    const slow = new MemoryDirectory({ number: 2, domain: 'SALES' });
    slow.replicateFrom(w.sales.directory);
    w.sales.source.directory = slow;
    w.sales.source.lose();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp);
    await passed(seconds * SECOND);
    expect(w.kinds()).toEqual([]);
    w.sales.source.directory = w.sales.directory;
    w.sales.source.lose();
    await passed(5 * MINUTE);
    expectOneMove(w);
    expect(w.log.positions.get('DC=corp')?.held).toEqual({});
  });

  test('is created at once where it shows up after it was told as deleted', async () => {
    const w = await twoDomains();
    await w.start();
    const { promise, resolve } = Promise.withResolvers<void>();
    w.sales.source.interference = { page: () => promise, readObject: () => Promise.reject(new DirectoryError('unavailable', 'away')) };
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp);
    await passed(SETTINGS.maxLag + 5 * MINUTE);
    expect(w.kinds()).toEqual(['deleted']);
    w.sales.source.interference = {};
    resolve();
    await passed(SECOND);
    expect(w.kinds()).toEqual(['deleted', 'created']);
    w.check();
  });

  test('is told once when the domain that it came to refuses to show just this one', async () => {
    const w = await twoDomains();
    await w.start();
    const { promise, resolve } = Promise.withResolvers<void>();
    w.sales.source.interference = { page: () => promise, refuses: (objectGUID) => objectGUID === w.ann };
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp);
    await passed(5 * MINUTE);
    expect(w.kinds()).toEqual([]);
    w.sales.source.interference = {};
    resolve();
    await passed(5 * MINUTE);
    expectOneMove(w);
  });

  test('SPEC rule 5: is told once when comparisons find it', async () => {
    for (const trace of [true, false]) {
      const w = await twoDomains();
      await w.start();
      w.corp.directory.moveTo(w.sales.directory, w.ann, { trace });
      w.sales.source.interference = { page: () => new Promise(() => {}) };
      w.corp.source.resumeRefused = { reason: 'restored', lossy: true };
      w.corp.source.lose();
      await passed(MINUTE);
      expectOneMove(w);
      expect(w.log.events[0]?.observed.via).toBe('comparison');
      w.abort.abort();
    }
  });

  test('is told once when its new domain is read for the first time', async () => {
    const w = await twoDomains();
    await w.start();
    w.abort.abort();
    await passed(SECOND);
    w.log.positions.delete('DC=sales');
    w.log.known.put(w.zoe, null);
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    const abort = new AbortController();
    listen([w.sales.source, w.corp.source], w.log, SETTINGS, abort.signal).subscribe();
    await passed(MINUTE);
    expectOneMove(w);
    abort.abort();
  });

  test('comes back, and is told again', async () => {
    const w = await twoDomains();
    await w.start();
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp, w.sales);
    w.sales.directory.moveTo(w.corp.directory, w.ann);
    await w.read(w.sales, w.corp);
    await passed(5 * MINUTE);
    expect(w.domains()).toEqual([
      ['CORP', 'SALES'],
      ['SALES', 'CORP'],
    ]);
    w.check();
  });

  test('whoever takes its name hears who had it, and has it', async () => {
    const w = await twoDomains();
    await w.start();
    w.sales.directory.rename(w.zoe, 'zoe2');
    w.corp.directory.moveTo(w.sales.directory, w.ben);
    w.corp.directory.rename(w.ann, 'ben');
    w.sales.directory.rename(w.ben, 'zoe');
    await w.read(w.corp, w.sales);
    expect(w.log.events.map(({ kind, after, formerHolder }) => [kind, after?.domain, after?.sAMAccountName, formerHolder])).toEqual([
      ['moved-domain', 'SALES', 'ben', null],
      ['renamed', 'SALES', 'zoe', w.zoe],
      ['renamed', 'CORP', 'ben', w.ben],
      ['renamed', 'SALES', 'zoe2', null],
    ]);
    expect(w.log.known.holder('CORP', 'ben')).toBe(w.ann);
    expect(w.log.known.holder('SALES', 'zoe')).toBe(w.ben);
    await passed(5 * MINUTE);
    w.check();
  });

  test('is no deletion that anybody has to accept, however many they are', async () => {
    const w = await twoDomains();
    for (let i = 1; i <= 30; i++) w.corp.directory.create({ sAMAccountName: `user${i}` });
    await w.start();
    for (const guid of w.corp.directory.guids()) w.corp.directory.moveTo(w.sales.directory, guid);
    await w.read(w.corp);
    expect(w.kinds()).toEqual(Array(32).fill('moved-domain'));
    expect(w.reportsOf('withheld')).toEqual([]);
  });

  test('a domain controller that has not heard of it takes nothing back', async () => {
    const w = await twoDomains();
    await w.start();
    const late = new MemoryDirectory({ number: 3, domain: 'CORP' });
    late.replicateFrom(w.corp.directory);
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.sales, w.corp);
    late.set(w.ann, { mail: 'a@b' });
    w.corp.source.directory = late;
    w.corp.source.lose();
    await passed(5 * MINUTE);
    expect(w.kinds()).toEqual(['moved-domain']);
    late.replicateFrom(w.corp.directory);
    await passed(5 * MINUTE);
    expectOneMove(w);
    expect(w.log.positions.get('DC=corp')?.held).toEqual({});
  });
});

describe('an account that is deleted where there are several domains', () => {
  test('is told when it has not turned up elsewhere within a minute', async () => {
    const w = await twoDomains();
    await w.start();
    w.corp.directory.delete(w.ann);
    await w.read(w.corp);
    await passed(50 * SECOND);
    expect(w.kinds()).toEqual([]);
    await passed(50 * SECOND);
    expect(w.kinds()).toEqual(['deleted']);
    w.check();
  });

  test('is told at once where they are no domains of one forest', async () => {
    const w = await twoDomains({ forests: [FOREST, 'CN=Configuration,DC=other'] });
    await w.start();
    takeAway(w.sales);
    w.corp.directory.delete(w.ann);
    await w.read(w.corp);
    expect(w.kinds()).toEqual(['deleted']);
    w.check();
  });

  test('waits for a domain that is away, and was moved when that comes back', async () => {
    const w = await twoDomains();
    await w.start();
    takeAway(w.sales);
    w.corp.directory.moveTo(w.sales.directory, w.ann);
    await w.read(w.corp);
    w.corp.directory.rename(w.ben, 'goes on');
    await passed(30 * MINUTE);
    expect(w.kinds()).toEqual(['renamed']);
    expect(Object.keys(w.log.positions.get('DC=corp')?.held ?? {})).toEqual([w.ann]);
    w.sales.source.interference = {};
    await passed(5 * MINUTE);
    expect(w.kinds()).toEqual(['renamed', 'moved-domain']);
    w.check();
  });

  test('waits no longer than maxLag for a domain that is away, also over a restart', async () => {
    const w = await twoDomains();
    await w.start();
    takeAway(w.sales);
    w.corp.directory.delete(w.ann);
    await w.read(w.corp);
    await passed(30 * MINUTE);
    w.log.lost.abort(new LogError('opened anew'));
    await passed(29 * MINUTE);
    expect(w.kinds()).toEqual([]);
    await passed(2 * MINUTE);
    expect(w.kinds()).toEqual(['deleted']);
    w.check();
  });

  test('is withheld at once with many others, and told at once when they are accepted', async () => {
    const w = await twoDomains();
    for (let i = 1; i <= 8; i++) w.corp.directory.create({ sAMAccountName: `user${i}` });
    await w.start();
    for (const guid of w.corp.directory.guids()) w.corp.directory.delete(guid);
    await w.read(w.corp);
    const digest = w.log.positions.get('DC=corp')?.withheld?.digest ?? '';
    const time = new Date().toISOString();
    w.log.requests.push({ id: 'yes', kind: 'accept-deletions', namingContext: 'DC=corp', digest, time });
    await passed(20 * SECOND);
    expect(w.kinds()).toEqual(Array(10).fill('deleted'));
  });

  test('those that waited and are too many together are withheld steadily, and can be accepted', async () => {
    const w = await twoDomains();
    for (let i = 1; i <= 8; i++) w.corp.directory.create({ sAMAccountName: `user${i}` });
    await w.start();
    for (const guid of w.corp.directory.guids()) {
      w.corp.directory.delete(guid);
      await w.read(w.corp);
    }
    await passed(5 * MINUTE);
    const { digest = '', deletions } = w.log.positions.get('DC=corp')?.withheld ?? {};
    expect(deletions).toBe(10);
    for (let i = 0; i < 60; i++) {
      await passed(SECOND);
      expect(w.log.positions.get('DC=corp')?.withheld?.digest).toBe(digest);
    }
    const time = new Date().toISOString();
    w.log.requests.push({ id: 'yes', kind: 'accept-deletions', namingContext: 'DC=corp', digest, time });
    await passed(20 * SECOND);
    expect(w.kinds()).toEqual(Array(10).fill('deleted'));
    w.check();
  });
});

test('SPEC rule 2: two domains that change at once are published one after the other', async () => {
  const w = await twoDomains();
  await w.start();
  w.log.interference = { before: (operation) => (operation === 'append' ? passedMeanwhile() : undefined) };
  w.corp.directory.rename(w.ann, 'x');
  w.sales.directory.rename(w.zoe, 'y');
  w.corp.source.wakes.next();
  w.sales.source.wakes.next();
  await passed(5 * SECOND);
  expect(w.kinds()).toEqual(['renamed', 'renamed']);
  expect(w.outcome()).toBeUndefined();
  w.check();
});

const passedMeanwhile = () => new Promise<void>((resolve) => setTimeout(resolve, 100));

const who = fc.nat(5);
const where = fc.constantFrom('corp' as const, 'sales' as const);
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('move' as const), who, trace: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('rename' as const), who, name: fc.constantFrom('a', 'b', 'c', 'd') }) },
  fc.record({ op: fc.constant('delete' as const), who }),
  { weight: 3, arbitrary: fc.record({ op: fc.constant('read' as const), where }) },
  fc.record({ op: fc.constant('compare' as const), where }),
  fc.record({ op: fc.constant('lose' as const), where }),
  fc.record({ op: fc.constant('away' as const), where }),
  fc.record({ op: fc.constant('back' as const), where }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant('time' as const), seconds: fc.integer({ min: 1, max: 90 }) }) },
);

test('SPEC rules 1, 3: whatever is moved and read in whichever order, no move is told as a deletion and the history is whole', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 3, maxLength: 40 }), async (steps) => {
      const w = await twoDomains({ settings: { ...SETTINGS, maxLag: 1_000 * MINUTE, deletionLimit: { count: 1_000, percent: 100 } } });
      for (const name of ['e', 'f', 'g']) w.corp.directory.create({ sAMAccountName: name });
      const everybody = [...w.corp.directory.guids(), ...w.sales.directory.guids()];
      const baseline = new Map([...w.corp.directory.identities(), ...w.sales.directory.identities()]);
      await w.start();
      let deleted = 0;
      for (const step of steps) {
        const guid = everybody['who' in step ? step.who : 0] ?? '';
        const isInCorp = w.corp.directory.identities().has(guid);
        const here = isInCorp ? w.corp.directory : w.sales.directory;
        const isAlive = isInCorp || w.sales.directory.identities().has(guid);
        if (step.op === 'move' && isAlive) here.moveTo(isInCorp ? w.sales.directory : w.corp.directory, guid, step);
        else if (step.op === 'rename' && isAlive) here.rename(guid, step.name);
        else if (step.op === 'delete' && isAlive && here.delete(guid)) deleted++;
        else if (step.op === 'read') await w.read(w[step.where]);
        else if (step.op === 'time') await passed(step.seconds * SECOND);
        else if (step.op === 'lose') w[step.where].source.lose();
        else if (step.op === 'away') takeAway(w[step.where]);
        else if (step.op === 'back') w[step.where].source.interference = {};
        else if (step.op === 'compare') {
          const namingContext = w[step.where].source.namingContext;
          w.log.requests.push({ id: `${w.log.requests.length}`, kind: 'compare', namingContext, time: new Date().toISOString() });
        }
      }
      for (const { source } of [w.corp, w.sales]) source.interference = {};
      await passed(5 * MINUTE);
      const identities = () => new Map([...w.corp.directory.identities(), ...w.sales.directory.identities()]);
      expectExact({ directory: { identities }, log: w.log }, { identities: () => new Map(baseline) });
      expect(w.kinds().filter((kind) => kind === 'deleted').length).toBeLessThanOrEqual(deleted);
      expect(w.kinds()).not.toContain('created');
      expect(w.kinds()).not.toContain('restored');
      w.abort.abort();
      await passed(SECOND);
    }),
    { numRuns: 100 },
  );
});
