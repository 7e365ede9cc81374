import type { Kafka } from 'kafkajs';
import { Observable } from 'rxjs';
import type { ChangePage } from '../../../streams/change-log.ts';
import { asLogError, FETCH_WAIT, HEARTBEAT_INTERVAL, isCoordinatorLoading, SESSION_TIMEOUT } from './client.ts';
import { parseEvent } from './envelope.ts';

/**
 * Committed events as a consumer group gets them: a page is what one fetch brought of one partition, and the next one is asked
 * for once this one is acknowledged.
 *
 * @param onSetAside told of a message that is no event of ours; it is passed over (SPEC rule 9)
 */
export function subscribeGroup(
  kafka: Kafka,
  groupId: string,
  topic: string,
  onSetAside: (where: string, why: string) => void,
): Observable<ChangePage> {
  return new Observable<ChangePage>((subscriber) => {
    const consumer = kafka.consumer({
      groupId,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT_INTERVAL,
      maxWaitTimeInMs: FETCH_WAIT,
      allowAutoTopicCreation: false,
    });
    const fail = (error: unknown) => subscriber.error(asLogError(`group ${groupId}`, error));
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!isCoordinatorLoading(payload)) fail(payload.error);
    });
    const start = async () => {
      await consumer.connect();
      // From the beginning: an offset that has expired must lead to repetition, never to a gap.
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
          const changes = batch.messages.flatMap((message) => parseEvent(topic, batch.partition, message, onSetAside) ?? []);
          const commit = async () => {
            resolveOffset(batch.lastOffset());
            const offset = String(BigInt(batch.lastOffset()) + 1n);
            await consumer.commitOffsets([{ topic, partition: batch.partition, offset }]);
          };
          if (changes.length === 0) return commit();
          const beat = setInterval(() => void heartbeat().catch(() => {}), HEARTBEAT_INTERVAL);
          try {
            await new Promise<void>((resolve, reject) => {
              subscriber.add(() => resolve());
              subscriber.next({
                changes,
                ack: async () => {
                  if (!isRunning() || isStale()) return;
                  await commit().then(resolve, reject);
                },
              });
            });
          } finally {
            clearInterval(beat);
          }
        },
      });
    };
    start().catch(fail);
    return () => void consumer.disconnect().catch(() => {});
  });
}
