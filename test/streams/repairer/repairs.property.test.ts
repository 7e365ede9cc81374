import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Fate } from '../../support/memory-customer-engagement.ts';
import { guid } from '../../support/memory-directory.ts';
import { MINUTE, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const passed = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
const user = fc.integer({ min: 1, max: 12 });

const change = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant('rename' as const),
      who: user,
      to: fc.constantFrom('n1', 'n2', 'n3', 'n4', 'user1', 'user2', 'user3'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('swap' as const), who: user, other: user }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('cycle' as const), who: user, length: fc.integer({ min: 3, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('chain' as const), who: user, length: fc.integer({ min: 2, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('case' as const), who: user }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('delete' as const), who: user }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('restore' as const), who: user, to: fc.constantFrom('n5', 'n6') }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('own' as const), to: fc.constantFrom('svc', 'svc2') }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('new' as const), name: fc.constantFrom('n1', 'n2', 'user1') }) },
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

const trouble = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ what: 'kill' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant('break' as const),
      when: fc.constantFrom('before' as const, 'after' as const),
      skip: fc.nat(4),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ what: 'restart' as const }) },
);
type Trouble = typeof trouble extends fc.Arbitrary<infer T> ? T : never;

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Fate>('ok') },
  { weight: 2, arbitrary: fc.constantFrom<Fate>('transient', 'unknown-outcome', 'lost', 'conflict') },
);

/** Milliseconds until the next step. */
const pause = fc.oneof(fc.nat(12), fc.nat(300), fc.nat(5_000));

function apply(world: World, change: Change): void {
  const { directory } = world;
  const one = 'who' in change ? ((change.who - 1) % world.users) + 1 : 1;
  const account = (number: number) => guid('account', ((number - 1) % world.users) + 1);
  const nameOf = (number: number) => directory.nameOf(account(number));
  switch (change.what) {
    case 'rename':
      directory.rename(account(one), change.to);
      break;
    case 'swap':
      directory.swap(account(one), account(change.other));
      break;
    case 'cycle':
      for (let i = 1; i < change.length; i++) directory.swap(account(one), account(one + i));
      break;
    case 'chain':
      for (let i = 0, free = `free${directory.usn}`; i < change.length; i++) {
        const name = nameOf(one + i);
        if (name === undefined || !directory.rename(account(one + i), free)) break;
        free = name;
      }
      break;
    case 'case':
      directory.rename(account(one), (nameOf(one) ?? '').toUpperCase());
      break;
    case 'delete':
      directory.delete(account(one));
      break;
    case 'restore':
      if (nameOf(one) === undefined) directory.restore(account(one), change.to);
      break;
    case 'own':
      directory.rename(directory.holder('svc') ?? directory.holder('svc2') ?? '', change.to);
      break;
    case 'new':
      directory.create({ sAMAccountName: change.name });
      break;
  }
  world.publish();
}

async function make(world: World, trouble: Trouble): Promise<void> {
  switch (trouble.what) {
    case 'kill':
      world.kill();
      world.start();
      break;
    case 'break':
      world.breakLog(trouble.when, trouble.skip);
      break;
    case 'restart':
      world.stop();
      await passed(1);
      for (let i = 0; world.outcome === 'running' && i < 100; i++) await passed(MINUTE);
      expect(world.outcome).toBe('completed');
      world.start();
      break;
  }
}

async function settled(world: World): Promise<void> {
  world.ce.catchUp();
  for (let i = 0; !world.isQuiet && i < 300; i++) await passed(MINUTE);
  // Nothing begins anew once all has ended.
  const writes = world.ce.writes.length;
  await passed(30 * MINUTE);
  expect(world.ce.writes.length).toBe(writes);
  expect(world.outcome).toBe('running');
}

const worlds = fc.record({ users: fc.integer({ min: 2, max: 12 }), parking: fc.integer({ min: 1, max: 4 }) });

describe('random changes of names', () => {
  test("SPEC rule 6: without trouble each linked record gets its account's name, with two writes for each repair", async () => {
    await fc.assert(
      fc.asyncProperty(worlds, fc.boolean(), fc.array(fc.tuple(change, pause), { maxLength: 15 }), async (settings, calm, steps) => {
        const world = new World(settings);
        world.start();
        await passed(100);
        for (const [step, milliseconds] of steps) {
          apply(world, step);
          await passed(calm ? 3_000 : milliseconds);
        }
        await settled(world);
        world.expectRight();
        const repaired = world.log.history.filter(({ state }) => state === 'repaired').length;
        // Renamed again, or deleted, between the two steps: one write more, or none that follows.
        if (calm) expect(world.ce.writes.length).toBe(2 * repaired);
        world.kill();
      }),
      { numRuns: 100 },
    );
  });

  test('SPEC rule 7: whatever is interrupted, refused or lost, in the end each linked record is right and none was ever written wrongly', async () => {
    const step = fc.oneof({ weight: 3, arbitrary: fc.record({ change }) }, { weight: 2, arbitrary: fc.record({ trouble }) });
    await fc.assert(
      fc.asyncProperty(
        worlds,
        fc.array(fc.tuple(step, pause), { maxLength: 25 }),
        fc.array(fate, { maxLength: 60 }),
        async (settings, steps, fates) => {
          const world = new World(settings);
          const left = [...fates];
          world.start();
          await passed(100);
          world.ce.fate = () => left.shift() ?? 'ok';
          for (const [one, milliseconds] of steps) {
            if ('change' in one) apply(world, one.change);
            else await make(world, one.trouble);
            await passed(milliseconds);
          }
          await settled(world);
          world.expectRight();
          world.kill();
        },
      ),
      { numRuns: 200 },
    );
  });

  test('SPEC rule 7: a server that lags behind the directory maps no record to the account that had the name before', async () => {
    await fc.assert(
      fc.asyncProperty(
        worlds,
        fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        fc.array(fc.tuple(fc.integer({ min: 2, max: 5 }), pause), { minLength: 1 }),
        fc.integer({ min: 1, max: 1_200 }),
        async (settings, order, cycles, seconds) => {
          const world = new World(settings);
          world.start();
          await passed(100);
          world.ce.lag();
          // Each account changes once while the server hears of nothing: more than that cannot be told apart from outside.
          const left = order.filter((one) => one <= settings.users);
          for (const [length, milliseconds] of cycles) {
            const [first = '', ...others] = left.splice(0, length).map((one) => guid('account', one));
            for (const other of others) world.directory.swap(first, other);
            world.publish();
            await passed(milliseconds);
          }
          await passed(seconds * 1_000);
          await settled(world);
          world.expectRight();
          world.kill();
        },
      ),
      { numRuns: 60 },
    );
  });
});
