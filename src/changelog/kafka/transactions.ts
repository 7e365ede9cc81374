import { type Kafka, type Message, Partitioners, type Producer, type Transaction } from 'kafkajs';
import { type FencedError, LogError } from '../../../streams/change-log.ts';
import { asLogError, farewell, TRANSACTION_DEADLINE, TRANSACTION_TIMEOUT } from './client.ts';
import { type PlacedMessage, type Request, requestsOf } from './requests.ts';

export interface TopicMessages {
  readonly topic: string;
  readonly messages: readonly Message[];
}

/** Where a transaction ended in one partition. */
export interface Written {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the last message. Nothing but the transaction's own mark follows. */
  readonly last: bigint;
  /** How many messages of it are in this partition. */
  readonly count: number;
}

/** What has to be known of a cluster to write to it. */
interface Layout {
  /** By topic. */
  readonly partitions: ReadonlyMap<string, number>;
  readonly brokers: number;
}

/**
 * Writes transactions under one transactional id. Opening it shuts out every earlier writer of that id. After any error it is
 * good for nothing more: this client cannot abort after a failed commit, and a later batch of the same size could be taken by the
 * broker for a repetition of the failed one and dropped. Only a new one, with a new epoch, may go on.
 */
export class TransactionalWriter implements AsyncDisposable {
  readonly #id: string;
  readonly #producer: Producer;
  readonly #layout: Layout;
  readonly #partitionOf = Partitioners.DefaultPartitioner();
  /** Of everything, while there is one broker only. */
  #leader: number | undefined;
  #next: Transaction | undefined;
  #failure: FencedError | LogError | undefined;
  #underWay: Promise<unknown> = Promise.resolve();

  private constructor(kafka: Kafka, id: string, layout: Layout) {
    this.#id = id;
    this.#layout = layout;
    this.#producer = kafka.producer({
      transactionalId: id,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      transactionTimeout: TRANSACTION_TIMEOUT,
      createPartitioner: () => (choice) => {
        if (layout.brokers === 1) this.#checkLeader(choice.partitionMetadata);
        return choice.message.partition ?? this.#partitionOf(choice);
      },
      // Until the broker has written the marks of the last transaction it answers CONCURRENT_TRANSACTIONS: a matter of milliseconds, of
      // seconds under load. So many tries take as long as TRANSACTION_DEADLINE allows.
      retry: { initialRetryTime: 1, retries: 18, maxRetryTime: 2_000 },
    });
  }

  /** @param topics all that it will write to @throws LogError */
  static async open(kafka: Kafka, id: string, topics: readonly string[]): Promise<TransactionalWriter> {
    try {
      const writer = new TransactionalWriter(kafka, id, await layoutOf(kafka, topics));
      try {
        await writer.#producer.connect();
        // The producer asks for its epoch, which is what fences, with the first transaction.
        writer.#next = await writer.#producer.transaction();
        return writer;
      } catch (error) {
        await writer[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      throw asLogError(`cannot become the writer ${id}`, error);
    }
  }

  /**
   * Everything or nothing becomes visible to read-committed readers; durable when it resolves.
   *
   * @throws FencedError @throws LogError when the outcome is not known
   */
  async commit(topicMessages: readonly TopicMessages[]): Promise<Written[]> {
    this.check();
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => deadline.reject(new LogError(`${this.#id}: the brokers did not answer within ${TRANSACTION_DEADLINE} ms`)),
      TRANSACTION_DEADLINE,
    );
    try {
      const transacting = this.#transact(topicMessages);
      this.#underWay = transacting.catch(() => {});
      return await Promise.race([transacting, deadline.promise]);
    } catch (error) {
      throw this.fail(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Finds out where each partition of these topics ends by now, transactions that are under way included: with a record in each, in a
   * transaction that is aborted, so that nobody ever reads them.
   *
   * @throws FencedError @throws LogError
   */
  async probe(topics: readonly string[]): Promise<Written[]> {
    this.check();
    try {
      const transaction = this.#next ?? (await this.#producer.transaction());
      this.#next = undefined;
      const written: Written[] = [];
      for (const topic of topics) {
        for (let partition = 0; partition < (this.#layout.partitions.get(topic) ?? 0); partition++) {
          const request = { topicMessages: [{ topic, messages: [{ key: 'probe', value: null, partition }] }], count: () => 1 };
          written.push(...(await send(transaction, request)));
        }
      }
      await transaction.abort();
      return written;
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** @throws FencedError @throws LogError when nothing can be written here any more */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Nothing more is written here. */
  fail(error: unknown): FencedError | LogError {
    this.#failure ??= asLogError(this.#id, error);
    return this.#failure;
  }

  async #transact(topicMessages: readonly TopicMessages[]): Promise<Written[]> {
    const transaction = this.#next ?? (await this.#producer.transaction());
    this.#next = undefined;
    const placed = topicMessages.flatMap(({ topic, messages }) => messages.map((message) => this.#place(topic, message)));
    const written = new Map<string, Written>();
    for (const request of requestsOf(placed, { together: this.#layout.brokers === 1 })) {
      for (const end of await send(transaction, request)) {
        const place = `${end.topic}/${end.partition}`;
        written.set(place, { ...end, count: end.count + (written.get(place)?.count ?? 0) });
      }
      // Given up meanwhile: whoever was told that the outcome is not known may be reading already what it was.
      this.check();
    }
    await transaction.commit();
    return [...written.values()];
  }

  #place(topic: string, message: Message): PlacedMessage {
    const count = this.#layout.partitions.get(topic) ?? 0;
    const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ ...NO_LEADER, partitionId }));
    return { topic, partition: this.#partitionOf({ topic, partitionMetadata, message }), message };
  }

  /** Requests were put together for one broker; see `requestsOf` for what happens with two. */
  #checkLeader(partitions: readonly { leader: number }[]): void {
    for (const { leader } of partitions) {
      this.#leader ??= leader;
      if (leader !== this.#leader) throw new LogError('the cluster has more than one broker now');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new LogError(`${this.#id} is closed`);
    await farewell(this.#producer.disconnect());
    // What is still under way connects anew to try again.
    void this.#underWay.then(() => this.#producer.disconnect()).catch(() => {});
  }
}

/** For the partitioner, which needs to know only how many partitions there are. */
const NO_LEADER = { partitionErrorCode: 0, leader: -1, replicas: [], isr: [] };

async function layoutOf(kafka: Kafka, topics: readonly string[]): Promise<Layout> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    const metadata = await admin.fetchTopicMetadata({ topics: [...topics] });
    return { brokers: brokers.length, partitions: new Map(metadata.topics.map(({ name, partitions }) => [name, partitions.length])) };
  } finally {
    await farewell(admin.disconnect());
  }
}

async function send(transaction: Transaction, request: Request): Promise<Written[]> {
  const metadata = await transaction.sendBatch({ acks: -1, topicMessages: request.topicMessages });
  return metadata.flatMap(({ topicName: topic, partition, baseOffset }) => {
    if (baseOffset === undefined) return [];
    const count = request.count(topic, partition);
    return [{ topic, partition, last: BigInt(baseOffset) + BigInt(count) - 1n, count }];
  });
}
