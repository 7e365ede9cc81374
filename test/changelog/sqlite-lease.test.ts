import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import { FencedError } from '../../streams/change-log.ts';
import { until } from '../support/chain-wait.ts';
import { freezeBetweenWrites } from '../support/freeze.ts';
import { expectSequence, history, rename } from './expectations.ts';
import { guid, Model } from './model.ts';
import { Appender } from './program.ts';

const NEVER = new AbortController().signal;
/** Milliseconds after which a holder without a sign of life has lost the lease, and within which it certainly has. */
const SILENCE = { least: 4_000, most: 10_000 };

const directory = mkdtempSync(join(tmpdir(), 'lease-'));
let files = 0;
const newFile = () => join(directory, String(++files), 'namesake.db');

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Resolves when the log was opened for writing; with the milliseconds that took. */
async function opened(log: SqliteLog) {
  const begun = performance.now();
  const listener = await log.openListener(NEVER);
  return { listener, took: performance.now() - begun };
}

describe.concurrent('the lease of a log on SQLite', () => {
  it('passes on from a process that is frozen, which cannot write when it wakes (SPEC rule 2)', async () => {
    const file = newFile();
    await using frozen = new Appender({ engine: 'sqlite', file, accounts: 2, batches: 1_000_000, pause: 200 });
    await frozen.listening();
    await until('it writes', async () => frozen.acknowledged > 4, 10_000, 5);
    await freezeBetweenWrites(frozen, file);
    await using second = new SqliteLog(file);
    const { listener, took } = await opened(second);
    expect(took).toBeGreaterThan(SILENCE.least);
    expect(took).toBeLessThan(SILENCE.most);
    const model = new Model();
    const known = listener.identity(guid(1));
    if (known !== undefined) model.identities.set(guid(1), known);
    await listener.append(model.batch([rename(1, 'taken-over')]));

    frozen.resume();
    expect(await frozen.error()).toMatch(/FencedError: another listener writes to/);
    await listener.append(model.batch([rename(1, 'still-here')]));
    const events = await history(second);
    expectSequence(events);
    expect(events.slice(-2).map(({ after }) => after?.sAMAccountName)).toEqual(['taken-over', 'still-here']);

    // The frozen one has given up the lock of the operating system: what follows is as if it had never been.
    await sleep(1_500);
    await listener[Symbol.asyncDispose]();
    await using third = new SqliteLog(file);
    const next = await opened(third);
    expect(next.took).toBeLessThan(SILENCE.least);
    await next.listener[Symbol.asyncDispose]();
  });

  it('tells who was thought to be frozen, and goes on to the next one when the second ends while the first still sleeps', async () => {
    const file = newFile();
    await using frozen = new Appender({ engine: 'sqlite', file, accounts: 1, batches: 1 });
    await frozen.listening();
    await freezeBetweenWrites(frozen, file);
    await using second = new SqliteLog(file);
    const { listener } = await opened(second);
    await using third = new SqliteLog(file);
    const waiting = opened(third);
    await sleep(6_000);
    expect(listener.lost.aborted).toBe(false);
    await listener.append(new Model().batch([]));
    await listener[Symbol.asyncDispose]();
    const next = await waiting;
    expect(next.took).toBeLessThan(6_000 + SILENCE.most);
    frozen.resume();
    await sleep(1_500);
    await next.listener.append(new Model().batch([]));
    expect(next.listener.lost.aborted).toBe(false);
    await next.listener[Symbol.asyncDispose]();
  });

  it('stays with its holder while somebody else keeps the log locked, and says when it was lost', async () => {
    const file = newFile();
    await using log = new SqliteLog(file);
    await using listener = await log.openListener(NEVER);
    const abort = new AbortController();
    await using other = new SqliteLog(file);
    const waiting = other.openListener(abort.signal);
    waiting.catch(() => {});
    {
      using backup = new DatabaseSync(file);
      backup.exec('BEGIN IMMEDIATE');
      await sleep(7_000);
    }
    await sleep(2_000);
    expect(listener.lost.aborted).toBe(false);
    abort.abort();
    using thief = new DatabaseSync(file, { timeout: 1_000 });
    thief.exec("UPDATE lease SET epoch = epoch + 1 WHERE role = 'listener'");
    await until('it is told', async () => listener.lost.aborted, 3_000);
    expect(listener.lost.reason).toBeInstanceOf(FencedError);
    await expect(listener.append(new Model().batch([]))).rejects.toBeInstanceOf(FencedError);
  });
});
