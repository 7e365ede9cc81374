declare module 'kafkajs/src/network/requestQueue/index.js' {
  /** Of kafkajs 2.2.4, as far as idle-timer.ts touches it. */
  export default class RequestQueue {
    pending: unknown[];
    throttledUntil: number;
    throttleCheckTimeoutId: NodeJS.Timeout | null;
    checkPendingRequests(): void;
    scheduleCheckPendingRequests(): void;
  }
}
