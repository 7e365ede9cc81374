import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FencedError, LogError } from '../../streams/change-log.ts';
import { DirectoryError, UnusableObject } from '../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../streams/listener.ts';
import type { Position } from '../../streams/position.ts';
import type { ReadingSettings } from '../../streams/reading.ts';
import { brief, MemoryChangeLog } from '../support/memory-change-log.ts';
import { COMPUTER, guid, MemoryDirectory } from '../support/memory-directory.ts';
import { MemoryDirectorySource } from '../support/memory-directory-source.ts';

const SETTINGS: ReadingSettings = { readEvery: 30_000, readGap: 10, positionEvery: 60_000 };
const NEVER = new AbortController().signal;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function world({ accounts = 3, settings = SETTINGS }: { accounts?: number; settings?: ReadingSettings } = {}) {
  const directory = new MemoryDirectory();
  for (let i = 1; i <= accounts; i++) directory.create({ sAMAccountName: `user${i}` });
  const source = new MemoryDirectorySource(directory);
  const log = new MemoryChangeLog();
  const reports: ListenerReport[] = [];
  const abort = new AbortController();
  const ended = Promise.withResolvers<'completed' | Error>();
  let outcome: 'completed' | Error | undefined;
  const end = (how: 'completed' | Error) => {
    outcome = how;
    ended.resolve(how);
  };
  const start = (sources = [source]) =>
    listen(sources, log, settings, abort.signal).subscribe({
      next: (report) => reports.push(report),
      error: end,
      complete: () => end('completed'),
    });
  const reportsOf = <T extends ListenerReport['type']>(type: T) =>
    reports.filter((report): report is Extract<ListenerReport, { type: T }> => report.type === type);
  return { directory, source, log, reports, reportsOf, abort, start, outcome: () => outcome, ended: ended.promise };
}

/** What is known must be what the directory says, and the events must tell it without a hole or a double. */
function expectExact({ directory, log }: { directory: MemoryDirectory; log: MemoryChangeLog }, baseline = new MemoryDirectory()) {
  expect(log.known.identities).toEqual(directory.identities());
  expect(log.events.map(({ sequence }) => sequence)).toEqual(log.events.map((_, index) => index + 1));
  const replayed = baseline.identities();
  for (const { objectGUID, before, after, kind } of log.events) {
    if (replayed.has(objectGUID) || kind === 'created' || kind === 'restored') expect(before).toEqual(replayed.get(objectGUID) ?? null);
    if (after) replayed.set(objectGUID, after);
    else replayed.delete(objectGUID);
  }
}

const passed = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

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
    expect(reportsOf('connected')).toMatchObject([{ dc: 'dc1', fullRead: 'nothing stored' }]);
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
    expect(reportsOf('connected').map(({ fullRead }) => fullRead)).toEqual(['nothing stored', 'nothing stored']);
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
    'SPEC rule 1: never more than one page is read and not yet published, with a slow log ($accounts accounts, $changes changes)',
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
          if (operation === 'append') published = source.pagesGiven;
        },
      };
      start();
      for (let i = 0; i < changes; i++) {
        directory.rename(guid('account', (i % accounts) + 1), `name${i}`);
        source.wakes.next();
        await passed(i % 7);
      }
      await passed(5 * MINUTE);
      expect(most).toBe(1);
      expect(source.pagesGiven).toBeGreaterThan(changes > 0 ? 100 : 250);
      expect(log.known.identities).toEqual(directory.identities());
      expectExact({ directory, log });
    },
  );
});

describe('failures of the directory', () => {
  test('SPEC rule 2: a read cut off in the middle is read again, and nothing is doubled', async () => {
    const w = world({ accounts: 6 });
    const { source, directory, log, start } = w;
    start();
    await passed(0);
    for (let i = 1; i <= 6; i++) directory.rename(guid('account', i), `new${i}`);
    source.interference = {
      page: (page) => {
        if (page === 2 && source.opened === 1) source.lose();
      },
    };
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.length).toBe(2);
    await passed(SECOND);
    expect(log.events.length).toBe(6);
    expectExact(w);
    expect(source.closed).toBe(1);
  });

  test('SPEC rule 2: a connection lost while a page is being published doubles nothing, however slow the log is', async () => {
    const w = world({ accounts: 2 });
    const { source, directory, log, start } = w;
    start();
    await passed(0);
    log.interference = {
      before: (operation) => (operation === 'append' ? new Promise((resolve) => setTimeout(resolve, MINUTE)) : undefined),
    };
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    source.lose();
    await passed(30 * SECOND);
    expect(source.opened).toBe(1);
    await passed(10 * MINUTE);
    expect(source.opened).toBe(2);
    expect(log.events.length).toBe(1);
    expectExact(w);
    expect(w.reportsOf('published').length).toBe(1);
    expect(w.reportsOf('waiting').length).toBe(1);
  });

  test('SPEC rule 5: a refused position leads to a full read, from which only differences are told', async () => {
    const { source, directory, log, start, reportsOf } = world();
    start();
    await passed(0);
    directory.rename(guid('account', 2), 'x');
    source.interference = {
      page: () => {
        if (source.reads.at(-1) !== undefined) throw new DirectoryError('position', 'the cookie is refused');
      },
    };
    source.wakes.next();
    await passed(SECOND);
    expect(source.reads.slice(0, 3)).toEqual([undefined, '3', undefined]);
    expect(log.events.map(({ kind }) => kind)).toEqual(['renamed']);
    expect(reportsOf('connected').at(-1)).toMatchObject({ fullRead: 'the directory refused the position' });
    source.interference = {};
    directory.rename(guid('account', 2), 'y');
    await passed(SETTINGS.readEvery * 2);
    expect(log.events.length).toBe(2);
  });

  test('SPEC rule 5: a full read that replaces a lost position reports progress to its end and goes on from its middle', async () => {
    const { source, directory, log, start, reports, reportsOf } = world({ accounts: 7 });
    source.positionEvery = 1;
    start();
    await passed(0);
    reports.length = 0;
    for (let i = 1; i <= 7; i++) directory.rename(guid('account', i), `new${i}`);
    source.resumeRefused = 'restored from a backup';
    source.lose();
    await passed(SECOND);
    expect(reportsOf('connected')).toMatchObject([{ fullRead: 'restored from a backup' }]);
    expect(reportsOf('read-progress').map(({ objects, done }) => [objects, done])).toEqual([
      [2, false],
      [4, false],
      [6, false],
      [7, true],
    ]);
    expect(log.batches.slice(-4).every(({ position }) => position !== undefined)).toBe(true);
    expect(log.events.length).toBe(7);
  });

  test('SPEC rules 1, 3, 5: no position although accounts are known: everything is read, and each difference is told', async () => {
    const w = world({ accounts: 5 });
    const { source, directory, log, start, abort, ended } = w;
    start();
    await passed(0);
    directory.rename(guid('account', 1), 'first');
    source.wakes.next();
    await passed(SECOND);
    abort.abort();
    await ended;
    log.positions.clear();
    directory.rename(guid('account', 1), 'second');
    directory.delete(guid('account', 2));
    const reports: ListenerReport[] = [];
    listen([source], log, SETTINGS, NEVER).subscribe((report) => reports.push(report));
    await passed(0);
    expect(source.reads.at(-1)).toBeUndefined();
    expect(reports.find(({ type }) => type === 'connected')).toMatchObject({ fullRead: expect.stringContaining('position is lost') });
    expect(log.events.map(({ kind, before, after }) => [kind, before?.sAMAccountName, after?.sAMAccountName])).toEqual([
      ['renamed', 'user1', 'first'],
      ['renamed', 'first', 'second'],
      ['deleted', 'user2', undefined],
    ]);
    expectExact(w);
    expect(log.positions.get(source.namingContext)?.cookie).toBe(String(directory.usn));
  });

  test('SPEC rule 1: a domain is read for the first time beside one that is known', async () => {
    const { source, log, start, abort, ended } = world();
    start();
    await passed(0);
    abort.abort();
    await ended;
    const directory = new MemoryDirectory();
    for (const sAMAccountName of ['pc1', 'pc2', 'pc3']) directory.create({ sAMAccountName, objectClass: COMPUTER });
    directory.create({ sAMAccountName: 'user1' });
    const other = new MemoryDirectorySource(directory, 'other');
    other.domain = 'OTHER';
    listen([source, other], log, SETTINGS, NEVER).subscribe();
    await passed(SECOND);
    expect(log.events).toEqual([]);
    expect([...log.positions.keys()]).toEqual([source.namingContext, other.namingContext]);
    expect(log.known.identities.size).toBe(4);
  });

  test('SPEC rule 5: a full read without a difference stores where to go on, also in a process that has just begun', async () => {
    const { source, log, directory, start } = world();
    start();
    await passed(0);
    directory.create({ sAMAccountName: 'pc1', objectClass: COMPUTER });
    source.resumeRefused = 'read with other attributes';
    source.lose();
    await passed(SECOND);
    expect(log.events).toEqual([]);
    expect(log.batches.at(-1)).toMatchObject({ changes: [], position: { cookie: '4' } });
  });

  test('SPEC rule 10: a refused password is tried again after 15 minutes, not before', async () => {
    const { source, start, reportsOf } = world();
    source.interference = {
      open: () => {
        if (source.opened < 3) throw new DirectoryError('credentials', 'data 52e');
      },
    };
    start();
    await passed(14 * MINUTE);
    expect(source.opened).toBe(1);
    expect(reportsOf('waiting')[0]?.milliseconds).toBe(15 * MINUTE);
    await passed(2 * MINUTE);
    expect(source.opened).toBe(2);
    await passed(15 * MINUTE);
    expect(source.opened).toBe(3);
  });

  test('SPEC rule 10: a refused password is not tried again sooner because the log is opened again and again', async () => {
    const { source, log, start, reportsOf } = world();
    source.interference = {
      open: () => {
        throw new DirectoryError('credentials', 'data 52e');
      },
    };
    start();
    for (let minute = 1; minute < 15; minute++) {
      await passed(MINUTE);
      log.lost.abort(new LogError('the lease is lost'));
    }
    await passed(30 * SECOND);
    expect(log.opened).toBe(15);
    expect(source.opened).toBe(1);
    const waits = reportsOf('waiting').filter(({ error }) => error instanceof DirectoryError);
    expect(waits.length).toBe(15);
    await passed(MINUTE);
    expect(source.opened).toBe(2);
  });

  test('SPEC rule 5: a directory that cannot be reached is tried again with growing delays, shorter ones after a read', async () => {
    const { source, start, reportsOf } = world();
    let down = true;
    source.interference = {
      open: () => {
        if (down) throw new DirectoryError('unavailable', 'refused');
      },
    };
    start();
    await passed(5 * MINUTE);
    const delays = reportsOf('waiting').map(({ milliseconds }) => milliseconds);
    expect(delays[0]).toBeLessThanOrEqual(500);
    expect(Math.max(...delays)).toBeLessThanOrEqual(30_000);
    expect(delays.length).toBeGreaterThan(8);
    expect(delays.length).toBeLessThan(30);
    down = false;
    await passed(30_000);
    source.lose();
    await passed(0);
    expect(reportsOf('waiting').at(-1)?.milliseconds).toBeLessThanOrEqual(500);
  });

  test('SPEC rule 5: a session is closed before the next one is opened', async () => {
    const { source, start } = world();
    const order: string[] = [];
    source.interference = {
      open: () => {
        order.push(`open ${source.opened - source.closed}`);
      },
      close: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5 * SECOND));
        order.push('closed');
      },
    };
    start();
    await passed(0);
    source.lose();
    await passed(10 * SECOND);
    expect(order).toEqual(['open 1', 'closed', 'open 1']);
  });

  test('a setting that is wrong ends it before anything was read, and is waited out later', async () => {
    const first = world();
    first.source.interference = {
      open: () => {
        throw new DirectoryError('configuration', 'no such naming context');
      },
    };
    first.start();
    await passed(0);
    expect(first.outcome()).toMatchObject({ failure: 'configuration' });
    expect(first.log.closed).toBe(1);
    const second = world();
    second.start();
    await passed(0);
    second.source.lose(new DirectoryError('configuration', 'the certificate expired'));
    await passed(SETTINGS.readGap);
    expect(second.outcome()).toBeUndefined();
    expect(second.reportsOf('waiting').length).toBe(1);
  });

  test('a setting that is wrong is waited out also when the log was opened anew, or the process started anew, since it was read', async () => {
    const reopened = world();
    reopened.start();
    await passed(MINUTE);
    reopened.source.interference = {
      open: () => {
        throw new DirectoryError('configuration', 'the certificate expired');
      },
    };
    reopened.log.lost.abort(new LogError('the lease is lost'));
    await passed(30 * SECOND);
    expect(reopened.log.opened).toBe(2);
    expect(reopened.outcome()).toBeUndefined();
    const again: unknown[] = [];
    const { source, log } = world();
    log.positions.set(source.namingContext, { ...(reopened.log.positions.get(source.namingContext) as Position) });
    source.interference = {
      page: () => {
        throw new DirectoryError('configuration', 'the server gave no cookie');
      },
    };
    listen([source], log, SETTINGS, NEVER).subscribe({ error: (error) => again.push(error) });
    await passed(MINUTE);
    expect(again).toEqual([]);
  });

  test.each(['never read before', 'read before'])(
    'SPEC rule 1: two sources of one domain, %s: refused before anything is told twice, also when both open at once',
    async (when) => {
      const { source, directory, log, start, outcome } = world();
      if (when === 'read before') {
        const abort = new AbortController();
        listen([source], log, SETTINGS, abort.signal).subscribe();
        await passed(0);
        abort.abort();
        await passed(0);
      }
      directory.rename(guid('account', 1), 'x');
      const other = new MemoryDirectorySource(directory);
      start([source, other]);
      await passed(0);
      expect(outcome()).toMatchObject({ failure: 'configuration', message: expect.stringContaining('into one entry') });
      expect(log.events.length).toBe(when === 'read before' ? 1 : 0);
      expect([source.closed, other.closed]).toEqual([source.opened, 1]);
    },
  );

  test('SPEC rule 9: an object that cannot be used is set aside, and the others of its page are published', async () => {
    const { source, directory, log, start, reportsOf } = world({ accounts: 0 });
    start();
    await passed(0);
    for (let i = 1; i <= 3; i++) directory.create({ sAMAccountName: `n${i}` });
    const changesSince = directory.changesSince.bind(directory);
    directory.changesSince = (usn) =>
      changesSince(usn).map((observation) =>
        observation.objectGUID === guid('account', 2) ? { ...observation, seen: { sAMAccountName: 'n2' } } : observation,
      );
    directory.readObject = () => undefined;
    source.pageSize = 10;
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.map(({ objectGUID }) => objectGUID)).toEqual([guid('account', 1), guid('account', 3)]);
    expect(reportsOf('set-aside')).toMatchObject([{ objectGUID: guid('account', 2) }]);
  });

  test('SPEC rule 9: an object that the directory refuses to show is set aside with the reason, and stops nothing else', async () => {
    const { source, directory, log, start, reportsOf } = world();
    start();
    await passed(0);
    log.known.put(guid('account', 1), null);
    for (let i = 1; i <= 3; i++) directory.rename(guid('account', i), `new${i}`);
    source.interference = {
      readObject: () => {
        throw new UnusableObject('object 1 was refused (LDAP result 50)');
      },
    };
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(reportsOf('set-aside')).toMatchObject([{ objectGUID: guid('account', 1), reason: 'object 1 was refused (LDAP result 50)' }]);
    expect(log.events.map(({ objectGUID }) => objectGUID)).toEqual([guid('account', 2), guid('account', 3)]);
    expect(log.positions.get(source.namingContext)?.cookie).toBe('6');
    expect(source.opened).toBe(1);
  });

  test('SPEC rule 1: too little seen of an unknown account: it is read whole; one that came back is restored', async () => {
    const { source, directory, log, start } = world();
    start();
    await passed(0);
    directory.delete(guid('account', 1));
    source.wakes.next();
    await passed(SETTINGS.readGap);
    directory.restore(guid('account', 1));
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(source.objectsRead).toEqual([guid('account', 1)]);
    expect(log.events.map(({ kind, after }) => [kind, after?.sAMAccountName])).toEqual([
      ['deleted', undefined],
      ['restored', 'user1'],
    ]);
    log.known.put(guid('account', 2), null);
    directory.rename(guid('account', 2), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.at(-1)).toMatchObject({ kind: 'created', after: { sAMAccountName: 'x' } });
  });
});

describe('failures of the log', () => {
  test.each(['before', 'after'] as const)(
    'SPEC rule 2: an append that fails %s it took effect: opened anew, nothing lost or doubled',
    async (when) => {
      const w = world();
      const { source, directory, log, start, reportsOf } = w;
      start();
      await passed(0);
      let failures = 3;
      log.interference = {
        [when]: (operation: string) => {
          if (operation === 'append' && failures-- > 0) throw new LogError('broker gone');
        },
      };
      directory.rename(guid('account', 1), 'x');
      source.wakes.next();
      await passed(MINUTE);
      expect(log.events.length).toBe(1);
      expectExact(w);
      expect(log.opened).toBe(when === 'before' ? 4 : 2);
      expect(log.closed).toBe(log.opened - 1);
      expect(source.closed).toBe(source.opened - 1);
      expect(reportsOf('waiting').every(({ on }) => on === 'memory')).toBe(true);
    },
  );

  test('a log that can be opened and refuses every page is tried with growing delays', async () => {
    const { source, directory, log, start, reportsOf } = world();
    start();
    await passed(0);
    log.interference = {
      before: (operation) => {
        if (operation === 'append') throw new LogError('disk full');
      },
    };
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(10 * MINUTE);
    expect(reportsOf('waiting').length).toBeLessThan(40);
    expect(Math.max(...reportsOf('waiting').map(({ milliseconds }) => milliseconds))).toBeGreaterThan(10_000);
  });

  test('SPEC rule 2: fenced by another listener: an error, and everything is closed', async () => {
    const { source, directory, log, start, outcome } = world();
    start();
    await passed(0);
    await log.openListener(new AbortController().signal);
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(MINUTE);
    expect(outcome()).toBeInstanceOf(FencedError);
    expect(log.events).toEqual([]);
    expect(log.closed).toBe(1);
    expect(source.closed).toBe(1);
  });

  test('SPEC rule 2: a lost lease closes everything, also while a page is being published, and begins again', async () => {
    const w = world();
    const { source, directory, log, start, outcome } = w;
    start();
    await passed(0);
    const gate = Promise.withResolvers<void>();
    log.interference = { before: (operation) => (operation === 'append' ? gate.promise : undefined) };
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    log.lost.abort(new LogError('the lease is lost'));
    await passed(MINUTE);
    expect([log.opened, log.closed, source.closed]).toEqual([1, 0, 0]);
    log.interference = {};
    gate.resolve();
    await passed(MINUTE);
    expect([log.opened, log.closed, source.opened, source.closed]).toEqual([2, 1, 2, 1]);
    expect(log.events.length).toBe(1);
    expectExact(w);
    log.lost.abort(new FencedError('another has it'));
    await passed(MINUTE);
    expect(outcome()).toBeInstanceOf(FencedError);
    expect([log.closed, source.closed]).toEqual([2, 2]);
  });

  test('one directory that fails for good stops the other one too, after its page, and both are closed', async () => {
    const { source, directory, log, start, outcome } = world();
    const other = new MemoryDirectorySource(new MemoryDirectory(), 'other');
    const gate = Promise.withResolvers<void>();
    other.interference = {
      open: async () => {
        await gate.promise;
        throw new DirectoryError('configuration', 'wrong');
      },
    };
    start([source, other]);
    await passed(0);
    log.interference = {
      before: (operation) => (operation === 'append' ? new Promise((resolve) => setTimeout(resolve, SECOND)) : undefined),
    };
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    gate.resolve();
    await passed(100);
    expect(outcome()).toBeUndefined();
    await passed(SECOND);
    expect(outcome()).toMatchObject({ failure: 'configuration' });
    expect(log.events.length).toBe(1);
    expect([source.closed, log.closed]).toEqual([1, 1]);
  });
});

describe('stopping', () => {
  test('SPEC rule 2: ends after the page in flight, closes everything and completes', async () => {
    const { source, log, abort, start, outcome } = world({ accounts: 100 });
    log.interference = {
      before: (operation) => (operation === 'append' ? new Promise((resolve) => setTimeout(resolve, SECOND)) : undefined),
    };
    start();
    await passed(2_500);
    abort.abort();
    expect(outcome()).toBeUndefined();
    await passed(SECOND);
    expect(outcome()).toBe('completed');
    expect(source.pagesGiven).toBe(3);
    expect(log.batches.length).toBe(3);
    expect([log.closed, source.closed]).toEqual([1, 1]);
  });

  test.each(['between two reads', 'while it waits for a directory', 'while it waits for the log', 'before it began'] as const)(
    'completes at once %s and leaves no timer',
    async (when) => {
      const { source, log, abort, start, outcome } = world();
      const fail = () => {
        throw when === 'while it waits for the log' ? new LogError('down') : new DirectoryError('credentials', 'refused');
      };
      if (when === 'while it waits for a directory') source.interference = { open: fail };
      if (when === 'while it waits for the log') log.interference = { before: fail };
      if (when === 'before it began') abort.abort();
      start();
      await passed(0);
      abort.abort();
      await passed(0);
      expect(outcome()).toBe('completed');
      expect(log.closed).toBe(log.opened);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test.each(['a page', 'an object'] as const)('completes at once while it waits for %s from a directory that hangs', async (what) => {
    const { source, directory, log, abort, start, outcome } = world();
    start();
    await passed(0);
    const hang = () => new Promise<void>(() => {});
    source.interference = what === 'a page' ? { page: hang } : { readObject: hang };
    log.known.put(guid('account', 1), null);
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(SECOND);
    abort.abort();
    await passed(0);
    expect(outcome()).toBe('completed');
    expect([log.closed, source.closed]).toEqual([1, 1]);
    expect(log.events).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('whoever unsubscribes has everything closed', async () => {
    const { source, log, start } = world();
    const subscription = start();
    await passed(0);
    subscription.unsubscribe();
    await passed(0);
    expect([log.closed, source.closed]).toEqual([1, 1]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
