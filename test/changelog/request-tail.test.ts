import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestTail } from '../../src/changelog/kafka/request-tail.ts';
import { StateStore } from '../../src/changelog/state-store.ts';

/** What happens to the partition, as it happens on a broker. */
type Step =
  /** A transaction of the listener: so many records, and requests of others right before its records, among them and before its mark. */
  | { readonly do: 'append'; readonly records: number; readonly before: number; readonly among: number; readonly behind: number }
  | { readonly do: 'request' }
  | { readonly do: 'ask' };

const few = fc.constantFrom(0, 0, 0, 1, 2);
const appended: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('append' as const),
  records: fc.integer({ min: 1, max: 2 }),
  before: few,
  among: few,
  behind: few,
});
const asked: fc.Arbitrary<Step> = fc.constant({ do: 'ask' as const });
const requested: fc.Arbitrary<Step> = fc.constant({ do: 'request' as const });

class Partition {
  end = 0n;
  /** Offsets of requests, and those that the store knows. */
  readonly requests: bigint[] = [];
  readonly known = new Set<bigint>();
  reads = 0;
  readonly #tail: RequestTail;

  constructor(store: StateStore) {
    this.#tail = new RequestTail(store);
  }

  take(step: Step): void {
    switch (step.do) {
      case 'append': {
        this.#requested(step.before);
        this.end++;
        this.#requested(step.among);
        this.end += BigInt(step.records - 1);
        const last = step.records === 1 ? this.end - 1n - BigInt(step.among) : this.end - 1n;
        this.#requested(step.behind);
        this.end++;
        this.#tail.wrote({ topic: 'position', partition: 0, last, count: step.records });
        return;
      }
      case 'request':
        this.#requested(1);
        return;
      case 'ask': {
        if (!this.#tail.isBehind(this.end)) return;
        this.reads++;
        const { next } = this.#tail;
        for (const offset of this.requests) if (offset >= next) this.known.add(offset);
        this.#tail.read(next, this.end);
      }
    }
  }

  #requested(count: number): void {
    for (let index = 0; index < count; index++) this.requests.push(this.end++);
  }
}

describe('the tail of requests in the position topic', () => {
  it('misses none, wherever it lands between the records of the listener', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(appended, requested, asked), { maxLength: 40 }), (steps) => {
        using store = new StateStore(':memory:', { durable: false });
        const partition = new Partition(store);
        for (const step of [...steps, { do: 'ask' } as const]) {
          partition.take(step);
          if (step.do === 'ask') expect([...partition.known]).toEqual(partition.requests);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('reads nothing as long as nobody asks for anything', () => {
    const quiet = fc.record({
      do: fc.constant('append' as const),
      records: fc.integer({ min: 1, max: 2 }),
      before: fc.constant(0),
      among: fc.constant(0),
      behind: fc.constant(0),
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(quiet, asked), { maxLength: 40 }), (steps) => {
        using store = new StateStore(':memory:', { durable: false });
        const partition = new Partition(store);
        for (const step of steps) partition.take(step);
        expect(partition.reads).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it('goes on where it stood when the store is opened again, or reads what was read up for another reason only', () => {
    using store = new StateStore(':memory:', { durable: false });
    const tail = new RequestTail(store);
    tail.read(0n, 10n);
    tail.wrote({ topic: 'position', partition: 0, last: 11n, count: 2 });
    const again = new RequestTail(store);
    expect([again.next, again.isBehind(13n), again.isBehind(14n)]).toEqual([12n, false, true]);
    again.read(13n, 20n);
    expect(again.next).toBe(12n);
    again.read(11n, 20n);
    expect([again.next, again.isBehind(20n)]).toEqual([20n, false]);
  });
});
