import { uptime } from 'node:os';
import { AssignerProtocol, type Kafka, type PartitionAssigner } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { asLogError, SESSION_TIMEOUT } from './client.ts';
import { GroupConsumer, patiently } from './consumer.ts';

const { MemberAssignment, MemberMetadata } = AssignerProtocol;
const ASSIGNER = 'namesake-lease';
const VERSION = 1;
const HOLDER = Buffer.from('holder');
/** Milliseconds from one moment at which a member does something to the next: the longest that a release waits. */
const TICK = 150;
/** Milliseconds between two signs of life. With their answers those who wait hear that the lease was given back. */
const HEARTBEAT = 400;
/** Milliseconds between two looks whether the group still answers. */
const LOOK = 500;
/** Milliseconds without any answer of the group after which the lease is taken for lost; longer than the group takes when members join. */
const SILENCE = 20_000;
/** Milliseconds after a sign of life that was answered for which nobody else can have the lease, with time left for what is begun then. */
const CERTAIN = SESSION_TIMEOUT - 2_000;
/**
 * A moment by two clocks: the finer one stands still while the machine is suspended, the other one counts that on Linux. Whichever says
 * that more time has passed is believed.
 */
interface Moment {
  readonly awake: number;
  readonly up: number;
}
const LONG_AGO: Moment = { awake: Number.NEGATIVE_INFINITY, up: Number.NEGATIVE_INFINITY };

function momentBefore(milliseconds: number): Moment {
  return { awake: performance.now() - milliseconds, up: uptime() * 1_000 - milliseconds };
}

/** Milliseconds. */
function since({ awake, up }: Moment): number {
  return Math.max(performance.now() - awake, uptime() * 1_000 - up);
}

/** Requests by which a member shows that it lives, as kafkajs names them. */
const SIGNS_OF_LIFE = ['Heartbeat', 'SyncGroup'];

/**
 * One holder per name, anywhere: whoever the consumer group gives the only partition of a topic. The others wait as members,
 * and one of them gets it at most SESSION_TIMEOUT after the holder's last sign of life. Nothing is read from the topic.
 */
export class GroupLease implements AsyncDisposable {
  readonly #group: GroupConsumer;
  readonly #lost = new AbortController();
  /** Settles when the lease is got, or cannot be got any more. */
  readonly #acquired = Promise.withResolvers<void>();
  /** Called once, when another member has it. */
  #onWait: (() => void) | undefined;
  #held = false;
  #member = '';
  #watch: NodeJS.Timeout | undefined;
  /**
   * When the last sign of life that the group answered was sent. Not when the answer was read: after this process was frozen, answers are
   * read that the group gave before it passed the lease on.
   */
  #alive: Moment = LONG_AGO;
  /** Resolved, and replaced, at each answer of the group and at the end. */
  #news = Promise.withResolvers<void>();

  private constructor(kafka: Kafka, group: string, onWait?: () => void) {
    this.#onWait = onWait;
    const config = {
      groupId: group,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT,
      maxWaitTimeInMs: TICK,
      partitionAssigners: [this.#assigner],
    };
    const onCrash = (error: Error) => this.#lose('the connection to the group broke', error);
    this.#group = new GroupConsumer(kafka, config, onCrash);
    this.#acquired.promise.catch(() => {});
  }

  /**
   * Waits until nobody else holds it. Rejects with the signal's reason when that aborts first.
   *
   * @param onWait called when somebody does
   * @throws LogError
   */
  static async acquire(kafka: Kafka, group: string, topic: string, signal: AbortSignal, onWait?: () => void): Promise<GroupLease> {
    const attempt = async () => {
      signal.throwIfAborted();
      const lease = new GroupLease(kafka, group, onWait);
      try {
        await lease.#join(topic, signal);
        return lease;
      } catch (error) {
        await lease[Symbol.asyncDispose]();
        throw error;
      }
    };
    try {
      return await patiently(attempt);
    } catch (error) {
      signal.throwIfAborted();
      throw asLogError(`lease ${group}`, error);
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Resolves once it is certain that nobody else has the lease, which is at once while the group answers. @throws LogError when it was lost */
  async confirm(): Promise<void> {
    while (this.#held && !this.#isCertain) await this.#news.promise;
    this.lost.throwIfAborted();
    if (!this.#held) throw new LogError('the lease was given back');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
    await this.#group.close();
  }

  async #join(topic: string, signal: AbortSignal): Promise<void> {
    const { consumer } = this.#group;
    let sent = LONG_AGO;
    consumer.on(consumer.events.REQUEST, ({ payload: { apiName, duration } }) => {
      if (SIGNS_OF_LIFE.includes(apiName)) sent = momentBefore(Math.max(0, duration));
    });
    // Whether the answer was a good one shows only now.
    consumer.on(consumer.events.HEARTBEAT, () => this.#lives(sent));
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      consumer.pause([{ topic }]);
      this.#lives(sent);
      this.#joined(payload.memberId, (payload.memberAssignment[topic] ?? []).length > 0);
    });
    const onAbort = () => this.#acquired.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const join = async () => {
        await consumer.connect();
        await consumer.subscribe({ topics: [topic] });
        await consumer.run({ autoCommit: false, eachBatch: async () => {} });
      };
      join().catch((error: unknown) => this.#acquired.reject(error));
      await this.#acquired.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #lives(moment: Moment): void {
    this.#alive = moment;
    this.#tell();
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  #joined(member: string, assigned: boolean): void {
    if (!this.#held) {
      this.#member = member;
      if (assigned) this.#hold();
      else this.#wait();
    } else if (!assigned) {
      this.#lose('the group gave it to another instance');
    } else if (member !== this.#member) {
      // The group had forgotten this member: somebody else may have held the lease meanwhile.
      this.#lose('no sign of life reached the group in time');
    }
  }

  #wait(): void {
    this.#onWait?.();
    this.#onWait = undefined;
  }

  #hold(): void {
    this.#held = true;
    this.#watch = setInterval(() => {
      if (since(this.#alive) > SILENCE) this.#lose(`the group has not answered for ${SILENCE} ms, or this process stood still meanwhile`);
    }, LOOK);
    this.#acquired.resolve();
  }

  #release(): void {
    this.#held = false;
    clearInterval(this.#watch);
    this.#tell();
  }

  #lose(why: string, cause?: unknown): void {
    const error = new LogError(`the lease was lost: ${why}`, { cause });
    this.#acquired.reject(error);
    this.#lost.abort(error);
    this.#release();
  }

  /** Who comes back after its session has ended has nothing to claim: the lease may be another's by now. */
  get #claims(): boolean {
    return this.#held && since(this.#alive) < SESSION_TIMEOUT;
  }

  get #isCertain(): boolean {
    return since(this.#alive) < CERTAIN;
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
        metadata: MemberMetadata.encode({ version: VERSION, topics, userData: this.#claims ? HOLDER : Buffer.alloc(0) }),
      }),
    });
  }
}
