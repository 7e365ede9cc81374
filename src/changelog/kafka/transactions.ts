import { type Kafka, type Message, Partitioners, type Producer, type RecordMetadata, type Transaction } from 'kafkajs';
import { type FencedError, LogError } from '../../../streams/change-log.ts';
import { asLogError, TRANSACTION_DEADLINE, TRANSACTION_TIMEOUT } from './client.ts';

export interface TopicMessages {
  readonly topic: string;
  readonly messages: Message[];
}

/**
 * Writes transactions under one transactional id. Opening it shuts out every earlier writer of that id. After any error it is
 * good for nothing more: this client cannot abort after a failed commit, and a later batch of the same size could be taken by the
 * broker for a repetition of the failed one and dropped. Only a new one, with a new epoch, may go on.
 */
export class TransactionalWriter implements AsyncDisposable {
  readonly #id: string;
  readonly #producer: Producer;
  #next: Transaction | undefined;
  #failure: FencedError | LogError | undefined;

  private constructor(id: string, producer: Producer) {
    this.#id = id;
    this.#producer = producer;
  }

  /** @throws LogError */
  static async open(kafka: Kafka, id: string): Promise<TransactionalWriter> {
    const producer = kafka.producer({
      transactionalId: id,
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      transactionTimeout: TRANSACTION_TIMEOUT,
      createPartitioner: Partitioners.DefaultPartitioner,
      // Until the broker has written the marks of the last transaction it answers CONCURRENT_TRANSACTIONS, a matter of milliseconds.
      retry: { initialRetryTime: 1, retries: 10, maxRetryTime: 2_000 },
    });
    const writer = new TransactionalWriter(id, producer);
    try {
      await producer.connect();
      // The producer asks for its epoch, which is what fences, with the first transaction.
      writer.#next = await producer.transaction();
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
  async commit(topicMessages: readonly TopicMessages[]): Promise<RecordMetadata[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => deadline.reject(new LogError(`${this.#id}: the brokers did not answer within ${TRANSACTION_DEADLINE} ms`)),
      TRANSACTION_DEADLINE,
    );
    try {
      return await Promise.race([this.#transact(topicMessages), deadline.promise]);
    } catch (error) {
      this.#failure = asLogError(this.#id, error);
      throw this.#failure;
    } finally {
      clearTimeout(timer);
    }
  }

  async #transact(topicMessages: readonly TopicMessages[]): Promise<RecordMetadata[]> {
    const transaction = this.#next ?? (await this.#producer.transaction());
    this.#next = undefined;
    const metadata = await transaction.sendBatch({ acks: -1, topicMessages: topicMessages.filter(({ messages }) => messages.length > 0) });
    await transaction.commit();
    return metadata;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new LogError(`${this.#id} is closed`);
    await this.#producer.disconnect().catch(() => {});
  }
}
