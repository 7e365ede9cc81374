import { backoff } from '../backoff.ts';
import type { RepairReason } from '../repair.ts';
import type { Schedule } from './schedule.ts';

/** Milliseconds for which nobody is tried after the service itself was refused: each try could count towards a lock-out. */
const AFTER_REFUSAL = { first: 30_000, longest: 900_000 };
/** The same after the server could not be reached, or failed, so often in a row, whoever was to be repaired. */
const AFTER_FAILURES = { first: 1_000, longest: 60_000 };
const FAILURES = 5;

/** A privilege (assumption A9) can be missing for the records of one business unit; for two records in a row it is missing altogether. */
const REFUSED_RECORDS = 2;

/**
 * Keeps everybody from asking a server in vain. What is wrong with the service or the server makes the whole organization wait, not
 * one person after the other; then one alone is tried.
 */
export class Breaker {
  readonly #schedule: Schedule;
  readonly #atOnce: number;
  #refusals = 0;
  /** Records that the service was refused to write since the last one that it wrote. */
  readonly #refused = new Set<string>();
  #failures = 0;
  #pauses = 0;

  /** @param atOnce how many are looked at side by side while all is well */
  constructor(schedule: Schedule, atOnce: number) {
    this.#schedule = schedule;
    this.#atOnce = atOnce;
  }

  /** The server answered what it was asked. Only a write shows that nothing is refused any more. */
  answered({ written }: { written: boolean }): void {
    this.#failures = 0;
    this.#pauses = 0;
    if (written) {
      this.#refusals = 0;
      this.#refused.clear();
    }
    if (this.#refusals === 0) this.#schedule.limit(this.#atOnce);
  }

  /**
   * What was under way side by side is one failure.
   *
   * @returns for how many milliseconds nobody is tried; 0 when this concerns one repair only
   */
  failed(systemuserid: string, reason: RepairReason): number {
    if (reason === 'privilege-missing') this.#refused.add(systemuserid);
    const isRefusal = reason === 'credentials-refused' || (reason === 'privilege-missing' && this.#refused.size >= REFUSED_RECORDS);
    if (!isRefusal && reason !== 'unavailable') return 0;
    if (!isRefusal && ++this.#failures < FAILURES) return 0;
    const left = this.#schedule.pausedFor;
    if (left > 0) return left;
    const milliseconds = isRefusal ? backoff(++this.#refusals, AFTER_REFUSAL) : backoff(++this.#pauses, AFTER_FAILURES);
    this.#schedule.limit(1);
    this.#schedule.pause(milliseconds);
    return milliseconds;
  }
}
