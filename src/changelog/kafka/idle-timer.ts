import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

/** Milliseconds after which a queue that holds requests is looked at again, as in kafkajs. */
const CHECK_INTERVAL = 10;

/**
 * Mends kafkajs 2.2.4: each idle connection re-arms a timer with a negative delay, which fires about 900 times a second, costs
 * a few percent of a core and makes Node print a TimeoutNegativeWarning (tulios/kafkajs#1556, #1751; regression of #1532).
 * With nothing pending there is nothing to check, so no timer is set.
 */
export function mendIdleTimer(): void {
  RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
    const throttled = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttled > 0 ? throttled : CHECK_INTERVAL,
    );
  };
}
