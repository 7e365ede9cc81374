import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { FencedError } from '../../../streams/change-log.ts';
import { FileLease } from '../file-lease.ts';
import { isLocked } from '../locked.ts';

/** Milliseconds between two tries to get the lease. */
const POLL = 500;
/** Milliseconds between two signs of life. */
const HEARTBEAT = 1_000;
/** Looks in a row without one after which a holder is taken for frozen: not a time, since whoever looks can have been frozen itself. */
const SILENCE = 10;

/** `locked`: whether the holder also has the lock of the operating system; not, as long as a frozen one before it keeps that. */
export const LEASE_SCHEMA = `
  CREATE TABLE IF NOT EXISTS lease (
    role TEXT PRIMARY KEY, epoch INTEGER NOT NULL, heartbeat INTEGER NOT NULL, locked INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

interface Held {
  readonly epoch: number;
  readonly heartbeat: number;
  readonly locked: boolean;
}

/**
 * One writer of each role per log, on one machine. The lock of the operating system goes with the process that has it, so whoever waits
 * learns of its end at once; of one that is frozen it learns by missing heartbeats, and takes over without that lock. Either way the epoch
 * goes up, by which whoever lost the lease without noticing is shut out.
 */
export class SqliteLease implements Disposable {
  readonly #file: string;
  readonly #role: string;
  readonly #isFencedWhole: boolean;
  /** Of its own, and not durable: no heartbeat has to survive a power cut. */
  readonly #database: DatabaseSync;
  readonly #lost = new AbortController();
  #lock: FileLease | undefined;
  #epoch = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  /** The last sign of life of another holder. */
  #heard: Held | undefined;
  /** Looks since then. */
  #silence = 0;

  private constructor(file: string, role: string, isFencedWhole: boolean) {
    this.#file = file;
    this.#role = role;
    this.#isFencedWhole = isFencedWhole;
    this.#database = new DatabaseSync(file, { timeout: 0 });
    this.#database.exec('PRAGMA synchronous = NORMAL; PRAGMA cache_size = -100;');
  }

  /**
   * Waits until nobody else holds it. Rejects with the signal's reason when that aborts first.
   *
   * @param file of the log, which has the table
   * @param isFencedWhole whether the epoch shuts out all that a frozen holder can still do; otherwise nobody takes over from one
   * @param onWait called when somebody does
   */
  static async acquire(file: string, role: string, isFencedWhole: boolean, signal: AbortSignal, onWait?: () => void): Promise<SqliteLease> {
    const lease = new SqliteLease(file, role, isFencedWhole);
    try {
      for (let tries = 0; ; tries++) {
        signal.throwIfAborted();
        if (unlessLocked(false, () => lease.#take())) return lease;
        if (tries === 0) onWait?.();
        await sleep(POLL, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /** Aborts, with a FencedError, when somebody else has taken over. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** @throws FencedError when somebody else has taken over */
  check(): void {
    if (this.#held()?.epoch !== this.#epoch) throw new FencedError(`another ${this.#role} writes to ${this.#file}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat);
    if (!this.#database.isOpen) return;
    if (this.#epoch > 0 && this.#lock === undefined) this.#leaveTheLockAlone();
    this.#lock?.[Symbol.dispose]();
    this.#database.close();
  }

  #take(): boolean {
    const held = this.#held();
    this.#lock ??= FileLease.tryAcquire(`${this.#file}-${this.#role}.lock`);
    // Where nobody takes over from a frozen one, the lock of the operating system alone decides.
    const isFree = this.#isFencedWhole ? held === undefined || (held.locked && this.#lock !== undefined) : this.#lock !== undefined;
    if (!isFree && !(held !== undefined && this.#isSilent(held))) {
      // It is for the one that took over from a frozen one.
      this.#lock?.[Symbol.dispose]();
      this.#lock = undefined;
      return false;
    }
    const { epoch, heartbeat } = held ?? { epoch: 0, heartbeat: 0 };
    const locked = Number(this.#lock !== undefined);
    const isTaken = this.#write(
      `INSERT INTO lease (role, epoch, heartbeat, locked) VALUES (?, 1, 0, ?) ON CONFLICT (role)
       DO UPDATE SET epoch = epoch + 1, heartbeat = 0, locked = excluded.locked WHERE epoch = ? AND heartbeat = ?`,
      this.#role,
      locked,
      epoch,
      heartbeat,
    );
    if (!isTaken) return false;
    this.#epoch = epoch + 1;
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT).unref();
    return true;
  }

  #beat(): void {
    try {
      this.#lock ??= FileLease.tryAcquire(`${this.#file}-${this.#role}.lock`);
      const locked = Number(this.#lock !== undefined);
      const beat = 'UPDATE lease SET heartbeat = heartbeat + 1, locked = ? WHERE role = ? AND epoch = ?';
      if (!this.#write(beat, locked, this.#role, this.#epoch)) this.check();
    } catch (error) {
      // Where a log cannot be written, nobody takes over, and whoever appends to it says what is wrong.
      if (!(error instanceof FencedError)) return;
      clearInterval(this.#heartbeat);
      this.#lost.abort(error);
    }
  }

  /** After this it alone decides; where that cannot be written, whoever waits hears the silence. */
  #leaveTheLockAlone(): void {
    try {
      this.#write('UPDATE lease SET locked = 1 WHERE role = ? AND epoch = ?', this.#role, this.#epoch);
    } catch {
      // A log that fails tells whoever uses it.
    }
  }

  /** A log that somebody else keeps locked shows no signs of life, and says nothing of the holder. */
  #isSilent(held: Held): boolean {
    const isNews = held.epoch !== this.#heard?.epoch || held.heartbeat !== this.#heard.heartbeat;
    this.#silence = this.#heard === undefined || isNews || !this.#isWritable() ? 0 : this.#silence + 1;
    this.#heard = held;
    return this.#isFencedWhole && this.#silence >= SILENCE;
  }

  #held(): Held | undefined {
    const row = this.#database.prepare('SELECT epoch, heartbeat, locked FROM lease WHERE role = ?').get(this.#role);
    return row && { epoch: Number(row.epoch), heartbeat: Number(row.heartbeat), locked: row.locked === 1 };
  }

  #isWritable(): boolean {
    return unlessLocked(false, () => {
      this.#database.exec('BEGIN IMMEDIATE; ROLLBACK;');
      return true;
    });
  }

  /** @returns false when no row was changed, or when the log is locked */
  #write(sql: string, ...values: (string | number)[]): boolean {
    return unlessLocked(false, () => this.#database.prepare(sql).run(...values).changes === 1);
  }
}

function unlessLocked<T>(otherwise: T, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (isLocked(error)) return otherwise;
    throw error;
  }
}
