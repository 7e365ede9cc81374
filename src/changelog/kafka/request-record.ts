import { type Kafka, type KafkaMessage, Partitioners } from 'kafkajs';
import { ListenerRequest, LogError } from '../../../streams/change-log.ts';
import { asLogError, farewell, TRANSACTION_DEADLINE } from './client.ts';

/** Before the keys of requests in the position topic; no naming context begins so. */
const KEY_PREFIX = 'request/';

/** The last request of a kind for a naming context is all that compaction has to leave. */
function keyOf({ kind, namingContext }: ListenerRequest): string {
  return `${KEY_PREFIX}${kind}/${namingContext}`;
}

export function listenerRequestMessage(request: ListenerRequest): { key: string; value: string } {
  return { key: keyOf(request), value: JSON.stringify(request) };
}

export function isRequest(message: KafkaMessage): boolean {
  return message.key?.toString().startsWith(KEY_PREFIX) ?? false;
}

/** @throws when it is no request of ours */
export function fromRequestMessage(message: KafkaMessage): ListenerRequest {
  const request = ListenerRequest.parse(JSON.parse(message.value?.toString() ?? 'null'));
  if (message.key?.toString() !== keyOf(request)) throw new Error('the key is not that of the request');
  return request;
}

/**
 * Puts a request on a topic. In no transaction: whoever asks holds no lease, and must not shut out who is at work.
 *
 * @throws LogError when it is not known whether it is there; the same one may be made again
 */
export async function writeRequests(kafka: Kafka, topic: string, messages: readonly { key: string; value: string }[]): Promise<void> {
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: Partitioners.DefaultPartitioner,
    retry: { initialRetryTime: 50, retries: 10, maxRetryTime: 2_000 },
  });
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new LogError(`the brokers did not take a request within ${TRANSACTION_DEADLINE} ms`)),
    TRANSACTION_DEADLINE,
  );
  const write = async () => {
    await producer.connect();
    await producer.send({ topic, acks: -1, messages: [...messages] });
  };
  try {
    await Promise.race([write(), tooLate]);
  } catch (error) {
    throw asLogError(`request on ${topic}`, error);
  } finally {
    clearTimeout(timer);
    await farewell(producer.disconnect());
  }
}
