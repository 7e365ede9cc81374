import type { Identity } from '../identity.ts';
import type { SeenAttributes } from '../observation.ts';
import type { Origins } from '../origin.ts';

/** Which attributes settings added to the watched ones, and which they took away, since what is known was read. */
export interface Learning {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** @returns undefined where they are the same, in whatever order */
export function learning(before: readonly string[], now: readonly string[]): Learning | undefined {
  const added = now.filter((attribute) => !before.includes(attribute));
  const removed = before.filter((attribute) => !now.includes(attribute));
  return added.length + removed.length === 0 ? undefined : { added, removed };
}

/**
 * What is known of an account, with what it has in the added attributes and without the removed ones: nobody changed any of that.
 *
 * @returns undefined where that makes no difference
 */
export function relearned(before: Identity, seen: SeenAttributes, { added, removed }: Learning): Identity | undefined {
  const after: Identity = { ...before };
  for (const attribute of removed) delete after[attribute];
  for (const attribute of added) {
    const value = seen[attribute];
    if (value === null) delete after[attribute];
    else if (value !== undefined) after[attribute] = value;
  }
  const isOther = [...added, ...removed].some((attribute) => after[attribute] !== before[attribute]);
  return isOther ? after : undefined;
}

/** What is removed comes from no write any more; should it be watched again, it is learned anew. */
export function relearnedOrigins(origins: Origins, { removed }: Learning): Origins {
  return Object.fromEntries(Object.entries(origins).filter(([attribute]) => !removed.includes(attribute)));
}
