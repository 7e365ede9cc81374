import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LogError } from '../../../streams/change-log.ts';
import { DirectoryError } from '../../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../../streams/listener/listener.ts';
import type { Position } from '../../../streams/position.ts';
import { COMPUTER, guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { expectExact, MINUTE, NEVER, passed, SECOND, SETTINGS, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
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
        if (page === 3 && source.opened === 1) source.lose();
      },
    };
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.length).toBe(4);
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

  test('SPEC rule 5: a full read that replaces a lost position reports progress to its end; what it finds is told at once', async () => {
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
    expect(log.notices).toMatchObject([{ kind: 'position-lost', namingContext: source.namingContext, reason: 'restored from a backup' }]);
    // Only at its end is it known who was not found.
    expect(log.batches.slice(-6).map(({ changes, position }) => [changes.length, position?.comparing?.reason])).toEqual([
      [0, 'restored from a backup'],
      [2, undefined],
      [2, undefined],
      [2, undefined],
      [1, undefined],
      [0, undefined],
    ]);
    expect(log.batches.slice(-5).map(({ position }) => position !== undefined)).toEqual([false, false, false, false, true]);
    expect(log.events.map(({ observed }) => observed.via)).toEqual(Array(7).fill('comparison'));
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
    expect(reports.find(({ type }) => type === 'connected')).toMatchObject({
      fullRead: expect.stringContaining('not up to where it was read'),
    });
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
    const directory = new MemoryDirectory({ numbers: { next: 101 } });
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

  test('SPEC rule 10: a refused password is not waited for once it has been replaced', async () => {
    const { source, start, reportsOf } = world();
    source.interference = {
      open: () => {
        if (!source.otherPassword) throw new DirectoryError('credentials', 'data 52e');
      },
    };
    start();
    await passed(MINUTE);
    expect(source.opened).toBe(1);
    source.otherPassword = true;
    await passed(6 * SECOND);
    expect(source.opened).toBe(2);
    expect(reportsOf('connected')).toHaveLength(1);
    expect(reportsOf('waiting')).toHaveLength(1);
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
      expect(log.events.length).toBeLessThanOrEqual(when === 'read before' ? 1 : 0);
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
    const readObject = directory.readObject.bind(directory);
    directory.readObject = (objectGUID) => (objectGUID === guid('account', 1) ? undefined : readObject(objectGUID));
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(reportsOf('set-aside')).toMatchObject([{ objectGUID: guid('account', 1), reason: expect.stringContaining('does not show') }]);
    expect(log.events.map(({ objectGUID }) => objectGUID)).toEqual([guid('account', 2), guid('account', 3)]);
    const stored = () => log.positions.get(source.namingContext);
    expect(stored()).toMatchObject({ cookie: '6', setAside: { [guid('account', 1)]: expect.stringContaining('does not show') } });
    expect(source.opened).toBe(1);
    directory.readObject = readObject;
    directory.rename(guid('account', 1), 'shown');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(stored()?.setAside).toEqual({});
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
    expect(source.objectsRead).toEqual([guid('account', 1), guid('account', 1)]);
    expect(log.events.map(({ kind, after }) => [kind, after?.sAMAccountName])).toEqual([
      ['deleted', undefined],
      ['restored', 'user1'],
    ]);
    log.known.put(guid('account', 2), null);
    directory.rename(guid('account', 2), 'x');
    source.wakes.next();
    await passed(SETTINGS.readGap);
    expect(log.events.at(-1)).toMatchObject({ kind: 'entered-scope', after: { sAMAccountName: 'x' } });
  });
});
