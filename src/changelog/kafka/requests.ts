import type { Message } from 'kafkajs';

export interface PlacedMessage {
  readonly topic: string;
  readonly partition: number;
  readonly message: Message;
}

/** What goes out at once. */
export interface Request {
  readonly topicMessages: { topic: string; messages: Message[] }[];
  /** How many messages of it go to one partition. */
  count(topic: string, partition: number): number;
}

/** Bytes of one request at most; brokers refuse record batches of more than 1,048,588 as they are set up by default. 500 renames fit. */
const REQUEST_BYTES = 1_000_000;
/** Bytes that a record takes besides key, value and headers, at most. */
const RECORD_OVERHEAD = 50;

/**
 * Splits the messages of a transaction into requests that brokers take, to be sent one after the other.
 *
 * A request whose partitions have different leaders goes to several brokers side by side, and kafkajs 2.2.4 must not send those:
 * when one of them has to be tried again while another is still on its way, it sends that one a second time with new sequence
 * numbers, and the messages are doubled within the transaction.
 *
 * @param together whether partitions may share a request, which is quicker: only when one broker leads them all
 */
export function* requestsOf(messages: readonly PlacedMessage[], { together }: { together: boolean }): Generator<Request> {
  const groups = together ? [messages] : Map.groupBy(messages, ({ topic, partition }) => `${topic}/${partition}`).values();
  for (const group of groups) {
    let part: PlacedMessage[] = [];
    let size = 0;
    for (const placed of group) {
      const bytes = bytesOf(placed.message);
      if (part.length > 0 && size + bytes > REQUEST_BYTES) {
        yield requestOf(part);
        [part, size] = [[], 0];
      }
      part.push(placed);
      size += bytes;
    }
    if (part.length > 0) yield requestOf(part);
  }
}

function requestOf(placed: readonly PlacedMessage[]): Request {
  const byTopic = Map.groupBy(placed, ({ topic }) => topic);
  return {
    topicMessages: Array.from(byTopic, ([topic, own]) => ({
      topic,
      messages: own.map(({ message, partition }) => ({ ...message, partition })),
    })),
    count: (topic, partition) => placed.filter((message) => message.topic === topic && message.partition === partition).length,
  };
}

function bytesOf({ key, value, headers = {} }: Message): number {
  const header = Object.entries(headers).reduce((sum, [name, text]) => sum + name.length + Buffer.byteLength(String(text)) + 4, 0);
  return RECORD_OVERHEAD + header + Buffer.byteLength(key ?? '') + Buffer.byteLength(value ?? '');
}
