import type { Consumer, ConsumerConfig, Kafka } from 'kafkajs';
import { farewell, isCoordinatorLoading } from './client.ts';

/**
 * A kafkajs consumer that can be closed at any moment. By itself it starts again only while its group's coordinator is loading;
 * every other crash is final and told. (kafkajs alone would start again after the close: it sets that timer after it tells of the
 * crash.)
 */
export class GroupConsumer {
  readonly consumer: Consumer;
  #closed = false;

  /**
   * @param mayRestart asked before it starts again
   * @param onCrash not called once it is closed
   */
  constructor(kafka: Kafka, config: ConsumerConfig, onCrash: (error: Error) => void, mayRestart: () => boolean = () => true) {
    this.consumer = kafka.consumer({
      allowAutoTopicCreation: false,
      retry: { restartOnFailure: async (error) => !this.#closed && isCoordinatorLoading(error) && mayRestart() },
      ...config,
    });
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart && !this.#closed) onCrash(payload.error);
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
