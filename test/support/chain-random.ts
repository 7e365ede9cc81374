import { randomInt } from 'node:crypto';

/** Repeats a run: the seed that a failed one printed. */
const SEED_VARIABLE = 'CHAIN_SEED';

/** Random choices that one number repeats (mulberry32). */
export class Random {
  readonly seed: number;
  readonly #variable: string;
  #state: number;

  /** @param variable of the environment, which gives the seed where none is given */
  constructor(seed?: number, variable = SEED_VARIABLE) {
    this.seed = seed ?? Number(process.env[variable] ?? randomInt(2 ** 31));
    this.#variable = variable;
    this.#state = this.seed;
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Runs a body; when it fails, the error says how to repeat it. */
  async telling<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw new Error(`with ${this.#variable}=${this.seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
