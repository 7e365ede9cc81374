import { randomUUID } from 'node:crypto';
import type { Admin, Kafka, KafkaMessage } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { asLogError, FETCH_WAIT, isCoordinatorLoading } from './client.ts';

/** Where to read one partition from and where it ended when that was asked. */
export interface Range {
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  /** The offset after the last committed record or marker. */
  readonly end: bigint;
}

/** Milliseconds without any answer from the brokers after which a read is given up. */
const STALLED = 30_000;

/** The committed ends of partitions, and the oldest offsets that they still have. */
export async function offsetsOf(
  admin: Admin,
  topics: readonly string[],
): Promise<{ topic: string; partition: number; low: bigint; high: bigint }[]> {
  const perTopic = await Promise.all(
    topics.map(async (topic) =>
      (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
        topic,
        partition,
        low: BigInt(low),
        high: BigInt(high),
      })),
    ),
  );
  return perTopic.flat();
}

/**
 * Reads ranges of partitions to their ends, as a read-committed reader sees them, without moving any group but one of its own.
 *
 * @param onMessages awaited before more is read
 * @throws LogError
 */
export async function readRanges(
  kafka: Kafka,
  admin: Admin,
  groupPrefix: string,
  ranges: readonly Range[],
  onMessages: (topic: string, partition: number, messages: KafkaMessage[]) => void | Promise<void>,
): Promise<void> {
  const open = new Map(ranges.filter(({ from, end }) => from < end).map((range) => [`${range.topic}/${range.partition}`, range]));
  if (open.size === 0) return;
  const topics = [...new Set([...open.values()].map(({ topic }) => topic))];
  const groupId = `${groupPrefix}namesake-tail-${randomUUID()}`;
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: FETCH_WAIT, allowAutoTopicCreation: false });
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  let stalled: NodeJS.Timeout | undefined;
  const alive = () => {
    clearTimeout(stalled);
    stalled = setTimeout(() => reject(new LogError(`reading ${topics.join(', ')}: no answer for ${STALLED} ms`)), STALLED);
  };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
      for (const partition of partitions) {
        const range = open.get(`${topic}/${partition}`);
        if (range) consumer.seek({ topic, partition, offset: String(range.from) });
        else consumer.pause([{ topic, partitions: [partition] }]);
      }
    }
  });
  // Also for a batch that holds nothing but transaction markers, which no handler is called for.
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { topic, partition, lastOffset } }) => {
    alive();
    const range = open.get(`${topic}/${partition}`);
    if (range === undefined || BigInt(lastOffset) + 1n < range.end) return;
    open.delete(`${topic}/${partition}`);
    consumer.pause([{ topic, partitions: [partition] }]);
    if (open.size === 0) resolve();
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!isCoordinatorLoading(payload)) reject(payload.error);
  });
  done.catch(() => {});
  try {
    alive();
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const range = open.get(`${batch.topic}/${batch.partition}`);
        if (range === undefined) return;
        const wanted = batch.messages.filter(({ offset }) => BigInt(offset) >= range.from && BigInt(offset) < range.end);
        if (wanted.length > 0) await onMessages(batch.topic, batch.partition, wanted);
      },
    });
    await done;
  } catch (error) {
    throw asLogError(`reading ${topics.join(', ')}`, error);
  } finally {
    clearTimeout(stalled);
    await consumer.disconnect().catch(() => {});
    await admin.deleteGroups([groupId]).catch(() => {});
  }
}
