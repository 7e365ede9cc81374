import { type Kafka, type Message, Partitioners, type Producer, type Transaction } from 'kafkajs';
import { type FencedError, LogError } from '../../../streams/change-log.ts';
import { asLogError, farewell, TRANSACTION_DEADLINE, TRANSACTION_TIMEOUT } from './client.ts';

export interface TopicMessages {
  readonly topic: string;
  readonly messages: Message[];
}

/** Where a transaction ended in one partition. */
export interface Written {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the last message. Nothing but the transaction's own mark follows. */
  readonly last: bigint;
}

/** Bytes of one request; brokers refuse record batches of more than 1,048,588 as they are set up by default. */
const REQUEST_BYTES = 500_000;
/** Bytes that a record takes besides key, value and headers, at most. */
const RECORD_OVERHEAD = 50;

/**
 * Writes transactions under one transactional id. Opening it shuts out every earlier writer of that id. After any error it is
 * good for nothing more: this client cannot abort after a failed commit, and a later batch of the same size could be taken by the
 * broker for a repetition of the failed one and dropped. Only a new one, with a new epoch, may go on.
 */
export class TransactionalWriter implements AsyncDisposable {
  readonly #id: string;
  readonly #producer: Producer;
  /** The partition of each message under way. */
  readonly #placed = new Map<Message, number>();
  #next: Transaction | undefined;
  #failure: FencedError | LogError | undefined;
  #underWay: Promise<unknown> = Promise.resolve();

  private constructor(kafka: Kafka, id: string) {
    this.#id = id;
    this.#producer = kafka.producer({
      transactionalId: id,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      transactionTimeout: TRANSACTION_TIMEOUT,
      createPartitioner: () => {
        const partitionOf = Partitioners.DefaultPartitioner();
        return (choice) => {
          const partition = partitionOf(choice);
          this.#placed.set(choice.message, partition);
          return partition;
        };
      },
      // Until the broker has written the marks of the last transaction it answers CONCURRENT_TRANSACTIONS, a matter of milliseconds.
      retry: { initialRetryTime: 1, retries: 10, maxRetryTime: 2_000 },
    });
  }

  /** @throws LogError */
  static async open(kafka: Kafka, id: string): Promise<TransactionalWriter> {
    const writer = new TransactionalWriter(kafka, id);
    try {
      await writer.#producer.connect();
      // The producer asks for its epoch, which is what fences, with the first transaction.
      writer.#next = await writer.#producer.transaction();
      return writer;
    } catch (error) {
      await writer[Symbol.asyncDispose]();
      throw asLogError(`cannot become the writer ${id}`, error);
    }
  }

  /**
   * Everything or nothing becomes visible to read-committed readers; durable when it resolves.
   *
   * @throws FencedError @throws LogError when the outcome is not known
   */
  async commit(topicMessages: readonly TopicMessages[]): Promise<Written[]> {
    if (this.#failure !== undefined) throw this.#failure;
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

  /** Nothing more is written here. */
  fail(error: unknown): FencedError | LogError {
    this.#failure ??= asLogError(this.#id, error);
    return this.#failure;
  }

  async #transact(topicMessages: readonly TopicMessages[]): Promise<Written[]> {
    const transaction = this.#next ?? (await this.#producer.transaction());
    this.#next = undefined;
    const written = new Map<string, Written>();
    for (const request of requestsOf(topicMessages)) {
      this.#placed.clear();
      const metadata = await transaction.sendBatch({ acks: -1, topicMessages: request });
      for (const { topicName: topic, partition, baseOffset } of metadata) {
        if (baseOffset === undefined) continue;
        const messages = request.find((part) => part.topic === topic)?.messages ?? [];
        const count = messages.filter((message) => this.#placed.get(message) === partition).length;
        written.set(`${topic}/${partition}`, { topic, partition, last: BigInt(baseOffset) + BigInt(count) - 1n });
      }
      // Given up meanwhile: whoever was told that the outcome is not known may be reading already what it was.
      if (this.#failure !== undefined) throw this.#failure;
    }
    await transaction.commit();
    return [...written.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new LogError(`${this.#id} is closed`);
    await farewell(this.#producer.disconnect());
    // What is still under way connects anew to try again.
    void this.#underWay.then(() => this.#producer.disconnect()).catch(() => {});
  }
}

/** Splits what goes out together so that each request is taken. */
function* requestsOf(topicMessages: readonly TopicMessages[]): Generator<TopicMessages[]> {
  let request: TopicMessages[] = [];
  let size = 0;
  for (const { topic, messages } of topicMessages) {
    let part: Message[] = [];
    for (const message of messages) {
      const bytes = bytesOf(message);
      if (size > 0 && size + bytes > REQUEST_BYTES) {
        if (part.length > 0) request.push({ topic, messages: part });
        yield request;
        [request, part, size] = [[], [], 0];
      }
      part.push(message);
      size += bytes;
    }
    if (part.length > 0) request.push({ topic, messages: part });
  }
  if (request.length > 0) yield request;
}

function bytesOf({ key, value, headers = {} }: Message): number {
  const header = Object.entries(headers).reduce((sum, [name, text]) => sum + name.length + Buffer.byteLength(String(text)) + 4, 0);
  return RECORD_OVERHEAD + header + Buffer.byteLength(key ?? '') + Buffer.byteLength(value ?? '');
}
