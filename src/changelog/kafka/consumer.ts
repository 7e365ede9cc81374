import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, ConsumerConfig, Kafka } from 'kafkajs';
import { type MonoTypeOperatorFunction, retry, throwError, timer } from 'rxjs';
import { farewell } from './client.ts';

/** What brokers answer for a moment after they started, and which kafkajs does not wait out while it joins a group. */
const COORDINATOR_LOADING = ['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP'];
/** Milliseconds for which that is waited out. */
const PATIENCE = 15_000;
/** Milliseconds between two tries. */
const TRY_EVERY = 200;

/**
 * A kafkajs consumer that can be closed at any moment and does not come back: every crash is told and final. (Left to itself it
 * starts again after some crashes, even after it was closed meanwhile, and on a connection that the end of the former one can
 * still take down.)
 */
export class GroupConsumer {
  readonly consumer: Consumer;
  #closed = false;

  /** @param onCrash not called once it is closed */
  constructor(kafka: Kafka, config: ConsumerConfig, onCrash: (error: Error) => void) {
    this.consumer = kafka.consumer({ allowAutoTopicCreation: false, retry: { restartOnFailure: async () => false }, ...config });
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => {
      if (!this.#closed) onCrash(payload.error);
    });
    this.consumer.on(this.consumer.events.GROUP_JOIN, () => {
      // A close that found it still joining could not stop it.
      if (this.#closed) void this.consumer.disconnect().catch(() => {});
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await farewell(this.consumer.disconnect());
  }
}

/** Tries again, each time with a new consumer, as long as the group's coordinator is loading. */
export async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + PATIENCE; ; await sleep(TRY_EVERY)) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline || !isCoordinatorLoading(error)) throw error;
    }
  }
}

/** The same for a stream. */
export function whilePatient<T>(): MonoTypeOperatorFunction<T> {
  const delay = (error: unknown) => (isCoordinatorLoading(error) ? timer(TRY_EVERY) : throwError(() => error));
  return retry({ count: PATIENCE / TRY_EVERY, delay, resetOnSuccess: true });
}

function isCoordinatorLoading(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause.name === 'KafkaJSGroupCoordinatorNotFound') return true;
    if ('type' in cause && COORDINATOR_LOADING.includes(String(cause.type))) return true;
  }
  return false;
}
