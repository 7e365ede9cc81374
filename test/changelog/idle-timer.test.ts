import { setTimeout as sleep } from 'node:timers/promises';
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';
import { expect, it } from 'vitest';
import { mendIdleTimer } from '../../src/changelog/kafka/idle-timer.ts';

const IDLE = 300;
const ignore = () => {};

/** A queue of kafkajs after its last request was answered; how often its timer fires then. */
async function firesWhenIdle(): Promise<number> {
  let fires = 0;
  class Counted extends RequestQueue {
    override checkPendingRequests(): void {
      fires++;
      super.checkPendingRequests();
    }
  }
  const queue = new Counted({
    maxInFlightRequests: 1,
    requestTimeout: 1_000,
    enforceRequestTimeout: false,
    clientId: 'test',
    broker: 'none',
    logger: { debug: ignore, warn: ignore },
  });
  queue.checkPendingRequests();
  await sleep(IDLE);
  queue.destroy();
  return fires - 1;
}

it('stops the timer that kafkajs re-arms without end on an idle connection', async () => {
  expect(await firesWhenIdle()).toBeGreaterThan(50);
  mendIdleTimer();
  expect(await firesWhenIdle()).toBe(0);
});

it('still sends what had to wait, also when the broker asked for a pause', async () => {
  mendIdleTimer();
  const sent: number[] = [];
  const queue = new RequestQueue({
    maxInFlightRequests: 1,
    requestTimeout: 1_000,
    enforceRequestTimeout: false,
    clientId: 'test',
    broker: 'none',
    logger: { debug: ignore, warn: ignore },
  });
  const push = (correlationId: number) =>
    queue.push({
      entry: { apiKey: 0, apiName: 'none', apiVersion: 0, correlationId, resolve: ignore, reject: ignore },
      expectResponse: true,
      sendRequest: () => sent.push(correlationId),
    });
  queue.maybeThrottle(100);
  push(1);
  push(2);
  expect(sent).toEqual([]);
  await sleep(200);
  expect(sent).toEqual([1]);
  queue.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 });
  expect(sent).toEqual([1, 2]);
  queue.destroy();
});
