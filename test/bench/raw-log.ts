import { randomUUID } from 'node:crypto';
import { type Admin, type Consumer, Kafka, logLevel, type Message, Partitioners, type Producer } from 'kafkajs';
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';
import { createTopics } from '../support/kafka-topics.ts';

const FETCH_WAIT = 2_000;

/** Three topics of its own, a transactional producer and, where wanted, a consumer: kafkajs, and nothing around it. */
export class RawLog implements AsyncDisposable {
  readonly topics: readonly [string, string, string];
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #producer: Producer;
  #consumer: Consumer | undefined;

  private constructor(brokers: readonly string[]) {
    calmIdleConnections();
    const name = `floor-${randomUUID()}`;
    this.topics = [`${name}-change`, `${name}-state`, `${name}-position`];
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
    this.#admin = this.#kafka.admin();
    this.#producer = this.#kafka.producer({
      transactionalId: name,
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
      // The default of 300 ms would be most of what is measured where one transaction follows another.
      retry: { initialRetryTime: 1 },
    });
  }

  static async open(brokers: readonly string[]): Promise<RawLog> {
    const log = new RawLog(brokers);
    await log.#admin.connect();
    await createTopics(
      log.#admin,
      log.topics.map((topic) => ({ topic, numPartitions: 1 })),
    );
    await log.#producer.connect();
    return log;
  }

  /** One transaction: messages for each of the three topics. */
  async write(messages: readonly [Message[], Message[], Message[]]): Promise<void> {
    const transaction = await this.#producer.transaction();
    const all = this.topics.map((topic, index) => ({ topic, messages: messages[index] ?? [] }));
    await transaction.sendBatch({ topicMessages: all.filter((one) => one.messages.length > 0) });
    await transaction.commit();
  }

  /** Calls back with each committed value of the first topic from now on; resolves when the consumer is at work. */
  async follow(onValue: (value: string) => void): Promise<void> {
    const consumer = this.#kafka.consumer({ groupId: this.topics[0], maxWaitTimeInMs: FETCH_WAIT });
    this.#consumer = consumer;
    await consumer.connect();
    await consumer.subscribe({ topics: [this.topics[0]], fromBeginning: true });
    const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => onValue(message.value?.toString() ?? '') });
    await joined;
  }

  /** What stands on any topic of the cluster, read from its beginning to where `isLast` says so. */
  async copy(topic: string, isLast: (count: number) => boolean): Promise<Message[]> {
    const consumer = this.#kafka.consumer({ groupId: `${this.topics[0]}-${topic}`, maxWaitTimeInMs: FETCH_WAIT });
    const messages: Message[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message: { key, value, headers } }) => {
        messages.push({ key, value, ...(headers && { headers }) });
        if (isLast(messages.length)) resolve();
      },
    });
    await promise;
    await consumer.disconnect();
    return messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer?.disconnect();
    await this.#producer.disconnect();
    await this.#admin.disconnect();
  }
}

/** kafkajs 2.2.4 fires a timer some 900 times a second for each idle connection, which would disturb whatever else is measured. */
function calmIdleConnections(): void {
  RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) setTimeout(() => this.checkPendingRequests(), Math.max(1, this.throttledUntil - Date.now()));
  };
}
