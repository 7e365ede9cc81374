import { backoff } from '../backoff.ts';
import type { CustomerEngagementFailure } from '../customer-engagement.ts';
import type { RepairReason } from '../repair.ts';

/** What keeps a repair from going on. */
export type Obstacle = CustomerEngagementFailure | RepairReason;

type Delay = { readonly first: number; readonly longest: number };

/** First and longest delay in milliseconds before a repair that has to wait is tried again; a name that is not known yet: assumption A7. */
const DELAYS: Partial<Record<RepairReason, Delay>> = {
  unavailable: { first: 200, longest: 60_000 },
  'not-in-directory-yet': { first: 2_000, longest: 300_000 },
  'privilege-missing': { first: 30_000, longest: 900_000 },
};
/** For waits that end when another repair goes on: the delay is only their safety net. */
const UNTIL_ANOTHER_ENDS: Delay = { first: 1_000, longest: 30_000 };
/** Obstacles that are another repair: they say nothing of what was in the way of this one. */
const OTHERS: ReadonlySet<Obstacle> = new Set<Obstacle>(['no-parking-account-free', 'names-exchanged', 'name-in-use']);
/** The longest wait in milliseconds that a Retry-After header is believed. */
const LONGEST_WAIT = 3_600_000;

interface Last {
  readonly reason: RepairReason;
  /** How often in a row for this reason. */
  readonly attempts: number;
  readonly obstacle: Obstacle;
  /** How often in a row by this very obstacle. */
  readonly times: number;
}

/**
 * How often in a row each record could not go on: for one reason, which says how long to wait, and by one and the same obstacle,
 * which says when to give up. What was in its way before says nothing about either.
 */
export class Tries {
  readonly #last = new Map<string, Last>();

  times(systemuserid: string, obstacle: Obstacle): number {
    const last = this.#last.get(systemuserid);
    return last?.obstacle === obstacle ? last.times : 0;
  }

  /** @returns how often for this reason by now */
  failed(systemuserid: string, reason: RepairReason, obstacle: Obstacle): number {
    const last = this.#last.get(systemuserid);
    const attempts = (last?.reason === reason ? last.attempts : 0) + 1;
    const own = OTHERS.has(obstacle) && last !== undefined ? last : { obstacle, times: this.times(systemuserid, obstacle) + 1 };
    this.#last.set(systemuserid, { reason, attempts, obstacle: own.obstacle, times: own.times });
    return attempts;
  }

  /** The record went on. */
  forget(systemuserid: string): void {
    this.#last.delete(systemuserid);
  }

  /** Milliseconds before the next try. */
  delay(reason: RepairReason, attempts: number, retryAfter: number): number {
    return Math.min(Math.max(backoff(attempts, DELAYS[reason] ?? UNTIL_ANOTHER_ENDS), retryAfter), LONGEST_WAIT);
  }
}
