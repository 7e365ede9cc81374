import {
  BehaviorSubject,
  catchError,
  concatMap,
  defer,
  EMPTY,
  filter,
  finalize,
  ignoreElements,
  interval,
  merge,
  type Observable,
  of,
  repeat,
  Subject,
  take,
  takeUntil,
  tap,
  timer,
} from 'rxjs';
import type { Observed } from './change.ts';
import type { ListenerLog } from './change-log.ts';
import { detect, type KnownIdentities } from './detector.ts';
import { type DirectorySession, type Page, UnusableObject } from './directory-source.ts';
import { Draft } from './draft.ts';
import type { ListenerReport } from './listener.ts';
import type { Observation } from './observation.ts';
import { aborted, unlessAborted } from './operators.ts';
import { begun, isReadWhole, type Position } from './position.ts';

export interface ReadingSettings {
  /** Milliseconds after which the directory is read although it did not say that anything changed. */
  readonly readEvery: number;
  /** Milliseconds at least from the end of one read to the next, so that a busy directory is not asked without pause. */
  readonly readGap: number;
  /** Milliseconds after which a position is stored although nothing changed. */
  readonly positionEvery: number;
}

/**
 * Reads a session again and again: at once, after each wake, and after `readEvery`. A read takes a page, publishes it, and
 * only then asks for the next one: the publish stands inside what the next read waits for, so at most one page is read and
 * not yet published, however slow the log is.
 */
export function readings(
  session: DirectorySession,
  from: Position | undefined,
  log: ListenerLog,
  settings: ReadingSettings,
  signal: AbortSignal,
  onRead: () => void,
): Observable<ListenerReport> {
  return defer(() => {
    const publisher = new Publisher(session, from, log, settings);
    const due = new BehaviorSubject(true);
    const over = new Subject<void>();
    const wakes = merge(session.wakes, interval(settings.readEvery)).pipe(
      tap({ next: () => due.next(true), error: (error) => due.error(error) }),
      // A lost connection ends the reads, but never while a page is being published: the next session would read that page
      // again, and find what is known without it.
      catchError(() => EMPTY),
      ignoreElements(),
      takeUntil(over),
    );
    const nextDue = () =>
      timer(settings.readGap).pipe(
        concatMap(() => due),
        filter((isDue) => isDue),
        take(1),
        takeUntil(aborted(signal)),
      );
    const reads = defer(() => {
      due.next(false);
      return readOnce(session, publisher, signal, onRead);
    }).pipe(
      repeat({ delay: nextDue }),
      finalize(() => over.next()),
    );
    return merge(wakes, reads);
  });
}

/**
 * Page after page until there is nothing more to read, or until the signal aborts: then only what is being published is waited
 * for, since a directory that hangs answers too late for a stop.
 */
function readOnce(session: DirectorySession, publisher: Publisher, signal: AbortSignal, onRead: () => void): Observable<ListenerReport> {
  return defer(() => {
    const reader = session.read(publisher.position);
    publisher.begin();
    let over = false;
    return defer(() => reader.next()).pipe(
      takeUntil(aborted(signal)),
      concatMap(async (page) => {
        const reports = await publisher.publish(page, signal);
        over = page.last;
        if (over) onRead();
        return reports;
      }),
      concatMap((reports) => reports),
      repeat({ delay: () => (over || signal.aborted ? EMPTY : of(true)) }),
    );
  });
}

/** Of a domain that is read for the first time nothing has to be looked up: its accounts come whole, and nobody is told. */
const NOBODY: KnownIdentities = { identity: () => undefined, holder: () => undefined, formerHolder: () => undefined };

/** Turns pages into events and known identities, and keeps where to read on. */
class Publisher {
  position: Position | undefined;
  readonly #session: DirectorySession;
  readonly #log: ListenerLog;
  readonly #settings: ReadingSettings;
  /** Until the directory was read whole for the first time, identities are learned and nobody is told. */
  #isBaseline = false;
  #hasBegun = false;
  #known: KnownIdentities = NOBODY;
  #isFull = false;
  #objects = 0;
  #begun = 0;
  #stored = 0;

  constructor(session: DirectorySession, from: Position | undefined, log: ListenerLog, settings: ReadingSettings) {
    this.#session = session;
    this.position = from;
    this.#log = log;
    this.#settings = settings;
  }

  begin(): void {
    const { namingContext, domain } = this.#session;
    const stored = this.#log.position(namingContext);
    // Where accounts are known and no position is, it was lost, and what happened since has to be told (SPEC rule 5).
    this.#isBaseline = stored === undefined ? !this.#log.knows(domain) : !isReadWhole(stored);
    this.#hasBegun = stored !== undefined;
    this.#known = this.#isBaseline && !this.#log.knows(domain) ? NOBODY : this.#log;
    this.#isFull = this.position === undefined;
    this.#objects = 0;
    this.#begun = performance.now();
  }

  /** Rejects when the signal aborts before there is anything to publish. */
  async publish(page: Page, signal: AbortSignal): Promise<ListenerReport[]> {
    const reports: ListenerReport[] = [];
    const draft = new Draft(this.#known);
    for (const observation of page.observations) {
      try {
        await this.#take(observation, draft, signal);
      } catch (error) {
        if (!(error instanceof UnusableObject)) throw error;
        reports.push({ type: 'set-aside', objectGUID: observation.objectGUID, dn: observation.dn, reason: error.message });
      }
    }
    const position = this.#isBaseline && !page.last ? this.#beginning() : page.position;
    if (draft.identities.size > 0 || this.#isDue(position, page.last)) {
      const events = await this.#log.append({
        namingContext: this.#session.namingContext,
        changes: draft.changes,
        identities: draft.identities,
        position,
      });
      if (position) this.#stored = performance.now();
      if (events.length > 0) reports.push({ type: 'published', events });
    }
    this.position = page.position ?? this.position;
    // In a later answer of the same read an account of an earlier one can come again, also as deleted.
    if (page.position) this.#known = this.#log;
    this.#objects += page.observations.length;
    if (this.#isFull) {
      const milliseconds = Math.round(performance.now() - this.#begun);
      reports.push({
        type: 'read-progress',
        namingContext: this.#session.namingContext,
        objects: this.#objects,
        done: page.last,
        milliseconds,
      });
    }
    return reports;
  }

  /** A position from the middle of the first read would make the rest look created: all that is stored is that it has begun. */
  #beginning(): Position | undefined {
    if (this.#hasBegun) return undefined;
    this.#hasBegun = true;
    return begun(this.#session.namingContext, this.#session.dc);
  }

  /** A full read is never forgotten once it is over: the next start would do it again. */
  #isDue(position: Position | undefined, last: boolean): boolean {
    if (position === undefined) return false;
    return this.#isBaseline || (this.#isFull && last) || performance.now() - this.#stored >= this.#settings.positionEvery;
  }

  async #take(observation: Observation, draft: Draft, signal: AbortSignal): Promise<void> {
    const { dc, domain } = this.#session;
    const observed: Observed = { time: new Date().toISOString(), dc, via: 'dirsync', dn: observation.dn };
    let detection = detect(observation, domain, observed, draft);
    if (detection.outcome === 'incomplete') {
      const whole = await unlessAborted(this.#session.readObject(observation.objectGUID), signal);
      if (whole === undefined) throw new UnusableObject('the directory reported a change of it but does not show the object');
      // Only the first report tells whether it came back from the dead: a whole living object looks the same either way.
      const found = whole.deleted ? whole : { ...observation, seen: whole.seen };
      detection = detect(found, domain, { ...observed, dn: whole.dn }, draft);
      if (detection.outcome === 'incomplete')
        throw new UnusableObject('the object lacks objectClass, sAMAccountName or userAccountControl');
    }
    if (detection.outcome === 'changed') {
      draft.add(observation.objectGUID, detection.identity, detection.changes, !this.#isBaseline);
    }
  }
}
