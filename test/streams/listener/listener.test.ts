import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FencedError, LogError } from '../../../streams/change-log.ts';
import { DirectoryError } from '../../../streams/directory-source.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { expectExact, MINUTE, passed, SECOND, SETTINGS, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
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

  test('SPEC rule 2: fenced by another listener: nothing is written, everything is closed, and it stands by', async () => {
    const { source, directory, log, start, outcome, reportsOf } = world();
    start();
    await passed(0);
    await log.openListener(new AbortController().signal);
    log.interference = { before: (operation) => (operation === 'openListener' ? new Promise(() => {}) : undefined) };
    directory.rename(guid('account', 1), 'x');
    source.wakes.next();
    await passed(MINUTE);
    expect(outcome()).toBeUndefined();
    expect(reportsOf('waiting').map(({ error }) => error)).toEqual([expect.any(FencedError)]);
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
    expect(outcome()).toBeUndefined();
    expect([log.opened, log.closed, source.closed]).toEqual([3, 2, 2]);
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
    expect(log.batches.length).toBe(3);
    // One more was ready.
    expect(source.pagesGiven).toBe(4);
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
