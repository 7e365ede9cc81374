import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { guid } from '../../support/memory-directory.ts';
import { isParking, MINUTE, passed, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What everybody is called afterwards: some names change hands, some are new. */
const crowds = fc.integer({ min: 2, max: 200 }).chain((users) =>
  fc.record({
    users: fc.constant(users),
    parking: fc.integer({ min: 1, max: 8 }),
    order: fc.shuffledSubarray(
      Array.from({ length: users }, (_, index) => index + 1),
      { minLength: users },
    ),
    fresh: fc.array(fc.integer({ min: 1, max: users }), { maxLength: 5 }),
  }),
);

/** All at once, as a migration does: nobody has the name that anybody had before, until the end. */
function permute(world: World, order: readonly number[], fresh: readonly number[]): void {
  for (let user = 1; user <= world.users; user++) world.directory.rename(guid('account', user), `tmp-${user}`);
  for (const [index, user] of order.entries()) {
    world.directory.rename(guid('account', user), fresh.includes(user) ? `fresh-${user}` : `user${index + 1}`);
  }
  world.publish();
}

function refusedTwice(world: World): string[] {
  const refused = world.ce.refusals.map(({ systemuserid }) => systemuserid);
  return refused.filter((systemuserid, index) => refused.indexOf(systemuserid) !== index);
}

describe('names that change hands among many', () => {
  test('SPEC rules 6, 7: everybody ends right with two writes each, and no name is refused', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(crowds, async ({ users, parking, order, fresh }) => {
        const world = new World({ users, parking });
        world.start();
        await passed(1_000);
        permute(world, order, fresh);
        await passed(1_000);
        for (let i = 0; !world.isQuiet && i < 100; i++) await passed(MINUTE);
        world.expectRight();
        const changed = order.filter((user, index) => fresh.includes(user) || user !== index + 1).length;
        expect(world.ce.writes.length).toBe(2 * changed);
        expect(world.ce.refusals).toEqual([]);
        world.kill();
      }),
      { numRuns: 30 },
    );
  });

  test('SPEC rules 6, 7: the same with a crash anywhere', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(crowds, fc.array(fc.nat(400), { minLength: 1, maxLength: 4 }), async ({ users, parking, order, fresh }, crashes) => {
        const world = new World({ users, parking });
        world.start();
        await passed(1_000);
        let calls = 0;
        const at = new Set(crashes);
        world.ce.fate = () => {
          if (at.has(calls++)) {
            world.kill();
            world.start();
          }
          return 'ok';
        };
        permute(world, order, fresh);
        await passed(1_000);
        for (let i = 0; !world.isQuiet && i < 100; i++) await passed(MINUTE);
        world.expectRight();
        expect(refusedTwice(world)).toEqual([]);
        world.kill();
      }),
      { numRuns: 30 },
    );
  });

  test('SPEC rule 7: a server that compares names instead of accounts is waited for where names go round, and nobody stays parked', async () => {
    const world = new World({ users: 3, parking: 2 });
    world.ce.comparesNames = true;
    world.start();
    await passed(1_000);
    permute(world, [2, 3, 1], []);
    for (let i = 0; !world.isQuiet && i < 300; i++) await passed(MINUTE);
    world.expectRight();
    // Not before no server can lag behind any more.
    const second = world.ce.writes.findIndex(
      ({ to, systemuserid }, index) => index > 0 && isParking({ operation: 'set', name: to, systemuserid }),
    );
    expect(second).toBe(1);
  });

  test('a fresh rename goes before a backlog', async () => {
    const world = new World({ users: 100, parking: 2 });
    world.start();
    await passed(1_000);
    world.ce.latency = 50;
    for (let user = 2; user <= 100; user++) world.directory.rename(guid('account', user), `n${user}`);
    world.publish();
    await passed(2_000);
    world.rename(1, 'fresh');
    await passed(1_000);
    expect(world.shown(1)).toBe('CORP\\fresh');
    expect(world.log.openRepairs().length).toBeGreaterThan(50);
  });
});
