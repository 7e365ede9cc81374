import { backoff } from './backoff.ts';
import type { CustomerEngagementFailure } from './customer-engagement.ts';
import type { RepairReason } from './repair.ts';

/** What keeps a repair from going on. */
export type Obstacle = CustomerEngagementFailure | RepairReason;

type Delay = { readonly first: number; readonly longest: number };

/** First and longest delay in milliseconds before a repair that has to wait is tried again. */
const DELAYS: Partial<Record<RepairReason, Delay>> = {
  unavailable: { first: 200, longest: 60_000 },
  'not-in-directory-yet': { first: 2_000, longest: 300_000 },
  'privilege-missing': { first: 30_000, longest: 900_000 },
};
const AFTER_REFUSAL: Delay = { first: 30_000, longest: 900_000 };
/** For waits that end when another repair goes on: the delay is only their safety net. */
const UNTIL_ANOTHER_ENDS: Delay = { first: 1_000, longest: 30_000 };
/** The longest wait in milliseconds that a Retry-After header is believed. */
const LONGEST_WAIT = 3_600_000;

/** How often in a row the same obstacle kept each record from going on: what was in its way before says nothing about it. */
export class Tries {
  readonly #last = new Map<string, { readonly obstacle: Obstacle; readonly times: number }>();
  /** How often in a row the service's credentials were refused, whoever was to be repaired. */
  #refusals = 0;

  times(systemuserid: string, obstacle: Obstacle): number {
    const last = this.#last.get(systemuserid);
    return last?.obstacle === obstacle ? last.times : 0;
  }

  /** @returns how often by now */
  failed(systemuserid: string, obstacle: Obstacle): number {
    const times = this.times(systemuserid, obstacle) + 1;
    this.#last.set(systemuserid, { obstacle, times });
    return times;
  }

  /** The record went on. */
  forget(systemuserid: string): void {
    this.#last.delete(systemuserid);
  }

  /** The service's credentials were good. */
  accepted(): void {
    this.#refusals = 0;
  }

  /** Milliseconds before the next try. */
  delay(reason: RepairReason, times: number, retryAfter: number): number {
    return Math.min(Math.max(backoff(times, DELAYS[reason] ?? UNTIL_ANOTHER_ENDS), retryAfter), LONGEST_WAIT);
  }

  /** Milliseconds before anybody is tried again. */
  delayAfterRefusal(): number {
    return backoff(++this.#refusals, AFTER_REFUSAL);
  }
}
