import {
  catchError,
  concat,
  concatMap,
  defer,
  EMPTY,
  finalize,
  fromEvent,
  ignoreElements,
  map,
  merge,
  NEVER,
  type Observable,
  of,
  race,
  retry,
  Subject,
  take,
  takeUntil,
  throwError,
  timer,
} from 'rxjs';

/** Emits once, when the signal aborts or at once if it has. */
export function aborted(signal: AbortSignal): Observable<void> {
  return defer(() =>
    signal.aborted
      ? of(undefined)
      : fromEvent(signal, 'abort').pipe(
          take(1),
          map(() => undefined),
        ),
  );
}

/** What is waited for; rejects with the reason of the signal as soon as that aborts. What comes later is dropped. */
export function unlessAborted<T>(waiting: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = () => reject(signal.reason);
  waiting.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

/** Errors with the reason of `lost` when that aborts; never emits. Completes when `stop` aborts. */
export function failWhenAborted(lost: AbortSignal, stop: AbortSignal): Observable<never> {
  return aborted(lost).pipe(
    concatMap(() => throwError(() => lost.reason)),
    takeUntil(aborted(stop)),
  );
}

/**
 * Opens a resource, uses it, and has closed it before the result completes or errors. (RxJS's `using` cannot wait for a
 * close, and the next try must not begin while the last one still holds its lease.) A close that fails hides nothing:
 * the error of the use counts. Whoever unsubscribes early has it closed as well, but is not waited for.
 */
export function withResource<R extends AsyncDisposable, T>(open: () => Promise<R>, use: (resource: R) => Observable<T>): Observable<T> {
  return defer(open).pipe(
    concatMap((resource) => {
      let closing: PromiseLike<void> | undefined;
      const close = defer(() => {
        closing ??= resource[Symbol.asyncDispose]();
        return closing;
      }).pipe(ignoreElements());
      const closeAfter = (error: unknown) =>
        concat(
          close.pipe(catchError(() => EMPTY)),
          throwError(() => error),
        );
      return concat(defer(() => use(resource)).pipe(catchError(closeAfter)), close).pipe(
        finalize(() => {
          if (closing === undefined) close.subscribe({ error: () => {} });
        }),
      );
    }),
  );
}

/** A stream together with what is told meanwhile by way of a call. */
export function withTold<T>(start: (tell: (report: T) => void) => Observable<T>): Observable<T> {
  return defer(() => {
    const told = new Subject<T>();
    return merge(told, start((report) => told.next(report)).pipe(finalize(() => told.complete())));
  });
}

/**
 * Runs streams side by side. When one fails, the others are told to stop, and its error comes once all of them have come to
 * their end: what they have in flight is never cut off, so nothing of it can happen after whoever is told of the error goes on.
 *
 * @param start is given what tells the streams to stop: the signal, or the failure of one of them
 */
export function sideBySide<T>(start: (stop: AbortSignal) => readonly Observable<T>[], signal: AbortSignal): Observable<T> {
  return defer(() => {
    const failed = new AbortController();
    const streams = start(AbortSignal.any([signal, failed.signal])).map((stream) =>
      stream.pipe(
        catchError((error: unknown) => {
          failed.abort(error);
          return EMPTY;
        }),
      ),
    );
    const outcome = defer(() => (failed.signal.aborted ? throwError(() => failed.signal.reason) : EMPTY));
    return concat(merge(...streams), outcome);
  });
}

/** How long to wait before the next try, what ends the wait sooner, and what to tell about it. Undefined: the error is final. */
export type RetryPlan<T> = (
  error: unknown,
) => { readonly milliseconds: number; readonly sooner?: Observable<unknown>; readonly report: T } | undefined;

/** Subscribes again after an error for which there is a plan, and reports each wait. Completes when the signal aborts during a wait. */
export function retryWithReports<T>(source: Observable<T>, plan: RetryPlan<T>, signal: AbortSignal): Observable<T> {
  return defer(() => {
    const waits = new Subject<T>();
    const delay = (error: unknown) => {
      if (signal.aborted) return EMPTY;
      const planned = plan(error);
      if (planned === undefined) return throwError(() => error);
      waits.next(planned.report);
      return race(timer(planned.milliseconds), planned.sooner ?? NEVER).pipe(take(1), takeUntil(aborted(signal)));
    };
    return merge(
      waits,
      source.pipe(
        retry({ delay }),
        finalize(() => waits.complete()),
      ),
    );
  });
}
