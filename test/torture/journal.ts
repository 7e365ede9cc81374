import type { ObjectState, Stamp } from './object-state.ts';

/** A value that an account really had, on the domain controller where it was written. */
export interface Held {
  /** Undefined: nothing was set. */
  readonly value: string | undefined;
  readonly stamp: Stamp;
  /** Counts what was noted. */
  readonly order: number;
}

const NONE: readonly Held[] = [];

/** What was written, as the domain controller that it was written to showed it right after. */
export class Journal {
  readonly #held = new Map<string, Held[]>();
  #order = 0;

  get order(): number {
    return this.#order;
  }

  note({ objectGUID, values, stamps }: ObjectState): void {
    for (const [attribute, stamp] of Object.entries(stamps)) {
      const key = keyOf(objectGUID, attribute);
      const all = this.#held.get(key) ?? [];
      const value = values[attribute];
      // A roll-back lets the same number stand for another write.
      const isNoted = all.some((held) => held.value === value && isSame(held.stamp, stamp));
      if (!isNoted) all.push({ value, stamp, order: ++this.#order });
      this.#held.set(key, all);
    }
  }

  of(objectGUID: string, attribute: string): readonly Held[] {
    return this.#held.get(keyOf(objectGUID, attribute)) ?? NONE;
  }
}

export function isSame(one: Stamp, other: Stamp): boolean {
  return one.invocationId === other.invocationId && one.usn === other.usn && one.version === other.version && one.time === other.time;
}

function keyOf(objectGUID: string, attribute: string): string {
  return `${objectGUID} ${attribute}`;
}
