import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { isLocked } from './locked.ts';

/** Milliseconds between two tries to get the lease. */
const POLL = 500;

/**
 * One holder per file, on one machine. The lock is the operating system's, taken through SQLite, so it goes with the process
 * that held it, however that ended.
 */
export class FileLease implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Waits until nobody else holds it. Rejects with the signal's reason when that aborts first.
   *
   * @param onWait called when somebody does
   */
  static async acquire(file: string, signal: AbortSignal, onWait?: () => void): Promise<FileLease> {
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted();
      const lease = FileLease.tryAcquire(file);
      if (lease !== undefined) return lease;
      if (tries === 0) onWait?.();
      await sleep(POLL, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Undefined when somebody else holds it. */
  static tryAcquire(file: string): FileLease | undefined {
    const database = new DatabaseSync(file, { timeout: 0 });
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
      return new FileLease(database);
    } catch (error) {
      database.close();
      if (isLocked(error)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
