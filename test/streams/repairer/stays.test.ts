import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parkedNow, type Stay, Stays } from '../../../streams/repairer/stays.ts';
import { guid } from '../../support/memory-directory.ts';
import { isNaming, isParking, MINUTE, once, passed, SECOND, started, type World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What the journal tells, and what was so, in milliseconds since 1970. */
class Watched {
  readonly world: World;
  readonly truth: { from: number; until: number | undefined }[] = [];
  readonly #there = new Map<string, { from: number; until: number | undefined }>();

  constructor(world: World) {
    this.world = world;
    const onWrite = world.ce.onWrite;
    world.ce.onWrite = (record, name) => {
      onWrite(record, name);
      const before = this.#there.get(record.systemuserid);
      if (before !== undefined) before.until = Date.now();
      this.#there.delete(record.systemuserid);
      if (!world.isParked(name)) return;
      const stay = { from: Date.now(), until: undefined };
      this.#there.set(record.systemuserid, stay);
      this.truth.push(stay);
    };
  }

  get told(): Stay[] {
    const stays = new Stays();
    for (const repair of this.world.log.history) stays.add(repair);
    return stays.all.toSorted((a, b) => a.from - b.from);
  }

  /** To within what a request takes. */
  expectTruth(tolerance = 20): void {
    const { told, truth } = this;
    expect(told.map(({ until }) => until !== undefined)).toEqual(truth.map(({ until }) => until !== undefined));
    for (const [index, { from, until = 0 }] of truth.entries()) {
      expect(Math.abs((told[index]?.from ?? 0) - from)).toBeLessThan(tolerance);
      expect(Math.abs((told[index]?.until ?? 0) - until)).toBeLessThan(tolerance);
    }
  }
}

async function watched(settings?: Parameters<typeof started>[0]): Promise<Watched> {
  return new Watched(await started(settings));
}

describe('the journal tells when records were on parking accounts', () => {
  test('of several repairs of one person each', async () => {
    const at = await watched();
    for (const name of ['one', 'two', 'three']) {
      at.world.rename(1, name);
      await passed(MINUTE);
    }
    expect(at.truth).toHaveLength(3);
    at.expectTruth();
  });

  test('while one is there, and how long it was once it is not any more', async () => {
    const at = await watched();
    at.world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    at.world.rename(1, 'ann');
    await passed(5 * MINUTE);
    at.expectTruth();
    const { people, since } = parkedNow(at.world.log.openRepairs());
    expect([people, Math.abs(Date.parse(since ?? '') - (at.truth[0]?.from ?? 0)) < 20]).toEqual([1, true]);
    at.world.ce.fate = () => 'ok';
    await passed(2 * MINUTE);
    at.expectTruth();
    expect((at.told[0]?.until ?? 0) - (at.told[0]?.from ?? 0)).toBeGreaterThan(5 * MINUTE);
    expect(parkedNow(at.world.log.openRepairs())).toEqual({ people: 0, since: null });
  });

  test('also when the process was away meanwhile', async () => {
    const at = await watched();
    at.world.ce.fate = (call) => (isNaming(call) ? new Promise(() => {}) : 'ok');
    at.world.rename(1, 'ann');
    await passed(SECOND);
    at.world.kill();
    await passed(20 * MINUTE);
    expect(parkedNow(at.world.log.openRepairs()).people).toBe(1);
    at.world.ce.fate = () => 'ok';
    at.world.start();
    await passed(SECOND);
    at.expectTruth();
    expect((at.told[0]?.until ?? 0) - (at.told[0]?.from ?? 0)).toBeGreaterThan(20 * MINUTE);
  });

  test('and when the answer to the first write was lost', async () => {
    const at = await watched();
    once(at.world, 'lost', isParking);
    at.world.rename(1, 'ann');
    await passed(MINUTE);
    expect(at.truth).toHaveLength(1);
    at.expectTruth();
  });

  test('but not of an account that was refused', async () => {
    const at = await watched();
    once(at.world, 'held', isParking);
    at.world.rename(1, 'ann');
    await passed(MINUTE);
    expect(at.world.journal(1).filter((state) => state === 'repairing')).toHaveLength(2);
    expect(at.truth).toHaveLength(1);
    at.expectTruth();
  });

  test('nor where the write was never made', async () => {
    const at = await watched();
    once(at.world, 'transient', isParking);
    at.world.rename(1, 'ann');
    await passed(20);
    at.world.rename(1, 'user1');
    await passed(MINUTE);
    expect([at.truth, at.told]).toEqual([[], []]);
  });

  test('twice of a person who was renamed again before the repair had ended', async () => {
    const at = await watched({ parking: 1 });
    at.world.rename(1, 'first');
    await passed(4);
    at.world.directory.rename(guid('account', 1), 'second');
    at.world.directory.rename(guid('account', 2), 'first');
    at.world.publish();
    await passed(MINUTE);
    expect(at.truth.length).toBeGreaterThanOrEqual(2);
    at.expectTruth();
  });

  test('over the end of a repair that needs a person, until that person has done something', async () => {
    const at = await watched();
    at.world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    at.world.rename(1, 'ann');
    await passed(SECOND);
    at.world.directory.delete(guid('account', 1));
    at.world.publish();
    await passed(10 * MINUTE);
    expect(at.world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'account-deleted' });
    at.expectTruth();
    expect(parkedNow([at.world.repair(1)].flatMap((repair) => repair ?? [])).people).toBe(1);
  });
});
