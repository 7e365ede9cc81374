import type { EachBatchPayload, Kafka } from 'kafkajs';
import { Observable, type Subscriber } from 'rxjs';
import type { ChangePage } from '../../../streams/change-log.ts';
import { isNotice } from '../../../streams/notice.ts';
import { asLogError, FETCH_WAIT, HEARTBEAT_INTERVAL, SESSION_TIMEOUT } from './client.ts';
import { GroupConsumer, whilePatient } from './consumer.ts';
import { parseEvent } from './envelope.ts';

/**
 * Committed changes as a consumer group gets them: a page is what one fetch brought of one partition, and the next one is asked
 * for once this one is acknowledged. Disposing ends the stream and leaves the group.
 */
export class GroupSubscription implements AsyncDisposable {
  readonly changes: Observable<ChangePage>;
  readonly #subscribers = new Set<Subscriber<ChangePage>>();
  readonly #closing = new Set<Promise<void>>();
  #disposed = false;

  /** @param onSetAside told of a message that is no event of ours; it is passed over (SPEC rule 9) */
  constructor(kafka: Kafka, groupId: string, topic: string, onSetAside: (where: string, why: string) => void) {
    const pages = new Observable<ChangePage>((subscriber) => {
      if (this.#disposed) return subscriber.complete();
      const fail = (error: unknown) => subscriber.error(asLogError(`group ${groupId}`, error));
      const config = { groupId, sessionTimeout: SESSION_TIMEOUT, heartbeatInterval: HEARTBEAT_INTERVAL, maxWaitTimeInMs: FETCH_WAIT };
      const group = new GroupConsumer(kafka, config, fail);
      const { consumer } = group;
      const delivery = new Delivery(subscriber, onSetAside, (partition, offset) =>
        consumer.commitOffsets([{ topic, partition, offset: String(offset) }]),
      );
      const start = async () => {
        await consumer.connect();
        // From the beginning: an offset that has expired must lead to repetition, never to a gap.
        await consumer.subscribe({ topics: [topic], fromBeginning: true });
        await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (batch) => delivery.deliver(batch) });
      };
      start().catch(fail);
      this.#subscribers.add(subscriber);
      return () => {
        this.#subscribers.delete(subscriber);
        delivery.release();
        const closing: Promise<void> = group.close().finally(() => this.#closing.delete(closing));
        this.#closing.add(closing);
      };
    });
    this.changes = pages.pipe(whilePatient());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const subscriber of this.#subscribers) subscriber.complete();
    await Promise.all(this.#closing);
  }
}

/** One page at a time: a fetch is done with when its page is acknowledged, or when nobody wants it any more. */
class Delivery {
  readonly #subscriber: Subscriber<ChangePage>;
  readonly #onSetAside: (where: string, why: string) => void;
  readonly #commit: (partition: number, offset: bigint) => Promise<void>;
  #done: () => void = () => {};

  constructor(
    subscriber: Subscriber<ChangePage>,
    onSetAside: (where: string, why: string) => void,
    commit: (partition: number, offset: bigint) => Promise<void>,
  ) {
    this.#subscriber = subscriber;
    this.#onSetAside = onSetAside;
    this.#commit = commit;
  }

  release(): void {
    this.#done();
  }

  async deliver({ batch, resolveOffset, heartbeat, isRunning }: EachBatchPayload): Promise<void> {
    const { topic, partition } = batch;
    const events = batch.messages.flatMap((message) => parseEvent(topic, partition, message, this.#onSetAside) ?? []);
    const changes = events.filter((event) => !isNotice(event));
    const commit = async () => {
      resolveOffset(batch.lastOffset());
      await this.#commit(partition, BigInt(batch.lastOffset()) + 1n);
    };
    if (changes.length === 0) return await commit();
    if (this.#subscriber.closed) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#done = resolve;
    const beat = setInterval(() => void heartbeat().catch(() => {}), HEARTBEAT_INTERVAL);
    try {
      // An acknowledgement that does not reach the group leads to repetition.
      const ack = async () => (isRunning() ? commit().then(resolve, reject) : resolve());
      this.#subscriber.next({ changes, ack });
      await promise;
    } finally {
      clearInterval(beat);
    }
  }
}
