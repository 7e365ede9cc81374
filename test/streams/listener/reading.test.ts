import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ListenerReport, listen } from '../../../streams/listener/listener.ts';
import { brief } from '../../support/memory-change-log.ts';
import { COMPUTER, guid } from '../../support/memory-directory.ts';
import { expectExact, MINUTE, NEVER, passed, SECOND, SETTINGS, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('reading', () => {
  test('SPEC rule 1: the first read is the baseline: no event, no place to go on from before its end, progress to the end', async () => {
    const { source, log, start, reportsOf } = world({ accounts: 7 });
    source.positionEvery = 1;
    start();
    await passed(0);
    expect(log.events).toEqual([]);
    expect(log.known.identities.size).toBe(7);
    expect(log.batches.map(({ position }) => position?.cookie)).toEqual(['', undefined, undefined, '7']);
    expect(reportsOf('read-progress').map(({ objects, done }) => [objects, done])).toEqual([
      [2, false],
      [4, false],
      [6, false],
      [7, true],
    ]);
    expect(reportsOf('connected')).toMatchObject([{ dc: 'dc1', fullRead: 'first start' }]);
  });

  test('SPEC rule 3: an account that a later answer of the first read shows as deleted or renamed is known so', async () => {
    const { source, log, directory, start } = world({ accounts: 7 });
    source.positionEvery = 1;
    source.interference = {
      page: (page) => {
        if (page !== 2) return;
        directory.delete(guid('account', 1));
        directory.rename(guid('account', 2), 'renamed');
      },
    };
    start();
    await passed(0);
    expect(log.events).toEqual([]);
    expect(log.known.identities).toEqual(directory.identities());
  });

  test('SPEC rule 1: an empty directory has a baseline too', async () => {
    const { log, directory, source, start } = world({ accounts: 0 });
    start();
    await passed(0);
    expect(log.positions.size).toBe(1);
    directory.create({ sAMAccountName: 'new' });
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.map(({ kind }) => kind)).toEqual(['created']);
  });

  test('SPEC rule 1: a baseline cut off in the middle begins again, and still emits nothing', async () => {
    const { source, log, directory, start, reportsOf } = world({ accounts: 7 });
    source.interference = {
      page: (page) => {
        if (page === 3 && source.opened === 1) source.lose();
      },
    };
    start();
    await passed(0);
    expect([...log.positions.values()].map(({ cookie }) => cookie)).toEqual(['']);
    expect(log.known.identities.size).toBe(4);
    directory.rename(guid('account', 1), 'renamed');
    directory.delete(guid('account', 2));
    await passed(SECOND);
    expect(source.reads).toEqual([undefined, undefined]);
    expect(log.events).toEqual([]);
    expect(log.known.identities).toEqual(directory.identities());
    expect(reportsOf('connected').map(({ fullRead }) => fullRead)).toEqual(['first start', 'first start']);
  });

  test('SPEC rule 4: a baseline that was stopped in the middle is none for repairers, nor for the next start', async () => {
    const { source, log, directory, start, abort, ended } = world({ accounts: 7 });
    source.interference = {
      page: (page) => {
        if (page === 3) abort.abort();
      },
    };
    start();
    await ended;
    expect((await log.openRepairer('contoso', NEVER)).baselined).toBe(false);
    directory.rename(guid('account', 1), 'renamed');
    source.interference = {};
    listen([source], log, SETTINGS, NEVER).subscribe();
    await passed(0);
    expect(source.reads).toEqual([undefined, undefined]);
    expect(log.events).toEqual([]);
    expect(log.known.identities).toEqual(directory.identities());
    expect((await log.openRepairer('contoso', NEVER)).baselined).toBe(true);
  });

  test('SPEC rule 1: goes on at the stored position', async () => {
    const { source, log, directory, abort, start, ended } = world();
    start();
    await passed(0);
    abort.abort();
    await passed(SETTINGS.readGap);
    expect(await ended).toBe('completed');
    directory.rename(guid('account', 2), 'other');
    const again = world();
    again.log.known.identities.clear();
    const reports: ListenerReport[] = [];
    listen([source], log, SETTINGS, NEVER).subscribe((report) => reports.push(report));
    await passed(0);
    expect(source.reads).toEqual([undefined, '3']);
    expect(log.events.map(brief)).toEqual([`${guid('account', 2)}-1 renamed user2 other`]);
    expect(reports.find(({ type }) => type === 'connected')).toMatchObject({ fullRead: undefined });
  });

  test('SPEC rule 1: however many wakes come during a read, exactly one more read follows', async () => {
    const { source, start } = world();
    const gate = Promise.withResolvers<void>();
    source.interference = {
      page: (page) => (source.reads.length === 2 && page === 1 ? gate.promise : undefined),
    };
    start();
    await passed(0);
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(source.reads.length).toBe(2);
    for (let i = 0; i < 1000; i++) source.wakes.next();
    gate.resolve();
    await passed(10 * SECOND);
    expect(source.reads.length).toBe(3);
  });

  test('SPEC rule 1: without a wake the timer reads, and a wake between two reads is not forgotten', async () => {
    const { source, directory, log, start } = world();
    start();
    await passed(0);
    directory.rename(guid('account', 1), 'unseen');
    await passed(SETTINGS.readEvery + SETTINGS.readGap);
    expect(log.events.length).toBe(1);
    expect(source.reads.length).toBe(2);
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(source.reads.length).toBe(3);
    await passed(SECOND);
    expect(source.reads.length).toBe(3);
  });

  test("SPEC rule 1: a page's events and where to go on are one batch, and an unchanged position is stored now and then", async () => {
    const { source, directory, log, start } = world();
    start();
    await passed(0);
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.batches.at(-1)).toMatchObject({ changes: [{ kind: 'renamed' }], position: { cookie: '4' } });
    const before = log.batches.length;
    directory.create({ sAMAccountName: 'pc1', objectClass: COMPUTER });
    await passed(SETTINGS.positionEvery + SETTINGS.readEvery + SECOND);
    expect(log.batches.length).toBe(before + 1);
    expect(log.batches.at(-1)).toMatchObject({ changes: [], position: { cookie: '5' } });
  });

  test.each([
    { accounts: 501, changes: 0, delay: 40 },
    { accounts: 5, changes: 1500, delay: 40 },
  ])(
    'SPEC rule 1: never more than two pages are read and not yet published, with a slow log ($accounts accounts, $changes changes)',
    async ({ accounts, changes, delay }) => {
      const { source, directory, log, start } = world({ accounts });
      let published = 0;
      let most = 0;
      source.interference = {
        page: () => {
          most = Math.max(most, source.pagesGiven - published);
        },
      };
      log.interference = {
        before: async (operation) => {
          if (operation !== 'append') return;
          most = Math.max(most, source.pagesGiven - published);
          await new Promise((resolve) => setTimeout(resolve, delay));
        },
        after: (operation) => {
          if (operation === 'append') published += 1;
        },
      };
      start();
      for (let i = 0; i < changes; i++) {
        directory.rename(guid('account', (i % accounts) + 1), `name${i}`);
        source.wakes.next();
        await passed(i % 7);
      }
      await passed(5 * MINUTE);
      expect(most).toBe(2);
      expect(source.pagesGiven).toBeGreaterThan(changes > 0 ? 100 : 250);
      expect(log.known.identities).toEqual(directory.identities());
      expectExact({ directory, log });
    },
  );
});
