import type { WholeObject } from '../directory-source.ts';
import type { Identity } from '../identity.ts';
import type { Observation, SeenAttributes } from '../observation.ts';
import { covers, coversAll, isNewer, isSameWrite, type Origin, type Origins, type Vector } from '../origin.ts';
import { ACCOUNTDISABLE } from './detector.ts';

/** What decides whether a domain controller shows something old. */
export interface View {
  /** Every write up to here was seen when the known values were learned. */
  readonly seen: Vector;
  /** What the domain controller had seen before it was asked; undefined: not known, then what is older than known always waits. */
  readonly shown?: Shown | undefined;
  /** The account has waited for long enough: what is shown is taken for true. */
  readonly overdue?: boolean;
}

/** What a domain controller has seen. */
export interface Shown {
  readonly vector: Vector;
  /** Of its own database. */
  readonly invocationId: string;
}

/**
 * Whether a domain controller that shows something else than this write must have lost it. Of its own writes that cannot be told by
 * the numbers: one that was rolled back gives the same numbers once more, while its partners still have the write to give back.
 */
export function hasLost({ vector, invocationId }: Shown, write: Origin): boolean {
  return write.invocationId !== invocationId && covers(vector, write);
}

export type Settled =
  | {
      readonly outcome: 'accepted';
      /** Without the attributes whose value is older than the known one. */
      readonly observation: Observation;
      /** The writes that the values come from which are known after this. */
      readonly origins: Origins;
      /** Something was left out: the domain controller has still to hear of a newer value. */
      readonly waits: boolean;
    }
  /** The domain controller has still to hear that the account was deleted or brought back. */
  | { readonly outcome: 'waits' };

/**
 * What a domain controller shows of an account, less what is older than what is known: after a fail-over a value can go back, since
 * this one has not heard of the newest write yet. A write is older when the directory itself would let the known one win; where the
 * known write is not on record, when it had been seen already at the time of the last read (SPEC rule 1).
 *
 * An old value is true after all when the domain controller has seen the write that is known and shows something else: then that
 * write was lost, as in a roll-back.
 */
export function settle(whole: WholeObject, known: Identity | undefined, origins: Origins, view: View): Settled {
  const { writes } = whole;
  // Without metadata there is nothing to go by.
  const isTaken = Object.keys(writes).length === 0 || view.overdue === true;
  if (known === undefined)
    return isTaken || appeared(whole, origins.isDeleted, view)
      ? accepted(whole, known, originsOf(writes), false, origins.isDeleted)
      : { outcome: 'waits' };
  if (whole.deleted) {
    const isOld = !isTaken && writes.isDeleted !== undefined && isOlder(writes.isDeleted, origins.isDeleted, view);
    return isOld ? { outcome: 'waits' } : accepted(whole, known, {}, false);
  }
  const seen: Record<string, unknown> = { ...whole.seen };
  const kept = originsOf(writes);
  let waits = false;
  for (const attribute of new Set([...Object.keys(whole.seen), ...Object.keys(origins)])) {
    const [write, origin] = [writes[attribute], origins[attribute]];
    if (isHidden(seen[attribute], known[attribute], write, origin, view)) {
      delete seen[attribute];
      if (origin === undefined) delete kept[attribute];
      continue;
    }
    if (differs(attribute, whole.seen, known)) {
      if (isTaken || !isOlder(write, origin, view)) continue;
      waits = true;
      delete seen[attribute];
      if (origin === undefined) delete kept[attribute];
      else kept[attribute] = origin;
    } else if (origin !== undefined && (write === undefined || isNewer(origin, write))) {
      kept[attribute] = origin;
    }
  }
  return accepted({ ...whole, seen: seen as SeenAttributes }, known, kept, waits);
}

/**
 * Whether an account that is not known is new, or was brought back, and not one whose deletion has still to be heard of.
 *
 * @param deletion the write that it was known to be gone by, if that is on record
 */
function appeared({ deleted, writes }: WholeObject, deletion: Origin | undefined, { seen, shown }: View): boolean {
  const { objectClass: creation, isDeleted } = writes;
  if (deleted) return true;
  if (deletion !== undefined) {
    return (isDeleted !== undefined && isNewer(isDeleted, deletion)) || (shown !== undefined && hasLost(shown, deletion));
  }
  if (creation === undefined || !covers(seen, creation)) return true;
  if (isDeleted !== undefined && !covers(seen, isDeleted)) return true;
  return shown !== undefined && coversAll(shown.vector, seen);
}

/**
 * No value, though it was last written when the known one was: that write did not clear it, and whoever reads may not see it, or may not
 * any more.
 */
function isHidden(value: unknown, known: unknown, write: Origin | undefined, origin: Origin | undefined, { seen }: View): boolean {
  if (value !== null || known === undefined || write === undefined) return false;
  return origin === undefined ? covers(seen, write) : isSameWrite(write, origin);
}

function isOlder(write: Origin | undefined, known: Origin | undefined, { seen, shown }: View): boolean {
  if (known !== undefined) {
    if (write !== undefined && (isSameWrite(write, known) || isNewer(write, known))) return false;
    return shown === undefined || !hasLost(shown, known);
  }
  // An attribute that was never set there has no write.
  if (write !== undefined && !covers(seen, write)) return false;
  return shown === undefined || !coversAll(shown.vector, seen);
}

function differs(attribute: string, seen: SeenAttributes, known: Identity): boolean {
  if (!(attribute in seen) || attribute === 'objectClass') return false;
  if (attribute === 'userAccountControl') return ((seen.userAccountControl ?? 0) & ACCOUNTDISABLE) === (known.enabled ? ACCOUNTDISABLE : 0);
  const value: unknown = (seen as Record<string, unknown>)[attribute];
  return (value ?? undefined) !== known[attribute];
}

/** The writes without what only this domain controller says of them. */
function originsOf(writes: WholeObject['writes']): Origins {
  return Object.fromEntries(Object.entries(writes).map(([attribute, write]) => [attribute, originOf(write)]));
}

export function originOf({ version, time, invocationId, usn }: Origin): Origin {
  return { version, time, invocationId, usn };
}

function accepted(whole: WholeObject, known: Identity | undefined, origins: Origins, waits: boolean, deletion?: Origin): Settled {
  const { objectGUID, dn, seen, writes } = whole;
  // Whoever is alive and has a write of isDeleted was deleted once, and so was whoever is known to have been.
  const restored = known === undefined && (writes.isDeleted ?? deletion) !== undefined;
  const deleted = whole.deleted ? true : restored ? false : undefined;
  return { outcome: 'accepted', observation: { objectGUID, dn, seen, ...(deleted !== undefined && { deleted }) }, origins, waits };
}
