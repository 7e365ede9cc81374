import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Admin, Kafka } from 'kafkajs';
import { tap } from 'rxjs';
import type { ChangeEvent } from '../../../streams/change.ts';
import {
  type Batch,
  type ChangeLog,
  type ListenerLog,
  type ListenerRequest,
  LogError,
  type LogStatus,
  type Look,
  type RepairerLog,
} from '../../../streams/change-log.ts';
import { mutex } from '../../../streams/mutex.ts';
import type { LogEvent } from '../../../streams/notice.ts';
import type { Repair } from '../../../streams/repair.ts';
import type { RepairAnswer, RepairRequest } from '../../../streams/repair-request.ts';
import { numbered } from '../events.ts';
import { FileLease } from '../file-lease.ts';
import { knownAccounts, knownRepairs, lookInto } from '../known.ts';
import { type Part, SEQUENCE_KEY, TopicCache, topicNames } from './cache.ts';
import { asLogError, farewell, type KafkaSettings, kafkaClient, unlessAborted } from './client.ts';
import { ldapUrl, parseEvent, parseRepair, toMessage, toStateMessage } from './envelope.ts';
import { Journal } from './journal.ts';
import { GroupLease } from './lease.ts';
import { requestMessage } from './repair-requests.ts';
import { listenerRequestMessage, writeRequests } from './request-record.ts';
import { GroupSubscription } from './subscription.ts';
import { offsetsOf, readRanges } from './tail.ts';
import { ensureTopics } from './topics.ts';
import { TransactionalWriter } from './transactions.ts';
import { whileWarm } from './warm.ts';

export interface KafkaLogOptions {
  /** '' for a look that leaves nothing behind: a temporary file without a name, since what is known can be more than belongs in memory. */
  readonly cacheFile: string;
  /** Milliseconds after which the cache is read anew in any case. Default: for as long as the topics keep the marks of deletions. */
  readonly cacheLifetime?: number;
  readonly onSetAside: (where: string, why: string) => void;
  readonly onRebuild: (why: string) => void;
}

/** Milliseconds between two readings up of who stands by. */
const READ_UP = 30_000;

/** The log on Apache Kafka, for any number of machines. */
export class KafkaLog implements ChangeLog {
  readonly name: string;
  readonly #settings: KafkaSettings;
  readonly #options: KafkaLogOptions;
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #topics: ReturnType<typeof topicNames>;
  /** Reading up and appending exclude each other: what is read must not overwrite what was just appended. */
  readonly #exclusive = mutex();
  #opened: Promise<{ cache: TopicCache; lock: FileLease | undefined }> | undefined;

  constructor(settings: KafkaSettings, options: KafkaLogOptions) {
    this.name = `kafka ${settings.brokers.join(',')}${settings.topicPrefix === '' ? '' : ` (${settings.topicPrefix}*)`}`;
    this.#settings = settings;
    this.#options = options;
    this.#kafka = kafkaClient(settings);
    this.#admin = this.#kafka.admin();
    this.#topics = topicNames(settings.topicPrefix);
  }

  async openListener(signal: AbortSignal, onStandby?: () => void): Promise<ListenerLog> {
    signal.throwIfAborted();
    return await unlessAborted(this.#openListener(signal, onStandby), signal);
  }

  async openRepairer(organization: string, signal: AbortSignal, onStandby?: () => void): Promise<RepairerLog> {
    signal.throwIfAborted();
    return await unlessAborted(this.#openRepairer(organization, signal, onStandby), signal);
  }

  async #openListener(signal: AbortSignal, onStandby?: () => void): Promise<ListenerLog> {
    const { cache } = await this.#open({ create: true });
    const readUp = () => this.#catchUp(cache, ['identities']);
    const { lease, writer, close } = await this.#becomeWriter('listener', this.#topics.position, readUp, signal, onStandby);
    try {
      await this.#exclusive(() => cache.catchUp('identities'));
      cache.isWriting = true;
    } catch (error) {
      await close();
      throw asLogError(this.name, error);
    }
    const { store } = cache;
    return {
      lost: lease.lost,
      ...knownAccounts(store),
      knows: (domain) => store.knows(domain),
      requests: () => this.#requests(cache, writer),
      append: (batch) => this.#exclusive(() => this.#append(batch, cache, writer)),
      [Symbol.asyncDispose]: async () => {
        cache.isWriting = false;
        await close();
      },
    };
  }

  async #openRepairer(organization: string, signal: AbortSignal, onStandby?: () => void): Promise<RepairerLog> {
    const { cache } = await this.#open({ create: true });
    const role = `repairer-${organization}`;
    const readUp = () => this.#catchUp(cache, ['identities', 'repairs']);
    const { lease, writer, close } = await this.#becomeWriter(role, this.#topics.repair, readUp, signal, onStandby);
    try {
      await cache.readableUpTo(await writer.probe([this.#topics.repair, this.#topics.link]));
      await this.#exclusive(() => cache.catchUp('repairs'));
      cache.beginRecording(organization);
    } catch (error) {
      await close();
      throw asLogError(this.name, error);
    }
    const { store } = cache;
    const journal = new Journal(writer, store, this.#topics);
    const subscription = new GroupSubscription(this.#kafka, this.#groupOf(role), this.#topics.change, this.#options.onSetAside);
    return {
      lost: lease.lost,
      confirm: () => lease.confirm(),
      changes: subscription.changes.pipe(tap(({ changes }) => this.#learn(cache, changes))),
      get baselined() {
        return store.positions().length > 0;
      },
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      formerHolders: (domain, name) => store.formerHolders(domain, name),
      identities: () => store.identities(),
      get knownSequence() {
        return store.sequence;
      },
      refresh: () => this.#catchUp(cache, ['identities']),
      ...knownRepairs(store, organization),
      requests: () => this.#repairRequests(cache, writer, organization),
      record: (entries) => journal.record(entries),
      [Symbol.asyncDispose]: async () => {
        cache.endRecording(organization);
        await Promise.all([subscription[Symbol.asyncDispose](), close()]);
      },
    };
  }

  async replay(onEvents: (events: readonly LogEvent[]) => void | Promise<void>): Promise<void> {
    await this.#replay(this.#topics.change, parseEvent, onEvents);
  }

  async replayRepairs(onRepairs: (repairs: readonly Repair[]) => void | Promise<void>): Promise<void> {
    await this.#replay(this.#topics.repair, parseRepair, onRepairs);
  }

  async #replay<T>(
    topic: string,
    parse: (...parsing: Parameters<typeof parseEvent>) => T | undefined,
    onRead: (read: readonly T[]) => void | Promise<void>,
  ): Promise<void> {
    await this.#open({ create: false });
    try {
      const offsets = await offsetsOf(this.#kafka, [topic]);
      const ranges = offsets.map(({ partition, low, high }) => ({ topic, partition, from: low, end: high }));
      await readRanges(this.#kafka, this.#admin, this.#settings.topicPrefix, ranges, (_, partition, messages) =>
        onRead(messages.flatMap((message) => parse(topic, partition, message, this.#options.onSetAside) ?? [])),
      );
    } catch (error) {
      throw asLogError(this.name, error);
    }
  }

  async status(): Promise<LogStatus> {
    const { cache } = await this.#open({ create: false });
    await this.#catchUp(cache, ['identities', 'repairs']);
    return cache.store.status();
  }

  /** What is known stays that of this log: it is gone when the log is closed. */
  async look(): Promise<Look> {
    const { cache } = await this.#open({ create: false });
    await this.#catchUp(cache, ['identities', 'repairs']);
    return lookInto(cache.store, () => {});
  }

  async request(request: ListenerRequest): Promise<void> {
    await this.#open({ create: false });
    await writeRequests(this.#kafka, this.#topics.position, [listenerRequestMessage(request)]);
  }

  async requestRepair(...requests: readonly RepairRequest[]): Promise<void> {
    await this.#open({ create: false });
    await writeRequests(this.#kafka, this.#topics.request, requests.map(requestMessage));
  }

  async answer(organization: string, systemuserid: string): Promise<RepairAnswer | undefined> {
    const { cache } = await this.#open({ create: false });
    await this.#catchUp(cache, ['requests']);
    return cache.store.answer(organization, systemuserid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.#opened?.then(({ cache, lock }) => {
      cache.store[Symbol.dispose]();
      lock?.[Symbol.dispose]();
    });
    await farewell(Promise.all([closing, this.#admin.disconnect()]));
  }

  /** Reads what others wrote. Identities need not be read up by the only one who writes them. */
  async #catchUp(cache: TopicCache, parts: readonly Part[]): Promise<void> {
    await this.#exclusive(async () => {
      for (const part of parts) {
        if (part !== 'identities' || !cache.isWriting) await cache.catchUp(part);
      }
    }).catch((error: unknown) => Promise.reject(asLogError(this.name, error)));
  }

  /** Appends wait only while requests are read, not while it is asked whether there are any. */
  async #requests(cache: TopicCache, writer: TransactionalWriter): Promise<ListenerRequest[]> {
    try {
      writer.check();
      await cache.catchUpRequests(this.#exclusive);
      writer.check();
      return cache.store.requests();
    } catch (error) {
      throw asLogError(this.name, error);
    }
  }

  /** Costs the question for one offset as long as nobody asks for anything. */
  async #repairRequests(cache: TopicCache, writer: TransactionalWriter, organization: string): Promise<RepairRequest[]> {
    try {
      writer.check();
      if (await cache.isBehind('requests')) await this.#catchUp(cache, ['requests']);
      writer.check();
      return cache.store.openRequests(organization);
    } catch (error) {
      throw asLogError(this.name, error);
    }
  }

  /**
   * A transaction becomes visible in one partition after the other: how many events there are can be known before what they say. So
   * what a page says is taken from the page itself.
   */
  #learn(cache: TopicCache, events: readonly ChangeEvent[]): void {
    try {
      cache.store.transaction(() => {
        for (const event of events) cache.store.learn(event);
      });
    } catch (error) {
      throw asLogError(this.name, error);
    }
  }

  /** Connects and looks at the topics; once, or again after it failed. */
  #open({ create }: { create: boolean }): Promise<{ cache: TopicCache; lock: FileLease | undefined }> {
    this.#opened ??= this.#connect(create).catch((error: unknown) => {
      this.#opened = undefined;
      throw asLogError(this.name, error);
    });
    return this.#opened;
  }

  async #connect(create: boolean): Promise<{ cache: TopicCache; lock: FileLease | undefined }> {
    const { cacheFile, onSetAside, onRebuild } = this.#options;
    await this.#admin.connect();
    const { deleteRetention } = await ensureTopics(this.#admin, this.#settings, create);
    const lifetime = Math.min(deleteRetention, this.#options.cacheLifetime ?? deleteRetention);
    const isLook = cacheFile === '';
    if (!isLook) mkdirSync(dirname(cacheFile), { recursive: true });
    const lock = isLook ? undefined : FileLease.tryAcquire(`${cacheFile}.lock`);
    if (!isLook && lock === undefined) {
      throw new LogError(`${cacheFile} is in use by another process: give each instance a stateDirectory of its own`);
    }
    try {
      const { topicPrefix } = this.#settings;
      return { cache: new TopicCache(cacheFile, this.#kafka, this.#admin, { topicPrefix, lifetime, onSetAside, onRebuild }), lock };
    } catch (error) {
      lock?.[Symbol.dispose]();
      if (isLook) throw error;
      throw new LogError(`the cache ${cacheFile} cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }

  /** Lease first, so that the others wait; then the fence, so that nobody who lost the lease can write; what is read after that holds. */
  async #becomeWriter(role: string, topic: string, readUp: () => Promise<void>, signal: AbortSignal, onStandby?: () => void) {
    const id = this.#groupOf(role);
    const acquire = (keepUp: () => void) => {
      const onWait = () => {
        onStandby?.();
        keepUp();
      };
      return GroupLease.acquire(this.#kafka, this.#groupOf(`lease-${role}`), topic, signal, onWait);
    };
    const lease = await whileWarm(acquire, readUp, Math.min(READ_UP, (this.#options.cacheLifetime ?? Number.POSITIVE_INFINITY) / 3));
    try {
      const writer = await TransactionalWriter.open(this.#kafka, id, Object.values(this.#topics));
      const close = async () => {
        await Promise.all([writer[Symbol.asyncDispose](), lease[Symbol.asyncDispose]()]);
      };
      return { lease, writer, close };
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
  }

  #groupOf(role: string): string {
    return `${this.#settings.topicPrefix}namesake-${role}`;
  }

  async #append(batch: Batch, cache: TopicCache, writer: TransactionalWriter): Promise<ChangeEvent[]> {
    const before = cache.store.sequence;
    const entries = numbered(batch, before);
    const { notices, changes, last, sequences } = entries;
    const source = ldapUrl(batch.namingContext);
    const time = new Date().toISOString();
    const states = [...batch.identities].map(([guid, identity]) =>
      toStateMessage(guid, identity, sequences.get(guid) ?? before, batch.origins?.get(guid)),
    );
    const positions: { key: string; value: string }[] = [];
    if (last > before) positions.push({ key: SEQUENCE_KEY, value: JSON.stringify({ sequence: last }) });
    if (batch.position !== undefined) {
      positions.push({ key: batch.position.namingContext, value: JSON.stringify({ position: batch.position, time }) });
    }
    const written = await writer.commit([
      { topic: this.#topics.change, messages: [...notices, ...changes].map((event) => toMessage(event, source)) },
      { topic: this.#topics.state, messages: states },
      { topic: this.#topics.position, messages: positions },
    ]);
    try {
      cache.wrote({ batch, entries, time, positionRecord: positions.at(-1)?.value }, written);
    } catch (error) {
      // The log has it and the cache has not: nothing may be numbered from here on.
      throw writer.fail(error);
    }
    return [...changes];
  }
}
