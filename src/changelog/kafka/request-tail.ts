import { z } from 'zod';
import type { StateStore } from '../state-store.ts';
import type { Written } from './transactions.ts';

/** Where the store keeps it. */
export const TAIL_KEY = 'requests-known';

const Known = z.object({
  /** The offset before which every request is known. */
  next: z.coerce.bigint(),
  /** How many marks of transactions of our own follow there, before anything else could. */
  marks: z.int(),
});

/**
 * Up to where the requests in the position topic are known. Others write them between the listener's own records, also between the
 * last one of a transaction and its mark. The listener knows how many offsets its own took: where that many and no more have been
 * used, nobody has asked for anything, and nothing needs to be read.
 */
export class RequestTail {
  readonly #store: StateStore;

  constructor(store: StateStore) {
    this.#store = store;
  }

  get #known(): z.infer<typeof Known> | undefined {
    const stored = this.#store.meta(TAIL_KEY);
    return stored === undefined ? undefined : Known.parse(JSON.parse(stored));
  }

  #setKnown(next: bigint, marks: number): void {
    this.#store.setMeta(TAIL_KEY, JSON.stringify({ next: String(next), marks }));
  }

  /** The offset to read on from. */
  get next(): bigint {
    return this.#known?.next ?? 0n;
  }

  /** The only writer has written; where something else came in between, that stays to be read. */
  wrote({ last, count }: Written): void {
    const { next, marks } = this.#known ?? { next: 0n, marks: 0 };
    if (last + 1n - BigInt(count) === next + BigInt(marks)) this.#setKnown(last + 1n, 1);
  }

  /** Whether there may be requests that are not known, when the committed end of the topic is this. */
  isBehind(end: bigint): boolean {
    const { next, marks } = this.#known ?? { next: 0n, marks: 0 };
    return end > next + BigInt(marks);
  }

  /** Every request of this range is in the store now. */
  read(from: bigint, end: bigint): void {
    const known = this.#known;
    if (known === undefined || (from <= known.next && known.next <= end)) this.#setKnown(end, 0);
  }
}
