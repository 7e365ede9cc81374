import { DatabaseSync } from 'node:sqlite';
import type { Subscription } from 'rxjs';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import type { KnownAccounts, ListenerRequest } from '../../streams/change-log.ts';
import type { DirectorySource } from '../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../streams/listener/listener.ts';
import type { ReadingSettings } from '../../streams/listener/reading.ts';
import type { LogEvent } from '../../streams/notice.ts';
import type { Position } from '../../streams/position.ts';
import { CrashingLog, type Mishap } from './crash.ts';

/** What may be wrong with a stored position. */
export const DAMAGES = ['deleted', 'cookie', 'filter', 'old'] as const;
export type Damage = (typeof DAMAGES)[number];

/** A listener with its log in a file, that is started, stopped, and killed wherever it is. */
export class TorturedListener implements AsyncDisposable {
  /** Since the beginning, over all starts. */
  readonly reports: ListenerReport[] = [];
  readonly #file: string;
  readonly #source: () => DirectorySource;
  readonly #onReport: (report: ListenerReport) => void;
  #settings: ReadingSettings;
  #running:
    | { readonly log: CrashingLog; readonly subscription: Subscription; readonly stop: AbortController; ended: Promise<void> }
    | undefined;
  #failure: Error | undefined;

  constructor(file: string, source: () => DirectorySource, settings: ReadingSettings, onReport: (report: ListenerReport) => void) {
    this.#file = file;
    this.#source = source;
    this.#settings = settings;
    this.#onReport = onReport;
  }

  /** Whether it works; false also when a crash came. @throws whatever ended it */
  get isRunning(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#running !== undefined && !this.#running.log.isGone;
  }

  /** Kills one that is there. */
  async start(settings: Partial<ReadingSettings> = {}): Promise<void> {
    await this.kill();
    this.#settings = { ...this.#settings, ...settings };
    const log = new CrashingLog(new SqliteLog(this.#file));
    const stop = new AbortController();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const subscription = listen([this.#source()], log, this.#settings, stop.signal).subscribe({
      next: (report) => {
        this.reports.push(report);
        this.#onReport(report);
      },
      error: (error: Error) => {
        this.#failure = error;
        resolve();
      },
      complete: resolve,
    });
    this.#running = { log, subscription, stop, ended };
  }

  /** As SIGTERM would. */
  async stop(): Promise<void> {
    if (this.#running === undefined || this.#running.log.isGone) return this.kill();
    const { stop, ended, log } = this.#running;
    stop.abort();
    await ended;
    this.#running = undefined;
    await log[Symbol.asyncDispose]();
  }

  /** As SIGKILL would: nothing more is written, and the operating system closes what was open. */
  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.log.leave();
    running?.subscription.unsubscribe();
    await running?.log[Symbol.asyncDispose]();
  }

  /** At its next append. */
  arm(mishap: Mishap): void {
    if (this.#running !== undefined) this.#running.log.mishap = mishap;
  }

  async position(namingContext: string): Promise<Position | undefined> {
    return this.look(async (known) => known.position(namingContext));
  }

  /** At what the log knows now. */
  async look<T>(body: (known: KnownAccounts) => Promise<T>): Promise<T> {
    await using log = new SqliteLog(this.#file, { create: false });
    await using known = await log.look();
    return await body(known);
  }

  async request(request: ListenerRequest): Promise<void> {
    await using log = new SqliteLog(this.#file, { create: false });
    await log.request(request);
  }

  async events(): Promise<LogEvent[]> {
    const all: LogEvent[] = [];
    await using log = new SqliteLog(this.#file, { create: false });
    await log.replay((events) => void all.push(...events));
    return all;
  }

  /** Of a listener that does not run. @returns whether there was one to damage */
  damage(damage: Damage): boolean {
    using database = new DatabaseSync(this.#file);
    const row = database.prepare('SELECT value FROM position').get();
    if (row === undefined) return false;
    if (damage === 'deleted') {
      database.exec('DELETE FROM position');
      return true;
    }
    const position = JSON.parse(String(row.value)) as Record<string, unknown>;
    if (damage === 'cookie') position.cookie = Buffer.from('nothing of a cookie').toString('base64');
    if (damage === 'filter') position.filter = '(objectClass=person)';
    if (damage === 'old') position.readAt = '2001-01-01T00:00:00.000Z';
    database.prepare('UPDATE position SET value = ?').run(JSON.stringify(position));
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
