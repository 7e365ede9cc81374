import { expect, vi } from 'vitest';
import { type ListenerReport, listen } from '../../../streams/listener/listener.ts';
import type { ReadingSettings } from '../../../streams/listener/reading.ts';
import { MemoryChangeLog } from '../../support/memory-change-log.ts';
import { MemoryDirectory } from '../../support/memory-directory.ts';
import { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { READING } from '../../support/reading-settings.ts';

export const SETTINGS = READING;
export const NEVER = new AbortController().signal;
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;

/** A directory in memory, a log, and a listener that can be started and stopped. */
export function world({ accounts = 3, settings = SETTINGS }: { accounts?: number; settings?: ReadingSettings } = {}) {
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

type Told = Pick<MemoryDirectory, 'identities'>;

/** What is known must be what the directory says, and the events must tell it without a hole or a double. */
export function expectExact({ directory, log }: { directory: Told; log: MemoryChangeLog }, baseline: Told = new MemoryDirectory()) {
  expect(log.known.identities).toEqual(directory.identities());
  const sequences = [...log.events, ...log.notices].map(({ sequence }) => sequence).sort((a, b) => a - b);
  expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  const replayed = baseline.identities();
  for (const { objectGUID, before, after, kind } of log.events) {
    if (replayed.has(objectGUID) || kind === 'created' || kind === 'restored') expect(before).toEqual(replayed.get(objectGUID) ?? null);
    if (after) replayed.set(objectGUID, after);
    else replayed.delete(objectGUID);
  }
}

export const passed = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
