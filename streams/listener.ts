import { concat, type Observable, of } from 'rxjs';
import { backoff } from './backoff.ts';
import type { ChangeEvent } from './change.ts';
import { type ChangeLog, type ListenerLog, LogError } from './change-log.ts';
import { DirectoryError, type DirectoryFailure, type DirectorySource } from './directory-source.ts';
import { failWhenAborted, retryWithReports, sideBySide, withResource } from './operators.ts';
import { type ReadingSettings, readings } from './reading.ts';

/** What a listener tells of its work; the runtime turns it into log lines. */
export type ListenerReport =
  | { readonly type: 'listening'; readonly log: string }
  | {
      readonly type: 'connected';
      readonly source: string;
      readonly dc: string;
      readonly namingContext: string;
      /** Why everything has to be read; undefined when the read goes on where the last one ended. */
      readonly fullRead: string | undefined;
    }
  | {
      readonly type: 'read-progress';
      readonly namingContext: string;
      readonly objects: number;
      readonly done: boolean;
      readonly milliseconds: number;
    }
  | { readonly type: 'published'; readonly events: readonly ChangeEvent[] }
  | { readonly type: 'set-aside'; readonly objectGUID: string; readonly dn: string; readonly reason: string }
  | { readonly type: 'waiting'; readonly on: string; readonly error: Error; readonly milliseconds: number };

/** Milliseconds before a refused password is tried again: each try counts towards a lock-out. */
const REFUSED_PASSWORD_DELAY = 900_000;

/** First and longest delay in milliseconds before a directory is tried again. */
const DELAYS: Record<Exclude<DirectoryFailure, 'credentials'>, { first: number; longest: number }> = {
  unavailable: { first: 500, longest: 30_000 },
  rights: { first: 60_000, longest: 900_000 },
  position: { first: 100, longest: 30_000 },
  configuration: { first: 60_000, longest: 900_000 },
};

const LOG_DELAY = { first: 200, longest: 30_000 };

/**
 * Watches directories and publishes every change to the log. Completes when the signal aborts, after the page in flight.
 * Errors with a FencedError when another listener took over, and with a DirectoryError of kind 'configuration' as long as
 * that directory was never read; everything else is tried again.
 */
export function listen(
  sources: readonly DirectorySource[],
  log: ChangeLog,
  settings: ReadingSettings,
  signal: AbortSignal,
): Observable<ListenerReport> {
  let failures = 0;
  const once = withResource(
    () => log.openListener(signal),
    (listenerLog) => {
      const listening: ListenerReport = { type: 'listening', log: log.name };
      // Only a read to the end shows that the log works again: it can be opened and refuse every page.
      const onRead = () => {
        failures = 0;
      };
      const watches = sideBySide(
        (stop) => [failWhenAborted(listenerLog.lost, stop), ...sources.map((source) => watch(source, listenerLog, settings, stop, onRead))],
        signal,
      );
      return concat(of(listening), watches);
    },
  );
  return retryWithReports(
    once,
    (error) => (error instanceof LogError ? waiting(log.name, error, backoff(++failures, LOG_DELAY)) : undefined),
    signal,
  );
}

/** One directory: a session after the other, each until it breaks. */
function watch(
  source: DirectorySource,
  log: ListenerLog,
  settings: ReadingSettings,
  signal: AbortSignal,
  onReadToEnd: () => void,
): Observable<ListenerReport> {
  let failures = 0;
  let everRead = false;
  let positionRefused = false;
  const once = withResource(
    () => source.open((namingContext) => log.position(namingContext), signal),
    (session) => {
      const resume = positionRefused ? { position: undefined, reason: 'the directory refused the position' } : session.resume;
      const connected: ListenerReport = {
        type: 'connected',
        source: source.name,
        dc: session.dc,
        namingContext: session.namingContext,
        fullRead: resume.position === undefined ? resume.reason : undefined,
      };
      const onRead = () => {
        failures = 0;
        everRead = true;
        positionRefused = false;
        onReadToEnd();
      };
      return concat(of(connected), readings(session, resume.position, log, settings, signal, onRead));
    },
  );
  return retryWithReports(
    once,
    (error) => {
      if (!(error instanceof DirectoryError) || (error.failure === 'configuration' && !everRead)) return undefined;
      positionRefused ||= error.failure === 'position';
      failures += 1;
      const milliseconds = error.failure === 'credentials' ? REFUSED_PASSWORD_DELAY : backoff(failures, DELAYS[error.failure]);
      return waiting(source.name, error, milliseconds);
    },
    signal,
  );
}

function waiting(on: string, error: Error, milliseconds: number): { milliseconds: number; report: ListenerReport } {
  return { milliseconds, report: { type: 'waiting', on, error, milliseconds } };
}
