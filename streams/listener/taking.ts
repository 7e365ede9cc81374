import type { Change, Observed } from '../change.ts';
import { type DirectorySession, UnusableObject, type WholeObject, type Write } from '../directory-source.ts';
import { type Identity, sameName } from '../identity.ts';
import type { Observation } from '../observation.ts';
import { unlessAborted } from '../operators.ts';
import { covers, isSameWrite, type Origins } from '../origin.ts';
import type { SeenWrite } from '../position.ts';
import { detect } from './detector.ts';
import { Draft } from './draft.ts';
import { type Learning, relearned, relearnedOrigins } from './learning.ts';
import { type Known, lookedUpOnce } from './looked-up-once.ts';
import { entering, hasLeft, leaving } from './scope.ts';
import { originOf, settle, type View } from './settle.ts';

export interface Taking {
  readonly session: DirectorySession;
  readonly known: Known;
  readonly view: View;
  /** Everybody who is in scope, where that has been asked already. */
  readonly members: ReadonlySet<string> | undefined;
  /** The objects of all observations, where they have been asked for already. */
  readonly wholes?: Promise<ReadonlyMap<string, WholeObject>> | undefined;
  /** What is watched from now on, and what is not any more: that is nobody's change. */
  readonly learning: Learning | undefined;
  /** The accounts are certain to be gone from the domain of which they are known. */
  readonly areGone?: boolean;
  readonly via: Observed['via'];
  /** The directory is read for the first time: accounts are learned and nobody is told, so only what is incomplete is read again. */
  readonly isBaseline: boolean;
  readonly signal: AbortSignal;
}

/** What observations come to. */
export interface Taken {
  readonly draft: Draft;
  /** Accounts that are gone; not part of the draft, since how many there are is known only at the end of a read. */
  readonly deletions: readonly Deletion[];
  /** objectGUIDs of which the domain controller shows something older than what is known. */
  readonly waiting: readonly string[];
  readonly setAside: readonly { readonly objectGUID: string; readonly dn: string; readonly reason: string }[];
  /** The writes behind the changes. */
  readonly writes: readonly SeenWrite[];
  /** How many known accounts came whole that the directory should not have sent again. */
  readonly repeated: number;
}

export interface Deletion {
  readonly objectGUID: string;
  readonly observed: Observed;
}

/**
 * Compares observations with what is known. What differs is read again from the directory, all of it at once and together with the
 * writes that the values come from: that gives each change its origin, and tells what is new from what is old.
 */
export async function take(all: readonly Observation[], { known, ...more }: Taking): Promise<Taken> {
  const taking: Taking = { known: lookedUpOnce(known), ...more };
  const { session, isBaseline, signal } = taking;
  const inside = await whoIsInScope(all, taking);
  const outside = new Set(all.filter(({ objectGUID, deleted }) => deleted !== true && !inside(objectGUID)));
  const isLeaver = (known: Identity | undefined) => known !== undefined && (taking.areGone === true || known.domain === session.domain);
  const leavers = new Set([...outside].filter(({ objectGUID }) => isLeaver(taking.known.identity(objectGUID))));
  const observations = all.filter((observation) => !outside.has(observation) || leavers.has(observation));
  const isDoubtful = (observation: Observation) => leavers.has(observation) || needsWhole(observation, taking);
  const doubtful = observations.filter(isDoubtful);
  const readWhole = () => taking.wholes ?? session.readObjects(doubtful.map(({ objectGUID }) => objectGUID));
  const wholes = doubtful.length === 0 ? NONE : await unlessAborted(readWhole(), signal);
  const taker = new Taker(taking);
  const read = new Set(doubtful);
  for (const observation of observations) {
    // What was the same as known is so still: it needs no second look.
    const whole = wholes.get(observation.objectGUID);
    if (leavers.has(observation) && whole?.deleted === false) taker.leave(whole);
    else if (read.has(observation)) taker.take(observation, whole);
    else if (isBaseline) taker.take(observation, undefined);
    else taker.learn(observation);
  }
  await taker.markSharedNames();
  return taker;
}

/** Changes in one batch at most, where there is a choice. */
const BATCH = 500;

const NONE: ReadonlyMap<string, WholeObject> = new Map();
const NOBODY: ReadonlySet<string> = new Set();

/** Those who are deleted need not be asked about: who is known was in scope. */
async function whoIsInScope(
  observations: readonly Observation[],
  { session: { scope }, members, signal }: Taking,
): Promise<(objectGUID: string) => boolean> {
  if (scope === undefined) return () => true;
  const living = observations.filter(({ deleted }) => deleted !== true).map(({ objectGUID }) => objectGUID);
  const inside = members ?? (living.length === 0 ? NOBODY : await unlessAborted(scope.inScope(living), signal));
  return (objectGUID) => inside.has(objectGUID);
}

/** In a read of everything accounts come whole, and most of them are as they were. In any other, whoever comes has changed somehow. */
function needsWhole(observation: Observation, taking: Taking): boolean {
  const { session, known: log, learning, via, isBaseline } = taking;
  const known = learning === undefined ? log : new Draft(log);
  if (known instanceof Draft) learn(observation, known, learning);
  const observed = { time: '', dc: session.dc, via, dn: observation.dn };
  const before = known.identity(observation.objectGUID);
  // What has been asked for already was read of changes alone.
  if (taking.wholes !== undefined && before !== undefined) return true;
  const { outcome } = detect(observation, domainOf(observation, before, taking), observed, known);
  if (outcome === 'incomplete') return true;
  if (isBaseline) return outcome === 'changed' && isOfAnother(before, session.domain);
  return outcome === 'changed' || (via !== 'comparison' && before !== undefined);
}

/**
 * Deletions as drafts, the first of them after what the given draft holds.
 *
 * @param report false: nobody is told
 */
export function deletionDrafts(draft: Draft, deletions: readonly Deletion[], report: boolean): Draft[] {
  const drafts = [draft];
  let current = draft;
  for (const { objectGUID, observed } of deletions) {
    if (current.identities.size >= BATCH) {
      current = new Draft(draft);
      drafts.push(current);
    }
    const domain = current.identity(objectGUID)?.domain ?? '';
    const detection = detect({ objectGUID, dn: observed.dn, deleted: true, seen: {} }, domain, observed, current);
    // In another domain that write says nothing.
    const origins = observed.origin ? { isDeleted: { ...originOf(observed.origin), domain } } : {};
    if (detection.outcome === 'changed') current.add(objectGUID, null, report ? detection.changes : [], origins);
  }
  return drafts;
}

class Taker implements Taken {
  readonly draft: Draft;
  readonly deletions: Deletion[] = [];
  readonly waiting: string[] = [];
  readonly setAside: { objectGUID: string; dn: string; reason: string }[] = [];
  readonly writes: SeenWrite[] = [];
  repeated = 0;
  readonly #taking: Taking;

  constructor(taking: Taking) {
    this.#taking = taking;
    this.draft = new Draft(taking.known);
  }

  take(observation: Observation, whole: WholeObject | undefined): void {
    try {
      this.#take(observation, whole);
    } catch (error) {
      if (!(error instanceof UnusableObject)) throw error;
      this.setAside.push({ objectGUID: observation.objectGUID, dn: observation.dn, reason: error.message });
    }
  }

  /** What other settings make of what is known. */
  learn(observation: Observation): void {
    learn(observation, this.draft, this.#taking.learning, this.#origins(observation.objectGUID));
  }

  /** An account that is known and not in scope. */
  leave({ objectGUID, dn }: WholeObject): void {
    const { session, view, via, isBaseline, areGone } = this.#taking;
    const before = this.draft.identity(objectGUID);
    if (before === undefined) return;
    const observed = { time: new Date().toISOString(), dc: session.dc, via, dn, origin: null };
    if (isBaseline) this.draft.add(objectGUID, null, []);
    else if (areGone || hasLeft(view)) this.draft.add(objectGUID, null, [leaving(before, observed)]);
    else this.waiting.push(objectGUID);
  }

  /** Two accounts that have one name are told of as they are, and marked. Who gave a name up a moment ago may only not have been read yet. */
  async markSharedNames(): Promise<void> {
    const { session, signal } = this.#taking;
    const suspects = this.draft.changes.flatMap((change, index) => {
      const other = change.formerHolder === null || change.after === null ? undefined : this.draft.identity(change.formerHolder);
      const shares = other !== undefined && change.after !== null && isSameAccountName(other, change.after);
      return shares ? [{ index, change, other }] : [];
    });
    if (suspects.length === 0) return;
    const guids = [...new Set(suspects.map(({ other }) => other.objectGUID))];
    const now = await unlessAborted(session.readObjects(guids), signal);
    for (const { index, change, other } of suspects) {
      const found = now.get(other.objectGUID);
      if (found === undefined || found.deleted || found.seen.sAMAccountName === undefined) continue;
      const isShared = sameName(found.seen.sAMAccountName, change.after?.sAMAccountName ?? '');
      if (!isShared) continue;
      this.draft.changes[index] = { ...change, sharedWith: other.objectGUID };
      // The other one may have taken it in the same read.
      const theirs = this.draft.changes.findLastIndex(({ objectGUID }) => objectGUID === other.objectGUID);
      const taken = this.draft.changes[theirs];
      if (taken !== undefined) this.draft.changes[theirs] = { ...taken, sharedWith: change.objectGUID };
    }
  }

  #take(observation: Observation, whole: WholeObject | undefined): void {
    const { session, view, via, isBaseline } = this.#taking;
    const { objectGUID } = observation;
    this.learn(whole ?? observation);
    const before = this.draft.identity(objectGUID);
    if (before !== undefined && this.#isRepeated(observation, whole)) this.repeated++;
    const origins = before === undefined ? this.#deletion(objectGUID) : this.#origins(objectGUID);
    // The writes of another domain say nothing of those of this one: there the account came into being anew.
    const moved = isOfAnother(before, session.domain);
    const settled =
      whole === undefined
        ? undefined
        : moved
          ? settle(whole, undefined, {}, { seen: view.seen, ...(view.overdue && { overdue: true }) })
          : settle(whole, before, origins, view);
    if (settled?.outcome === 'waits') {
      this.waiting.push(objectGUID);
      return;
    }
    const found = settled === undefined ? observation : broughtBack(settled.observation, observation, before === undefined);
    const observed = { time: new Date().toISOString(), dc: session.dc, via, dn: found.dn };
    const detection = detect(found, domainOf(found, before, this.#taking), observed, this.draft);
    if (settled?.waits) this.waiting.push(objectGUID);
    switch (detection.outcome) {
      case 'incomplete':
        throw new UnusableObject(
          whole === undefined
            ? 'the directory reported a change of it but does not show the object'
            : 'the object lacks objectClass, sAMAccountName or userAccountControl',
        );
      case 'nothing':
        // The same value can come from a newer write.
        if (before !== undefined && settled !== undefined && !isSame(origins, settled.origins)) {
          this.draft.add(objectGUID, before, [], settled.origins);
        }
        return;
      case 'changed': {
        const changes = detection.changes.map((change) => this.#withOrigin(this.#inScope(change, whole), whole));
        if (detection.identity === null) this.deletions.push({ objectGUID, observed: changes.at(-1)?.observed ?? observed });
        else this.draft.add(objectGUID, detection.identity, isBaseline && !moved ? [] : changes, settled?.origins);
      }
    }
  }

  /** Comes whole, although the position says that its creation was seen. */
  #isRepeated({ seen }: Observation, whole: WholeObject | undefined): boolean {
    const creation = whole?.writes.objectClass;
    return (
      seen.objectClass !== undefined && seen.objectSid !== undefined && (creation === undefined || covers(this.#taking.view.seen, creation))
    );
  }

  #origins(objectGUID: string): Origins {
    const { known, learning } = this.#taking;
    const origins = known.origins(objectGUID);
    return learning === undefined ? origins : relearnedOrigins(origins, learning);
  }

  /** The write by which an account was deleted that is not known any more, if that was in this domain and is on record. */
  #deletion(objectGUID: string): Origins {
    const { isDeleted } = this.#taking.known.origins(objectGUID);
    return isDeleted?.domain === this.#taking.session.domain ? { isDeleted } : {};
  }

  #inScope(change: Change, whole: WholeObject | undefined): Change {
    return whole === undefined ? change : entering(change, whole, this.#taking.view);
  }

  #withOrigin(change: Change, whole: WholeObject | undefined): Change {
    if (whole === undefined) return change;
    const newest = attributesOf(change)
      .flatMap((attribute) => {
        const write = whole.writes[attribute];
        return write === undefined ? [] : [{ attribute, write }];
      })
      .reduce<{ attribute: string; write: Write } | undefined>(
        (best, each) => (best === undefined || Date.parse(each.write.time) >= Date.parse(best.write.time) ? each : best),
        undefined,
      );
    if (newest === undefined) return { ...change, observed: { ...change.observed, origin: null } };
    const { attribute, write } = newest;
    const origin = originOf(write);
    this.writes.push({ objectGUID: change.objectGUID, attribute, origin, localUsn: write.localUsn });
    return { ...change, observed: { ...change.observed, origin: { ...origin, dc: write.dc ?? null } } };
  }
}

/**
 * The domain that an observation is about. One that was moved away leaves a deleted object behind, and one that was moved here may be gone
 * again before that was told: which of the two it is only the other domain knows.
 */
function domainOf({ deleted }: Observation, known: Identity | undefined, { session, isBaseline }: Taking): string {
  return deleted && known !== undefined && !isBaseline ? known.domain : session.domain;
}

export function isOfAnother(identity: Identity | undefined, domain: string): boolean {
  return identity !== undefined && identity.domain !== domain;
}

function learn({ objectGUID, seen, deleted }: Observation, draft: Draft, learning: Learning | undefined, origins?: Origins): void {
  const before = learning === undefined || deleted === true ? undefined : draft.identity(objectGUID);
  const after = before && learning && relearned(before, seen, learning);
  if (after !== undefined) draft.add(objectGUID, after, [], origins);
}

/** The write of which attributes makes a change. */
function attributesOf({ kind, changed }: Change): readonly string[] {
  switch (kind) {
    case 'created':
      return ['objectClass'];
    case 'restored':
    case 'deleted':
      return ['isDeleted'];
    case 'entered-scope':
    case 'left-scope':
      return [];
    default:
      return changed.map((attribute) => (attribute === 'enabled' ? 'userAccountControl' : attribute));
  }
}

/** Only the first report of an account may tell that it came back from the dead: read again, a living one looks the same either way. */
function broughtBack(whole: Observation, first: Observation, isUnknown: boolean): Observation {
  return isUnknown && !whole.deleted && first.deleted === false ? { ...whole, deleted: false } : whole;
}

function isSameAccountName(one: { domain: string; sAMAccountName: string }, other: { domain: string; sAMAccountName: string }): boolean {
  return one.domain === other.domain && sameName(one.sAMAccountName, other.sAMAccountName);
}

function isSame(one: Origins, other: Origins): boolean {
  const keys = Object.keys(other);
  const areSame = (key: string) => {
    const [first, second] = [one[key], other[key]];
    return first !== undefined && second !== undefined && isSameWrite(first, second);
  };
  return keys.length === Object.keys(one).length && keys.every(areSame);
}
