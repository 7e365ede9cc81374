import {
  BehaviorSubject,
  catchError,
  concatMap,
  defer,
  EMPTY,
  exhaustMap,
  filter,
  finalize,
  ignoreElements,
  interval,
  map,
  merge,
  type Observable,
  of,
  race,
  repeat,
  Subject,
  take,
  takeUntil,
  tap,
  timer,
} from 'rxjs';
import type { ListenerLog, ListenerRequest } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import { aborted } from '../operators.ts';
import type { Position } from '../position.ts';
import type { ListenerReport } from './listener.ts';
import type { Neighbours } from './neighbours.ts';
import { Publisher } from './publisher.ts';
import type { Loss, PublisherSettings } from './read.ts';

export interface ReadingSettings extends PublisherSettings {
  /** Milliseconds after which the directory is read although it did not say that anything changed. */
  readonly readEvery: number;
  /** Milliseconds at least from the end of one read to the next, so that a busy directory is not asked without pause. */
  readonly readGap: number;
  /** Milliseconds between two looks for what somebody asks of the listener. */
  readonly requestsEvery: number;
}

/**
 * Reads a session again and again: at once, after each wake, and after `readEvery`. A read takes a page, publishes it, and
 * only then takes the next one: the publish stands inside what the next read waits for, so at most two pages are read and
 * not yet published, however slow the log is.
 */
export function readings(
  session: DirectorySession,
  from: { readonly position: Position | undefined; readonly loss: Loss | undefined },
  log: ListenerLog,
  neighbours: Neighbours,
  settings: ReadingSettings,
  signal: AbortSignal,
  onRead: () => void,
): Observable<ListenerReport> {
  return defer(() => {
    const publisher = new Publisher(session, from.position, from.loss, log, neighbours, settings);
    const asked = new Subject<void>();
    let requests: readonly ListenerRequest[] = [];
    /** What the last read knew of. */
    let heard = requests;
    const asking = interval(settings.requestsEvery).pipe(
      exhaustMap(() => log.requests()),
      filter((found) => JSON.stringify(found) !== JSON.stringify(requests)),
      tap((found) => {
        requests = found;
        asked.next();
      }),
    );
    const due = new BehaviorSubject(true);
    const over = new Subject<void>();
    const wakes = merge(session.wakes, interval(settings.readEvery), asking).pipe(
      tap({ next: () => due.next(true), error: (error) => due.error(error) }),
      // A lost connection ends the reads, but never while a page is being published: the next session would read that page
      // again, and find what is known without it.
      catchError(() => EMPTY),
      ignoreElements(),
      takeUntil(over),
    );
    const gap = () => (publisher.pause === undefined || requests !== heard ? timer(settings.readGap) : race(timer(publisher.pause), asked));
    const isDue = () =>
      gap().pipe(
        concatMap(() => (publisher.scopeWait === undefined ? due : merge(due, timer(publisher.scopeWait).pipe(map(() => true))))),
        filter((yes) => yes),
      );
    // However long the gap, a lost connection ends it.
    const nextDue = () => merge(isDue(), due.pipe(ignoreElements())).pipe(take(1), takeUntil(aborted(signal)));
    const reads = defer(() => {
      due.next(false);
      heard = requests;
      return readOnce(publisher, neighbours, requests, signal, onRead);
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
function readOnce(
  publisher: Publisher,
  neighbours: Neighbours,
  requests: readonly ListenerRequest[],
  signal: AbortSignal,
  onRead: () => void,
): Observable<ListenerReport> {
  return defer(() => {
    const reader = publisher.begin(requests);
    let over = false;
    return defer(() => reader.next()).pipe(
      takeUntil(aborted(signal)),
      concatMap(async (page) => {
        const reports = await neighbours.inTurn(() => publisher.publish(page, signal));
        over = page.last;
        if (over) onRead();
        return reports;
      }),
      concatMap((reports) => reports),
      repeat({ delay: () => (over || signal.aborted ? EMPTY : of(true)) }),
    );
  });
}
