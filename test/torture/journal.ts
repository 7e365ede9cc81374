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
  readonly #written = new Set<string>();
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

  /** Something else can have come by replication before the domain controller showed what was written. @param values null where cleared */
  wrote(objectGUID: string, values: Readonly<Record<string, string | null>>): void {
    for (const [attribute, value] of Object.entries(values)) this.#written.add(`${keyOf(objectGUID, attribute)} ${value}`);
  }

  /** It was written, and replaced before anybody saw by which write. */
  isFleeting(objectGUID: string, attribute: string, value: string | undefined): boolean {
    const isNoted = this.of(objectGUID, attribute).some((held) => held.value === value);
    return !isNoted && this.#written.has(`${keyOf(objectGUID, attribute)} ${value ?? null}`);
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
