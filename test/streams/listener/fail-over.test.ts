import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { expectExact, passed, SECOND, SETTINGS } from './listener-world.ts';
import { carryOut, expectNothingOld, operation, type TwoDcs, twoDcs } from './two-dcs.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function populated(accounts: number): MemoryDirectory {
  const directory = new MemoryDirectory();
  for (let i = 1; i <= accounts; i++) directory.create({ sAMAccountName: `user${i}` });
  return directory;
}

describe('another domain controller', () => {
  test('SPEC rule 1: a name that it has not heard of yet is not told as a change back, and the newer one not twice', async () => {
    const w = await twoDcs();
    w.one.rename(guid('account', 1), 'told');
    await w.read();
    w.one.rename(guid('account', 1), 'not yet told');
    w.two.rename(guid('account', 2), 'there');
    await w.failOver(w.two);
    expect(w.names()).toEqual([
      ['user1', 'told'],
      ['user2', 'there'],
    ]);
    w.replicate();
    await w.read();
    await w.failOver(w.one);
    expect(w.names()).toEqual([
      ['user1', 'told'],
      ['user2', 'there'],
      ['told', 'not yet told'],
    ]);
    expect(w.log.known.identities).toEqual(w.one.identities());
    expectNothingOld(w);
  });

  test('SPEC rule 1: an older value that comes with another change of the account is left out until the newer one has come', async () => {
    const w = await twoDcs();
    w.one.rename(guid('account', 1), 'new');
    await w.read();
    w.two.set(guid('account', 1), { mail: 'a@b' });
    await w.failOver(w.two);
    expect(w.log.events.map(({ kind }) => kind)).toEqual(['renamed', 'profile-updated']);
    expect(w.log.events[1]?.after).toMatchObject({ sAMAccountName: 'new', mail: 'a@b' });
    w.replicate();
    await w.read();
    expect(w.log.events.length).toBe(2);
    expect(w.log.known.identities).toEqual(w.two.identities());
  });

  test('SPEC rule 4: a deletion that it has not heard of yet is not taken back', async () => {
    const w = await twoDcs();
    w.one.delete(guid('account', 1));
    await w.read();
    w.two.rename(guid('account', 1), 'late');
    await w.failOver(w.two);
    expect(w.log.events.map(({ kind }) => kind)).toEqual(['deleted']);
    w.replicate();
    await passed(SETTINGS.readEvery * 2);
    await w.failOver(w.one);
    await passed(SETTINGS.readEvery * 2);
    expect(w.log.events.map(({ kind }) => kind)).toEqual(['deleted']);
    expect(w.log.known.identities).toEqual(w.one.identities());
  });

  test('a write that loses against one that was told is not told; one that wins is', async () => {
    const w = await twoDcs();
    w.one.rename(guid('account', 1), 'first');
    w.one.rename(guid('account', 1), 'twice written');
    w.one.rename(guid('account', 2), 'early');
    await w.read();
    await passed(2 * SECOND);
    w.two.rename(guid('account', 1), 'once written');
    w.two.rename(guid('account', 2), 'later');
    await w.failOver(w.two);
    w.replicate();
    await w.read();
    expect(w.names()).toEqual([
      ['user1', 'twice written'],
      ['user2', 'early'],
      ['early', 'later'],
    ]);
    expect(w.log.known.identities).toEqual(w.two.identities());
  });

  test('SPEC rule 5: accounts that were told and come again, since nothing said how far the last read had come, are no lost position', async () => {
    const w = await twoDcs();
    w.source.positionEvery = 1;
    for (let i = 1; i <= 14; i++) w.one.create({ sAMAccountName: `new${i}` });
    w.replicate();
    w.source.interference = {
      page: (page) => {
        if (page !== 7) return;
        w.source.interference = {};
        w.source.directory = w.two;
        w.source.lose();
      },
    };
    await w.read();
    await passed(5 * SECOND);
    await w.read();
    expect(w.log.events.length).toBe(14);
    expect(w.log.notices).toEqual([]);
    expect(w.log.known.identities).toEqual(w.two.identities());
  });

  test('SPEC rule 5: what was told and died with its domain controller is noticed, and taken back', async () => {
    const w = await twoDcs({ settings: { ...SETTINGS, maxLag: 600 * SECOND } });
    w.one.rename(guid('account', 1), 'lost');
    const lost = w.one.create({ sAMAccountName: 'lost too' });
    await w.read();
    await w.failOver(w.two);
    await passed(590 * SECOND);
    expect([w.log.events.length, w.log.notices.length]).toEqual([2, 0]);
    await passed(60 * SECOND);
    expect(w.log.notices).toMatchObject([{ kind: 'position-lost', reason: expect.stringContaining('may be lost') }]);
    expect(w.log.events.length).toBe(2);
    await passed(700 * SECOND);
    expect(w.names().slice(2)).toEqual([
      ['lost', 'user1'],
      ['lost too', undefined],
    ]);
    expect(w.log.known.identities.has(lost ?? '')).toBe(false);
    expect(w.log.known.identities).toEqual(w.two.identities());
    await passed(1800 * SECOND);
    expect([w.log.events.length, w.log.notices.length]).toEqual([4, 1]);
  });

  test('SPEC rule 5: nor is what hides behind a number that the one which is left has used a second time, unnoticed', async () => {
    const prepare = (one: MemoryDirectory) => one.set(guid('account', 3), { userPrincipalName: 'user3@corp.test' });
    const w = await twoDcs({ settings: { ...SETTINGS, maxLag: 600 * SECOND }, prepare });
    const putBack = w.two.save();
    for (let i = 1; i <= 5; i++) w.two.rename(guid('account', 1), `gone${i}`);
    w.one.replicateFrom(w.two);
    for (let i = 1; i <= 6; i++) {
      w.one.rename(guid('account', 2), `told${i}`);
      await w.read();
    }
    putBack();
    w.two.set(guid('account', 3), { userPrincipalName: null });
    for (let i = 1; i <= 20; i++) w.two.rename(guid('account', 2), `other${i}`);
    await w.failOver(w.two);
    await passed(3600 * SECOND);
    expect(w.log.known.identities).toEqual(w.two.identities());
  });

  test('numbers that only one domain controller ever hears of are no loss', async () => {
    const w = await twoDcs({ settings: { ...SETTINGS, maxLag: 600 * SECOND } });
    w.one.rename(guid('account', 1), 'told');
    w.replicate();
    await w.read();
    w.two.rename(guid('account', 2), 'passed on');
    w.one.replicateFrom(w.two);
    await w.read();
    await w.failOver(w.two);
    await passed(1800 * SECOND);
    expect(w.log.notices).toEqual([]);
    expect(w.log.events.length).toBe(2);
  });

  test.each([
    ['catches up', true],
    ['never does', false],
  ])('more accounts than a position can list wait until the domain controller %s', async (_, catchesUp) => {
    const many = 5_100;
    const limit = { count: many, percent: 100 };
    const w = await twoDcs({ accounts: many, settings: { ...SETTINGS, maxLag: 1800 * SECOND, deletionLimit: limit } });
    w.source.pageSize = 500;
    for (let i = 1; i <= many; i++) w.one.set(guid('account', i), { mail: `new${i}` });
    await w.read();
    expect(w.log.events.length).toBe(many);
    w.source.resumeRefused = { reason: 'it is refused' };
    await w.failOver(w.two);
    w.source.resumeRefused = undefined;
    await passed(60 * SECOND);
    const position = () => w.log.positions.get(w.source.namingContext);
    expect(Object.keys(position()?.held ?? {})).toHaveLength(5_000);
    const readsBefore = w.source.reads.length;
    await passed(900 * SECOND);
    expect(w.source.reads.length - readsBefore).toBeLessThanOrEqual(4);
    if (catchesUp) w.replicate();
    await passed(1800 * SECOND);
    expect(w.log.events.length).toBe(catchesUp ? many : 2 * many);
    expect(w.log.known.identities).toEqual(w.two.identities());
    expect(position()).toMatchObject({ held: {} });
    expect(position()?.comparing).toBeUndefined();
    expect(w.log.notices.map(({ reason }) => reason)).toEqual(['it is refused']);
  });

  test('two accounts that are left with one name are told as they are, and marked', async () => {
    const w = await twoDcs();
    w.one.rename(guid('account', 1), 'both');
    w.two.rename(guid('account', 2), 'both');
    w.replicate();
    await w.read();
    expect(w.names().toSorted()).toEqual([
      ['user1', 'both'],
      ['user2', 'both'],
    ]);
    expect(w.log.events.map(({ sharedWith }) => sharedWith)).toEqual(w.log.events.map(({ objectGUID }) => objectGUID).toReversed());
  });
});

describe('a domain controller that was put back', () => {
  async function rolledBack(w: TwoDcs, putBack: () => void) {
    putBack();
    w.source.resumeRefused = { reason: 'rolled back', lossy: true, rolledBack: true };
    await w.failOver(w.one);
    w.source.resumeRefused = undefined;
  }

  test('SPEC rule 5: what came back by replication was never gone; what did not is told once it is certain', async () => {
    const w = await twoDcs({ settings: { ...SETTINGS, maxLag: 600 * SECOND } });
    const putBack = w.one.save();
    w.one.rename(guid('account', 1), 'replicated');
    const created = w.one.create({ sAMAccountName: 'replicated too' });
    w.two.replicateFrom(w.one);
    w.one.rename(guid('account', 2), 'lost');
    const lost = w.one.create({ sAMAccountName: 'lost too' });
    await w.read();
    const before = w.log.events.length;
    await rolledBack(w, putBack);
    w.replicate();
    await passed(300 * SECOND);
    expect(w.log.events.length).toBe(before);
    expect(w.log.known.identities.has(created ?? '')).toBe(true);
    await passed(600 * SECOND);
    expect(w.names().slice(before)).toEqual([
      ['lost', 'user2'],
      ['lost too', undefined],
    ]);
    expect(w.log.known.identities.has(lost ?? '')).toBe(false);
    expect(w.log.known.identities).toEqual(w.one.identities());
    expect(w.log.notices.length).toBe(1);
  });

  test('SPEC rule 5: a deletion that came back by replication is not taken back; one that did not is once it is certain', async () => {
    const w = await twoDcs({ settings: { ...SETTINGS, maxLag: 600 * SECOND } });
    for (let i = 4; i <= 5; i++) w.one.create({ sAMAccountName: `user${i}` });
    w.replicate();
    await w.read();
    const putBack = w.one.save();
    w.one.delete(guid('account', 4));
    w.two.replicateFrom(w.one);
    w.one.delete(guid('account', 5));
    await w.read();
    const kinds = () => w.log.events.map(({ kind }) => kind);
    expect(kinds()).toEqual(['created', 'created', 'deleted', 'deleted']);
    await rolledBack(w, putBack);
    await passed(60 * SECOND);
    w.replicate();
    await passed(300 * SECOND);
    expect(kinds().slice(4)).toEqual([]);
    await passed(600 * SECOND);
    expect(w.log.events.slice(4)).toMatchObject([{ kind: 'restored', after: { sAMAccountName: 'user5' } }]);
    expect(w.log.known.identities).toEqual(w.one.identities());
  });

  test('SPEC rule 5: it is noticed also when it has caught up with its numbers while another one was read', async () => {
    const w = await twoDcs();
    const putBack = w.one.save();
    w.one.rename(guid('account', 1), 'gone');
    await w.read();
    await w.failOver(w.two);
    putBack();
    w.one.rename(guid('account', 2), 'same number');
    w.one.rename(guid('account', 3), 'next number');
    await w.failOver(w.one);
    expect(w.log.notices).toMatchObject([{ kind: 'position-lost', reason: expect.stringContaining('was rolled back') }]);
    expect(w.names()).toContainEqual(['user2', 'same number']);
  });

  test('SPEC rule 5: a number that was used a second time hides nothing', async () => {
    const w = await twoDcs();
    const putBack = w.one.save();
    w.one.rename(guid('account', 1), 'gone');
    await w.read();
    putBack();
    w.one.rename(guid('account', 2), 'same number');
    w.source.resumeRefused = { reason: 'rolled back', lossy: true, rolledBack: true };
    await w.failOver(w.one);
    expect(w.names()).toContainEqual(['user2', 'same number']);
  });
});

test('SPEC rules 1, 3: whatever is written where, read where, and replicated when, the history is whole and shows no fail-over', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 60 }), async (steps) => {
      const w = await twoDcs({ accounts: 5, settings: { ...SETTINGS, deletionLimit: { count: 1000, percent: 100 } } });
      for (const step of steps) await carryOut(step, w);
      w.replicate();
      w.replicate();
      await w.read();
      await passed(2 * SETTINGS.readEvery);
      expectExact({ directory: w.source.directory, log: w.log }, populated(5));
      expectNothingOld(w);
      expect(w.log.notices).toEqual([]);
      w.abort.abort();
      await passed(SECOND);
    }),
    { numRuns: 150 },
  );
});
