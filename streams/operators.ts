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
  type Observable,
  of,
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

/** Errors with the signal's reason when it aborts; never emits. As a notifier of takeUntil it fails the stream. */
export function failWhenAborted(signal: AbortSignal): Observable<never> {
  return aborted(signal).pipe(concatMap(() => throwError(() => signal.reason)));
}

/**
 * Opens a resource, uses it, and has closed it before the result completes or errors. (RxJS's `using` cannot wait for a
 * close, and the next try must not begin while the last one still holds its lease.) A close that fails hides nothing:
 * the error of the use counts.
 */
export function withResource<R extends AsyncDisposable, T>(open: () => Promise<R>, use: (resource: R) => Observable<T>): Observable<T> {
  return defer(open).pipe(
    concatMap((resource) => {
      const close = defer(() => resource[Symbol.asyncDispose]()).pipe(ignoreElements());
      const closeAfter = (error: unknown) =>
        concat(
          close.pipe(catchError(() => EMPTY)),
          throwError(() => error),
        );
      return concat(use(resource).pipe(catchError(closeAfter)), close);
    }),
  );
}

/** How long to wait before the next try, and what to tell about it. Undefined: the error is final. */
export type RetryPlan<T> = (error: unknown) => { readonly milliseconds: number; readonly report: T } | undefined;

/** Subscribes again after an error for which there is a plan, and reports each wait. Completes when the signal aborts during a wait. */
export function retryWithReports<T>(source: Observable<T>, plan: RetryPlan<T>, signal: AbortSignal): Observable<T> {
  return defer(() => {
    const waits = new Subject<T>();
    const delay = (error: unknown) => {
      if (signal.aborted) return EMPTY;
      const planned = plan(error);
      if (planned === undefined) return throwError(() => error);
      waits.next(planned.report);
      return timer(planned.milliseconds).pipe(takeUntil(aborted(signal)));
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
