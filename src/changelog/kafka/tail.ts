import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { asLogError, farewell } from './client.ts';
import { GroupConsumer, patiently } from './consumer.ts';

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
/** Milliseconds that a fetch waits at the broker: what is read here is there already. */
const FETCH_WAIT = 100;

/** Milliseconds for which another leader is looked for, or the first one of a new topic. */
const LEADER_WITHIN = 10_000;
const POLL = 100;
/** Milliseconds between two looks whether the brokers have marked a transaction. */
const MARKED_POLL = 50;
const NO_LEADER = ['NOT_LEADER_FOR_PARTITION', 'LEADER_NOT_AVAILABLE', 'UNKNOWN_TOPIC_OR_PARTITION', 'REPLICA_NOT_AVAILABLE'];

export interface Offsets {
  readonly topic: string;
  readonly partition: number;
  /** The oldest offset that there still is. */
  readonly low: bigint;
  /** The committed end. */
  readonly high: bigint;
}

/** The committed ends of partitions, and the oldest offsets that they still have. */
export async function offsetsOf(kafka: Kafka, topics: readonly string[]): Promise<Offsets[]> {
  for (const deadline = Date.now() + LEADER_WITHIN; ; await sleep(POLL)) {
    // A new one each time: one that has asked a broker that is not the leader any more goes on asking that one for minutes.
    const admin = kafka.admin();
    try {
      await admin.connect();
      return await askedOffsets(admin, topics);
    } catch (error) {
      if (!hasNoLeader(error) || Date.now() > deadline) throw error;
    } finally {
      await farewell(admin.disconnect());
    }
  }
}

/** The same over a connection that stands; it may have lost the leader of one. */
export async function askedOffsets(admin: Admin, topics: readonly string[]): Promise<Offsets[]> {
  const asked = topics.map(async (topic) => {
    const partitions = await admin.fetchTopicOffsets(topic);
    return partitions.map(({ partition, low, high }) => ({ topic, partition, low: BigInt(low), high: BigInt(high) }));
  });
  return (await Promise.all(asked)).flat();
}

/** The same once something holds for it, or so many milliseconds have passed. */
export async function offsetsOnce(
  kafka: Kafka,
  topics: readonly string[],
  within: number,
  holds: (offsets: readonly Offsets[]) => boolean,
): Promise<{ readonly offsets: readonly Offsets[]; readonly inTime: boolean }> {
  for (const deadline = Date.now() + within; ; await sleep(MARKED_POLL)) {
    const offsets = await offsetsOf(kafka, topics);
    const inTime = holds(offsets);
    if (inTime || Date.now() > deadline) return { offsets, inTime };
  }
}

function hasNoLeader(error: unknown): boolean {
  // What kafkajs makes of a topic whose partitions the asked broker does not know yet.
  if (error instanceof TypeError) return true;
  return error instanceof Error && 'type' in error && NO_LEADER.includes(String(error.type));
}

type OnMessages = (topic: string, partition: number, messages: KafkaMessage[]) => void | Promise<void>;

/**
 * Reads ranges of partitions to their ends, as a read-committed reader sees them, without moving any group but one of its own.
 *
 * @param onMessages awaited before more is read; what it throws ends the read
 * @throws LogError
 */
export async function readRanges(
  kafka: Kafka,
  admin: Admin,
  groupPrefix: string,
  ranges: readonly Range[],
  onMessages: OnMessages,
): Promise<void> {
  const open = new Map(ranges.filter(({ from, end }) => from < end).map((range) => [`${range.topic}/${range.partition}`, range]));
  if (open.size === 0) return;
  const topics = [...new Set([...open.values()].map(({ topic }) => topic))];
  try {
    await patiently(async () => {
      const groupId = `${groupPrefix}namesake-tail-${randomUUID()}`;
      await readOpen(kafka, groupId, topics, open, onMessages);
      await admin.deleteGroups([groupId]).catch(() => {});
    });
  } catch (error) {
    throw asLogError(`reading ${topics.join(', ')}`, error);
  }
}

/** @param open by topic and partition; what has been read is taken out of it */
async function readOpen(kafka: Kafka, groupId: string, topics: string[], open: Map<string, Range>, onMessages: OnMessages): Promise<void> {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  done.catch(() => {});
  const group = new GroupConsumer(kafka, { groupId, maxWaitTimeInMs: FETCH_WAIT }, reject);
  const { consumer } = group;
  let stalled: NodeJS.Timeout | undefined;
  const alive = () => {
    clearTimeout(stalled);
    stalled = setTimeout(() => reject(new LogError(`no answer for ${STALLED} ms`)), STALLED);
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
    const place = `${topic}/${partition}`;
    const range = open.get(place);
    if (range === undefined) return;
    const next = BigInt(lastOffset) + 1n;
    if (next < range.end) {
      // A consumer that has to join again goes on here.
      open.set(place, { ...range, from: next });
      return;
    }
    open.delete(place);
    consumer.pause([{ topic, partitions: [partition] }]);
    if (open.size === 0) resolve();
  });
  const take = async ({ batch: { topic, partition, messages } }: EachBatchPayload) => {
    const range = open.get(`${topic}/${partition}`);
    if (range === undefined) return;
    const wanted = messages.filter(({ offset }) => BigInt(offset) >= range.from && BigInt(offset) < range.end);
    if (wanted.length > 0) await onMessages(topic, partition, wanted);
  };
  const start = async () => {
    alive();
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: (batch) =>
        take(batch).catch((error: unknown) => {
          // The consumer would try again by itself.
          reject(error);
          throw error;
        }),
    });
  };
  try {
    start().catch(reject);
    await done;
  } finally {
    clearTimeout(stalled);
    await group.close();
  }
}
