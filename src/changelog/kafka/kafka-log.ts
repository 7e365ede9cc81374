import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Admin, Kafka } from 'kafkajs';
import type { ChangeEvent } from '../../../streams/change.ts';
import { type Batch, type ChangeLog, type ListenerLog, LogError, type LogStatus, type RepairerLog } from '../../../streams/change-log.ts';
import { FileLease } from '../file-lease.ts';
import { mutex } from '../mutex.ts';
import { numbered } from '../state-store.ts';
import { TopicCache, topicNames } from './cache.ts';
import { asLogError, type KafkaSettings, kafkaClient } from './client.ts';
import { ldapUrl, parseEvent, toMessage } from './envelope.ts';
import { Journal } from './journal.ts';
import { GroupLease } from './lease.ts';
import { subscribeGroup } from './subscription.ts';
import { offsetsOf, readRanges } from './tail.ts';
import { ensureTopics } from './topics.ts';
import { TransactionalWriter } from './transactions.ts';
export interface KafkaLogOptions {
  /** ':memory:' for a look that leaves nothing behind. */
  readonly cacheFile: string;
  readonly onSetAside: (where: string, why: string) => void;
  readonly onRebuild: (why: string) => void;
}

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
  /** Who works here: whoever writes a part makes it known, and nothing needs to be read up. */
  #listening = false;
  #repairing = 0;

  constructor(settings: KafkaSettings, options: KafkaLogOptions) {
    this.name = `kafka ${settings.brokers.join(',')}${settings.topicPrefix === '' ? '' : ` (${settings.topicPrefix}*)`}`;
    this.#settings = settings;
    this.#options = options;
    this.#kafka = kafkaClient(settings);
    this.#admin = this.#kafka.admin();
    this.#topics = topicNames(settings.topicPrefix);
  }

  async openListener(signal: AbortSignal): Promise<ListenerLog> {
    const { cache } = await this.#open();
    const { lease, writer, close } = await this.#becomeWriter('listener', this.#topics.position, signal);
    try {
      await this.#exclusive(() => cache.catchUp('identities'));
      this.#listening = true;
    } catch (error) {
      await close();
      throw asLogError(this.name, error);
    }
    const { store } = cache;
    return {
      lost: lease.lost,
      position: (namingContext) => store.position(namingContext),
      count: () => store.count('identity'),
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      formerHolder: (domain, name) => store.formerHolder(domain, name),
      append: (batch) => this.#exclusive(() => this.#append(batch, cache, writer)),
      [Symbol.asyncDispose]: async () => {
        await this.#exclusive(() => cache.checkpoint('identities')).catch(() => {});
        this.#listening = false;
        await close();
      },
    };
  }

  async openRepairer(organization: string, signal: AbortSignal): Promise<RepairerLog> {
    const { cache } = await this.#open();
    const role = `repairer-${organization}`;
    const { lease, writer, close } = await this.#becomeWriter(role, this.#topics.repair, signal);
    const refresh = () =>
      this.#exclusive(async () => {
        if (!this.#listening) await cache.catchUp('identities');
      });
    try {
      await this.#exclusive(async () => {
        if (this.#repairing === 0) await cache.catchUp('repairs');
        this.#repairing++;
      });
    } catch (error) {
      await close();
      throw asLogError(this.name, error);
    }
    const { store } = cache;
    const journal = new Journal(writer, store, this.#topics);
    return {
      lost: lease.lost,
      changes: subscribeGroup(this.#kafka, this.#groupOf(role), this.#topics.change, this.#options.onSetAside),
      get baselined() {
        return store.positions().length > 0;
      },
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      get knownSequence() {
        return store.sequence;
      },
      refresh: () => refresh().catch((error: unknown) => Promise.reject(asLogError(this.name, error))),
      link: (objectGUID) => store.link(organization, objectGUID),
      linkOfRecord: (systemuserid) => store.linkOfRecord(organization, systemuserid),
      repair: (systemuserid) => store.repair(organization, systemuserid),
      openRepairs: () => store.openRepairs(organization),
      record: (entries) => journal.record(entries),
      [Symbol.asyncDispose]: async () => {
        this.#repairing--;
        await close();
      },
    };
  }

  async replay(onEvents: (events: readonly ChangeEvent[]) => void | Promise<void>): Promise<void> {
    await this.#open();
    const offsets = await offsetsOf(this.#admin, [this.#topics.change]);
    const ranges = offsets.map(({ topic, partition, low, high }) => ({ topic, partition, from: low, end: high }));
    await readRanges(this.#kafka, this.#admin, this.#settings.topicPrefix, ranges, (topic, partition, messages) =>
      onEvents(messages.flatMap((message) => parseEvent(topic, partition, message, this.#options.onSetAside) ?? [])),
    ).catch((error: unknown) => Promise.reject(asLogError(this.name, error)));
  }

  async status(): Promise<LogStatus> {
    const { cache } = await this.#open();
    const { store } = cache;
    await this.#exclusive(async () => {
      await cache.catchUp('identities');
      await cache.catchUp('repairs');
    }).catch((error: unknown) => Promise.reject(asLogError(this.name, error)));
    return {
      positions: store.positions(),
      sequence: store.sequence,
      identities: store.count('identity'),
      lastEvent: store.lastEvent,
      repairs: store.repairs(),
      links: store.count('link'),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    opened?.cache.store[Symbol.dispose]();
    opened?.lock?.[Symbol.dispose]();
    await this.#admin.disconnect().catch(() => {});
  }

  /** Connects and looks at the topics; once, or again after it failed. */
  #open(): Promise<{ cache: TopicCache; lock: FileLease | undefined }> {
    this.#opened ??= this.#connect().catch((error: unknown) => {
      this.#opened = undefined;
      throw asLogError(this.name, error);
    });
    return this.#opened;
  }

  async #connect(): Promise<{ cache: TopicCache; lock: FileLease | undefined }> {
    const { cacheFile, onSetAside, onRebuild } = this.#options;
    await this.#admin.connect();
    const { deleteRetention } = await ensureTopics(this.#admin, this.#settings);
    const inMemory = cacheFile === ':memory:';
    if (!inMemory) mkdirSync(dirname(cacheFile), { recursive: true });
    const lock = inMemory ? undefined : FileLease.tryAcquire(`${cacheFile}.lock`);
    if (!inMemory && lock === undefined) {
      throw new LogError(`${cacheFile} is in use by another process: give each instance a stateDirectory of its own`);
    }
    const { topicPrefix } = this.#settings;
    return { cache: new TopicCache(cacheFile, this.#kafka, this.#admin, { topicPrefix, deleteRetention, onSetAside, onRebuild }), lock };
  }

  /** Lease first, so that the others wait; then the fence, so that nobody who lost the lease can write; what is read after that holds. */
  async #becomeWriter(role: string, topic: string, signal: AbortSignal) {
    const id = this.#groupOf(role);
    const lease = await GroupLease.acquire(this.#kafka, `${id}-lease`, topic, signal);
    try {
      const writer = await TransactionalWriter.open(this.#kafka, id);
      const close = async () => {
        await writer[Symbol.asyncDispose]();
        await lease[Symbol.asyncDispose]();
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
    const { store } = cache;
    const events = numbered(batch.changes, store.sequence);
    const source = ldapUrl(batch.namingContext);
    const time = new Date().toISOString();
    const position = batch.position && { key: batch.position.namingContext, value: JSON.stringify({ position: batch.position, time }) };
    const states = [...batch.identities].map(([key, identity]) => ({ key, value: identity === null ? null : JSON.stringify(identity) }));
    const metadata = await writer.commit([
      { topic: this.#topics.change, messages: events.map((event) => toMessage(event, source)) },
      { topic: this.#topics.state, messages: states },
      { topic: this.#topics.position, messages: position === undefined ? [] : [position] },
    ]);
    store.transaction(() => {
      for (const event of events) store.putEvent(event);
      for (const [objectGUID, identity] of batch.identities) store.putIdentity(objectGUID, identity);
      if (batch.position !== undefined && position !== undefined) {
        store.putPosition(batch.position, time);
        const offset = metadata.find(({ topicName }) => topicName === this.#topics.position)?.baseOffset;
        if (offset !== undefined) cache.setAnchor(offset, position.value);
      }
    });
    return events;
  }
}
