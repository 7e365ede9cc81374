import { AssignerProtocol, type Consumer, type Kafka, type PartitionAssigner } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { asLogError, FETCH_WAIT, HEARTBEAT_INTERVAL, isCoordinatorLoading, SESSION_TIMEOUT } from './client.ts';

const { MemberAssignment, MemberMetadata } = AssignerProtocol;
const ASSIGNER = 'namesake-lease';
const VERSION = 1;
const HOLDER = Buffer.from('holder');

/**
 * One holder per name, anywhere: whoever the consumer group gives the only partition of a topic. The others wait as members,
 * and one of them gets it at most SESSION_TIMEOUT after the holder's last sign of life. Nothing is read from the topic.
 */
export class GroupLease implements AsyncDisposable {
  readonly #consumer: Consumer;
  readonly #lost = new AbortController();
  #held = false;
  #closed = false;

  private constructor(kafka: Kafka, group: string) {
    this.#consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT_INTERVAL,
      maxWaitTimeInMs: FETCH_WAIT,
      allowAutoTopicCreation: false,
      partitionAssigners: [this.#assigner],
    });
  }

  /** Waits until nobody else holds it. Rejects with the signal's reason when that aborts first. @throws LogError */
  static async acquire(kafka: Kafka, group: string, topic: string, signal: AbortSignal): Promise<GroupLease> {
    signal.throwIfAborted();
    const lease = new GroupLease(kafka, group);
    try {
      await lease.#join(topic, signal);
      return lease;
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      signal.throwIfAborted();
      throw asLogError(`lease ${group}`, error);
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#consumer.disconnect().catch(() => {});
  }

  async #join(topic: string, signal: AbortSignal): Promise<void> {
    const consumer = this.#consumer;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const lose = (why: string, cause?: unknown) => {
      if (this.#closed) return;
      this.#held = false;
      const error = new LogError(`the lease was lost: ${why}`, { cause });
      reject(error);
      this.#lost.abort(error);
    };
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const assigned = (payload.memberAssignment[topic] ?? []).length > 0;
      consumer.pause([{ topic }]);
      if (assigned) {
        this.#held = true;
        resolve();
      } else if (this.#held) {
        lose('the group gave it to another instance');
      }
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (this.#held || !isCoordinatorLoading(payload)) lose('the connection to the group broke', payload.error);
    });
    promise.catch(() => {});
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic] });
      await consumer.run({ autoCommit: false, eachBatch: async () => {} });
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Leaves the lease where it is when somebody joins; kafkajs's own assigner would move it. */
  get #assigner(): PartitionAssigner {
    return () => ({
      name: ASSIGNER,
      version: VERSION,
      assign: async ({ members, topics }) => {
        const [topic] = topics;
        const isHolder = ({ memberMetadata }: { memberMetadata: Buffer }) => MemberMetadata.decode(memberMetadata)?.userData.equals(HOLDER);
        const holder = members.find(isHolder) ?? members[0];
        return members.map(({ memberId }) => ({
          memberId,
          memberAssignment: MemberAssignment.encode({
            version: VERSION,
            assignment: topic !== undefined && memberId === holder?.memberId ? { [topic]: [0] } : {},
            userData: Buffer.alloc(0),
          }),
        }));
      },
      protocol: ({ topics }) => ({
        name: ASSIGNER,
        metadata: MemberMetadata.encode({ version: VERSION, topics, userData: this.#held ? HOLDER : Buffer.alloc(0) }),
      }),
    });
  }
}
