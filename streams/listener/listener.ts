import {
  concat,
  concatMap,
  defer,
  EMPTY,
  exhaustMap,
  filter,
  finalize,
  ignoreElements,
  interval,
  NEVER,
  type Observable,
  of,
  race,
  take,
  takeUntil,
  timer,
} from 'rxjs';
import { backoff } from '../backoff.ts';
import type { ChangeEvent } from '../change.ts';
import { type ChangeLog, FencedError, type ListenerLog, LogError } from '../change-log.ts';
import { DirectoryError, type DirectoryFailure, type DirectorySession, type DirectorySource } from '../directory-source.ts';
import { aborted, failWhenAborted, retryWithReports, sideBySide, withResource, withTold } from '../operators.ts';
import { isReadWhole } from '../position.ts';
import { beginning } from './beginning.ts';
import { Neighbourhood } from './neighbours.ts';
import { type ReadingSettings, readings } from './reading.ts';

/** What a listener tells of its work; the runtime turns it into log lines. */
export type ListenerReport =
  /** Another instance works on the log. */
  | { readonly type: 'standing-by'; readonly log: string }
  | { readonly type: 'listening'; readonly log: string }
  | {
      readonly type: 'connected';
      readonly source: string;
      readonly dc: string;
      readonly namingContext: string;
      /** Why everything has to be read; undefined when the read goes on where the last one ended. */
      readonly fullRead: string | undefined;
      /** Preferred domain controllers that were not taken, and why. */
      readonly passedOver: DirectorySession['passedOver'];
      /** What cannot be seen in this way of reading. */
      readonly limits: readonly string[];
    }
  | { readonly type: 'position-lost'; readonly namingContext: string; readonly dc: string; readonly reason: string }
  | {
      readonly type: 'read-progress';
      readonly namingContext: string;
      readonly objects: number;
      /** Events that it led to so far. */
      readonly differences: number;
      readonly done: boolean;
      /** Accounts that differ and wait, for their domain controller or for another domain; known once it is done. */
      readonly waiting: number;
      readonly milliseconds: number;
    }
  /** More deletions than a person wants to be told of without having been asked; nothing goes on until they are accepted. */
  | {
      readonly type: 'withheld';
      readonly namingContext: string;
      readonly deletions: number;
      readonly known: number;
      readonly digest: string;
    }
  | { readonly type: 'published'; readonly events: readonly ChangeEvent[] }
  | { readonly type: 'set-aside'; readonly objectGUID: string; readonly dn: string; readonly reason: string }
  /** Another domain controller is gone to. */
  | { readonly type: 'leaving'; readonly source: string; readonly error: Error }
  | { readonly type: 'waiting'; readonly on: string; readonly error: Error; readonly milliseconds: number };

/** Milliseconds before a refused password is tried again: each try counts towards a lock-out. */
const REFUSED_PASSWORD_DELAY = 900_000;

/** Milliseconds between two looks whether there is another one by now. */
const OTHER_PASSWORD_EVERY = 5_000;

/** First and longest delay in milliseconds before a directory is tried again. */
const DELAYS: Record<Exclude<DirectoryFailure, 'credentials' | 'preferred'>, { first: number; longest: number }> = {
  unavailable: { first: 500, longest: 30_000 },
  rights: { first: 60_000, longest: 900_000 },
  position: { first: 100, longest: 30_000 },
  configuration: { first: 60_000, longest: 900_000 },
};

const LOG_DELAY = { first: 200, longest: 30_000 };

/** Before another instance is waited for that took over; milliseconds. */
const FENCED_DELAY = 1_000;

/** Two sources are of one domain: no other try changes that, however often the domain was read. */
class SharedDomain extends DirectoryError {}

/** What is remembered of a source from one session to the next, also when the log is opened anew in between. */
class Watched {
  readonly source: DirectorySource;
  failures = 0;
  everRead = false;
  positionRefused = false;
  /** As its last session told. */
  namingContext: string | undefined;
  /** Why it is left alone, and until when by performance.now(). */
  pause: { readonly error: Error; readonly until: number } | undefined;

  constructor(source: DirectorySource) {
    this.source = source;
  }
}

/**
 * Watches directories and publishes every change to the log. Completes when the signal aborts, after the page in flight.
 * Errors with a DirectoryError of kind 'configuration' as long as that directory was never read or when two of them are of one
 * domain; everything else is tried again. When another listener took over it stands by again.
 */
export function listen(
  sources: readonly DirectorySource[],
  log: ChangeLog,
  settings: ReadingSettings,
  signal: AbortSignal,
): Observable<ListenerReport> {
  const all = sources.map((source) => new Watched(source));
  const neighbourhood = new Neighbourhood(sources, settings);
  let failures = 0;
  const work = (listenerLog: ListenerLog): Observable<ListenerReport> => {
    const listening: ListenerReport = { type: 'listening', log: log.name };
    // Only a read to the end shows that the log works again: it can be opened and refuse every page.
    const onRead = () => {
      failures = 0;
    };
    const watches = sideBySide(
      (stop) => [
        failWhenAborted(listenerLog.lost, stop),
        ...all.map((watched) => watch(watched, all, neighbourhood, listenerLog, settings, stop, onRead)),
      ],
      signal,
    );
    return concat(of(listening), watches);
  };
  const once = withTold<ListenerReport>((tell) =>
    withResource(() => log.openListener(signal, () => tell({ type: 'standing-by', log: log.name })), work),
  );
  const plan = (error: unknown) => {
    if (error instanceof FencedError) return waiting(log.name, error, FENCED_DELAY);
    return error instanceof LogError ? waiting(log.name, error, backoff(++failures, LOG_DELAY)) : undefined;
  };
  return retryWithReports(once, plan, signal);
}

/** One directory: a session after the other, each until it breaks. */
function watch(
  watched: Watched,
  all: readonly Watched[],
  neighbourhood: Neighbourhood,
  log: ListenerLog,
  settings: ReadingSettings,
  signal: AbortSignal,
  onReadToEnd: () => void,
): Observable<ListenerReport> {
  const { source } = watched;
  const find = (namingContext: string) => {
    const position = log.position(namingContext);
    if (!isReadWhole(position)) return undefined;
    watched.everRead = true;
    return position;
  };
  const onRead = () => {
    watched.failures = 0;
    watched.everRead = true;
    watched.positionRefused = false;
    onReadToEnd();
  };
  const once = withResource(
    () => source.open(find, signal),
    (session) => {
      claim(session.namingContext, watched, all);
      neighbourhood.enter(source, session);
      const neighbours = neighbourhood.of(source);
      return defer(() => beginning(session, log, watched.positionRefused)).pipe(
        concatMap(({ position, loss, reason }) => {
          const { dc, namingContext, passedOver, limits } = session;
          const connected: ListenerReport = {
            type: 'connected',
            source: source.name,
            dc,
            namingContext,
            fullRead: reason,
            passedOver,
            limits,
          };
          return concat(of(connected), readings(session, { position, loss }, log, neighbours, settings, signal, onRead));
        }),
        finalize(() => neighbourhood.leave(source)),
      );
    },
  );
  const sessions = retryWithReports(
    once,
    (error) => {
      if (!(error instanceof DirectoryError) || error instanceof SharedDomain) return undefined;
      watched.positionRefused ||= error.failure === 'position';
      const isAnotherThere = source.failed(error);
      if (isAnotherThere || error.failure === 'preferred') return leaving(source.name, error);
      if (error.failure === 'configuration' && !watched.everRead) return undefined;
      watched.failures += 1;
      const milliseconds = error.failure === 'credentials' ? REFUSED_PASSWORD_DELAY : backoff(watched.failures, DELAYS[error.failure]);
      watched.pause = { error, until: performance.now() + milliseconds };
      return { ...waiting(source.name, error, milliseconds), sooner: otherPassword(watched) };
    },
    signal,
  );
  const unlessStopped = defer(() => (signal.aborted ? EMPTY : sessions));
  return concat(restOfPause(watched, signal), unlessStopped);
}

/** A log that is opened again and again must not lead to one try after the other: refused passwords lock an account out. */
function restOfPause(watched: Watched, signal: AbortSignal): Observable<ListenerReport> {
  const { source, pause } = watched;
  const milliseconds = Math.ceil((pause?.until ?? 0) - performance.now());
  if (pause === undefined || milliseconds <= 0) return EMPTY;
  const rest = race(timer(milliseconds), otherPassword(watched)).pipe(take(1), ignoreElements(), takeUntil(aborted(signal)));
  return concat(of(waiting(source.name, pause.error, milliseconds).report), rest);
}

/** Emits once a password that was refused has been replaced; never where it was something else that failed. */
function otherPassword({ source, pause }: Watched): Observable<unknown> {
  if (!(pause?.error instanceof DirectoryError) || pause.error.failure !== 'credentials') return NEVER;
  return interval(OTHER_PASSWORD_EVERY).pipe(
    exhaustMap(() => source.hasOtherPassword()),
    filter((isOther) => isOther),
  );
}

/** Two sources that compare with the same known identities would each report every change. */
function claim(namingContext: string, watched: Watched, all: readonly Watched[]): void {
  const other = all.find((each) => each !== watched && each.namingContext?.toLowerCase() === namingContext.toLowerCase());
  if (other !== undefined) {
    throw new SharedDomain(
      'configuration',
      `${watched.source.name} and ${other.source.name} are both of ${namingContext}: put the urls of one domain into one entry of directories`,
    );
  }
  watched.namingContext = namingContext;
}

/** To another domain controller at once. */
function leaving(source: string, error: Error): { milliseconds: number; report: ListenerReport } {
  return { milliseconds: 0, report: { type: 'leaving', source, error } };
}

function waiting(on: string, error: Error, milliseconds: number): { milliseconds: number; report: ListenerReport } {
  return { milliseconds, report: { type: 'waiting', on, error, milliseconds } };
}
