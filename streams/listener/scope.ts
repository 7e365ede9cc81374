import type { Change, Observed } from '../change.ts';
import type { DirectorySession, WholeObject } from '../directory-source.ts';
import type { Identity } from '../identity.ts';
import type { Observation } from '../observation.ts';
import { unlessAborted } from '../operators.ts';
import { covers, coversAll } from '../origin.ts';
import { inPortions } from './missing.ts';
import type { View } from './settle.ts';

/** Milliseconds between two looks at who is in scope at least, and at least so many times as long as a look takes. */
const REST = { least: 250, times: 10 };

/**
 * Whether an account that is shown out of scope left it. A domain controller that lags behind may only not have heard yet how it came
 * in: memberships and parents have no write of the account by which to tell.
 */
export function hasLeft({ seen, shown, overdue }: View): boolean {
  return overdue === true || (shown !== undefined && coversAll(shown.vector, seen));
}

/** An account that appeared and had been in the directory before was not made: it came into scope, or into sight. */
export function entering(change: Change, { writes }: WholeObject, { seen }: View): Change {
  const { objectClass: creation, isDeleted } = writes;
  // Whoever is back and has no such write was known to be deleted before, and that was lost.
  const isNew = change.kind === 'created' || (change.kind === 'restored' && isDeleted !== undefined);
  if (!isNew || creation === undefined || !covers(seen, creation) || (isDeleted !== undefined && !covers(seen, isDeleted))) return change;
  return { ...change, kind: 'entered-scope' };
}

export function leaving(before: Identity, observed: Observed): Change {
  const { objectGUID } = before;
  return { kind: 'left-scope', objectGUID, changed: [], before, after: null, caseOnly: false, formerHolder: null, observed };
}

/** Of these only the objectGUID is known; what else there is to them has to be read. */
export function unread(objectGUIDs: readonly string[]): Observation[] {
  return objectGUIDs.map((objectGUID) => ({ objectGUID, dn: '', seen: {} }));
}

/** Those who were in scope and are not, and those who are and were not, in portions. */
export function crossings(before: Iterable<string>, now: ReadonlySet<string>, isKnown: (objectGUID: string) => boolean): string[][] {
  const were = new Set(before);
  const left = inPortions(were, (objectGUID) => !now.has(objectGUID) && isKnown(objectGUID));
  const came = inPortions(now, (objectGUID) => !were.has(objectGUID) && !isKnown(objectGUID));
  return [...left, ...came];
}

/**
 * When to look who is in scope. A directory does not tell of accounts whose parents are renamed or whose groups change, so everybody is
 * looked for: at the beginning of a session, after every read of everything, when a container or a group was written, and every so often.
 */
export class ScopeWatch {
  readonly #session: DirectorySession;
  readonly #every: number;
  /** By performance.now(). */
  #looked: { readonly at: number; readonly took: number } | undefined;
  #isStirred = false;

  /** @param every milliseconds after which it is looked although nothing seems to have changed */
  constructor(session: DirectorySession, every: number) {
    this.#session = session;
    this.#every = every;
  }

  /** Who is in scope now; undefined: everybody is. */
  async members(signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    const { scope } = this.#session;
    if (scope === undefined) return undefined;
    const began = performance.now();
    const members = await unlessAborted(scope.members(), signal);
    this.#isStirred = false;
    this.#looked = { at: performance.now(), took: performance.now() - began };
    return members;
  }

  async isDue(signal: AbortSignal): Promise<boolean> {
    const { scope } = this.#session;
    if (scope === undefined) return false;
    if (this.#looked === undefined || performance.now() - this.#looked.at >= this.#every) return true;
    this.#isStirred ||= await unlessAborted(scope.isStirred(), signal);
    return this.#isStirred && this.#untilRested === 0;
  }

  /** Milliseconds until a look that was put off; undefined: none was. */
  get wait(): number | undefined {
    return this.#isStirred ? this.#untilRested : undefined;
  }

  get #untilRested(): number {
    if (this.#looked === undefined) return 0;
    const { at, took } = this.#looked;
    return Math.max(0, Math.ceil(at + Math.max(REST.least, REST.times * took) - performance.now()));
  }
}
