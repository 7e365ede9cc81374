import { setTimeout as sleep } from 'node:timers/promises';
import type { Subscription } from 'rxjs';
import type { ChangePage, RepairerLog } from '../../streams/change-log.ts';

const POLL = 10;

/** Asks again and again until the answer is there. */
export async function eventually<T>(ask: () => T | undefined | Promise<T | undefined>, within = 15_000): Promise<T> {
  const deadline = Date.now() + within;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`not so after ${within} ms`);
    await sleep(POLL);
  }
}

/** Takes the pages of a repairer's log one by one. */
export class Pages implements Disposable {
  /** Pages that came and were not taken yet. */
  readonly waiting: ChangePage[] = [];
  error: unknown;
  readonly #subscription: Subscription;

  constructor(log: RepairerLog) {
    this.#subscription = log.changes.subscribe({
      next: (page) => this.waiting.push(page),
      error: (error: unknown) => {
        this.error = error;
      },
    });
  }

  async next(): Promise<ChangePage> {
    return await eventually(() => {
      if (this.error !== undefined) throw this.error;
      return this.waiting.shift();
    });
  }

  /** Acknowledges pages until this many events came; their sequences in the order of arrival. */
  async take(count: number): Promise<number[]> {
    const sequences: number[] = [];
    while (sequences.length < count) {
      const page = await this.next();
      sequences.push(...page.changes.map(({ sequence }) => sequence));
      await page.ack();
    }
    return sequences;
  }

  [Symbol.dispose](): void {
    this.#subscription.unsubscribe();
  }
}
