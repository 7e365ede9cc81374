import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { Admin, Kafka, KafkaMessage } from 'kafkajs';
import { z } from 'zod';
import { type Batch, LogError } from '../../../streams/change-log.ts';
import type { Origins } from '../../../streams/origin.ts';
import { Position } from '../../../streams/position.ts';
import { Link, Repair } from '../../../streams/repair.ts';
import { TOPICS } from '../../../streams/topics.ts';
import type { Entries } from '../events.ts';
import { StateStore } from '../state-store.ts';
import { TRANSACTION_TIMEOUT } from './client.ts';
import { fromMessage, fromStateMessage, originsOf } from './envelope.ts';
import { putRepairMessage } from './repair-requests.ts';
import { fromRequestMessage, isRequest } from './request-record.ts';
import { RequestTail, TAIL_KEY } from './request-tail.ts';
import { askedOffsets, type Offsets, offsetsOf, offsetsOnce, type Range, readRanges } from './tail.ts';
import type { Written } from './transactions.ts';

/** A record of the position topic: where a listener stands. Key: naming context. */
const PositionRecord = z.looseObject({ position: Position, time: z.iso.datetime() });
/** Key of the record of the position topic that tells how many events there were, also when they have left their topic. */
export const SEQUENCE_KEY = 'sequence';
const SequenceRecord = z.looseObject({ sequence: z.int().positive() });

/** What is known falls into two parts, each written by others and read up by itself. */
const PARTS = {
  identities: {
    topics: ['change', 'state', 'position'],
    tables: ['identity', 'released', 'position', 'request'],
    meta: ['anchor', 'last-event', 'last-change', 'sequence', TAIL_KEY],
  },
  repairs: { topics: ['repair', 'link'], tables: ['repair', 'link'], meta: [] },
  requests: { topics: ['request'], tables: ['repair_request', 'repair_answer'], meta: [] },
} as const satisfies Record<string, { topics: (keyof typeof TOPICS)[]; tables: string[]; meta: string[] }>;
export type Part = keyof typeof PARTS;
const PART_NAMES: readonly Part[] = ['identities', 'repairs', 'requests'];

const Checkpoint = z.object({
  /** Which topics on which cluster. */
  of: z.string(),
  time: z.number(),
  /** By topic and partition, the offset from which on nothing is known yet. */
  next: z.record(z.string(), z.string()),
});
type Checkpoint = z.infer<typeof Checkpoint>;

/** From the last message of a transaction to what follows its mark. */
const AFTER_MARK = 2n;
/** Milliseconds for which an unfinished transaction can hide what others wrote after it: then the brokers abort it. */
const HIDDEN_FOR = TRANSACTION_TIMEOUT + 15_000;
/** Milliseconds in which brokers mark a transaction that they have accepted. */
const MARKED_WITHIN = 3_000;
/** Milliseconds by which a clock may be set back without anything being read anew. */
const CLOCKS_DIFFER = 60_000;

/** A batch as the cache takes it over once it is written. */
export interface WrittenBatch {
  readonly batch: Batch;
  readonly entries: Entries;
  readonly time: string;
  /** The last record of the position topic, when the batch has one. */
  readonly positionRecord: string | undefined;
}

/** A record that has to be where it was if the topic is still the same one. */
const Anchor = z.object({ offset: z.string(), digest: z.string() });

export interface CacheSettings {
  readonly topicPrefix: string;
  /** Milliseconds, no more than the topics keep the marks of deletions: a cache that is older has missed some. */
  readonly lifetime: number;
  /** Told of records that cannot be understood; they are passed over (SPEC rule 9). */
  readonly onSetAside: (where: string, why: string) => void;
  readonly onRebuild: (why: string) => void;
}

/**
 * The state store as a cache of the topics: it stands at an offset of each partition and reads on from there. Deleting its file
 * costs the time to read the topics again and nothing else.
 */
export class TopicCache {
  readonly store: StateStore;
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #settings: CacheSettings;
  readonly #topics: Record<keyof typeof TOPICS, string>;
  readonly #requests: RequestTail;
  /** Whether this process is the only writer of identities: what is known of them is not read again then. */
  isWriting = false;
  /** Organizations whose repairs are recorded here: what their records say is known before it is read. */
  readonly #recording = new Set<string>();

  constructor(file: string, kafka: Kafka, admin: Admin, settings: CacheSettings) {
    this.store = openCache(file, settings.onRebuild);
    this.#requests = new RequestTail(this.store);
    this.#kafka = kafka;
    this.#admin = admin;
    this.#settings = settings;
    this.#topics = topicNames(settings.topicPrefix);
  }

  /** Reads what was committed since. @throws LogError */
  async catchUp(part: Part): Promise<void> {
    const of = `${(await this.#admin.describeCluster()).clusterId}/${this.#settings.topicPrefix}`;
    const offsets = await this.#offsets(part);
    const checkpoint = this.#usable(part, of, offsets);
    const whole = offsets.map(({ topic, partition, low, high }): Range => ({ topic, partition, from: low, end: high }));
    const news = whole.map((range) => {
      const next = checkpoint?.next[`${range.topic}/${range.partition}`];
      return next === undefined ? range : { ...range, from: BigInt(next) };
    });
    // Until they are read again identities look gone, also to repairers at work in this process. With topics as they have to be that
    // takes an instance that has read nothing up for a day; otherwise it happens at the start, when nobody is at work yet.
    if (checkpoint === undefined) this.#clear(part);
    if (news.some(({ from, end }) => from < end) && !(await this.#read(news))) {
      // Whoever writes the identities knows better than what can be read back of them at this moment.
      if (this.isWriting) throw new LogError('the position topic cannot be recognized: was it replaced while a listener was at work?');
      this.#settings.onRebuild('it belongs to topics that have been replaced');
      for (const each of PART_NAMES) this.#clear(each);
      await this.#read(whole);
    }
    const next = Object.fromEntries(offsets.map(({ topic, partition, high }) => [`${topic}/${partition}`, String(high)]));
    // What is recorded here in parallel may fail after it was passed over above.
    if (part !== 'repairs' || this.#recording.size === 0) this.#setCheckpoint(part, { of, time: Date.now(), next });
  }

  /** Whether anything was committed to the topics of this part since it was read up. */
  async isBehind(part: Part): Promise<boolean> {
    const next = this.#checkpoint(part)?.next;
    if (next === undefined) return true;
    const topics = PARTS[part].topics.map((topic) => this.#topics[topic]);
    return (await this.#ends(topics)).some(({ topic, partition, high }) => next[`${topic}/${partition}`] !== String(high));
  }

  /** Waits until what was written before these places can be read: a transaction of somebody else may still hide it. @throws LogError */
  async readableUpTo(places: readonly Written[]): Promise<void> {
    const topics = [...new Set(places.map(({ topic }) => topic))];
    const { inTime } = await offsetsOnce(this.#kafka, topics, HIDDEN_FOR, (ends) => {
      const isHidden = ({ topic, partition, last }: Written) =>
        ends.some((end) => end.topic === topic && end.partition === partition && end.high <= last);
      return !places.some(isHidden);
    });
    if (!inTime) throw new LogError(`a transaction of somebody else hides the end of ${topics.join(', ')}`);
  }

  /** From now on the repairs of this organization are recorded here, and reading up leaves them alone. */
  beginRecording(organization: string): void {
    this.#recording.add(organization);
  }

  endRecording(organization: string): void {
    this.#recording.delete(organization);
  }

  /** Takes over what the only writer of identities has just written. */
  wrote({ batch, entries, time, positionRecord }: WrittenBatch, written: readonly Written[]): void {
    this.store.transaction(() => {
      this.store.putBatch(batch, entries, time);
      const end = written.find(({ topic }) => topic === this.#topics.position);
      if (end !== undefined) this.#requests.wrote(end);
      if (end !== undefined && positionRecord !== undefined) this.#setAnchor(String(end.last), positionRecord);
      const stored = this.#checkpoint('identities');
      if (stored === undefined) return;
      const next = Object.fromEntries(written.map(({ topic, partition, last }) => [`${topic}/${partition}`, String(last + AFTER_MARK)]));
      this.#setCheckpoint('identities', { ...stored, time: Date.now(), next: { ...stored.next, ...next } });
    });
  }

  /**
   * Takes over the requests that have come in while this process is the only writer of identities. As long as there is none that costs
   * the question for one offset.
   *
   * @param exclusively runs what must not happen while something is written here
   */
  async catchUpRequests(exclusively: (body: () => Promise<void>) => Promise<void>): Promise<void> {
    const { position } = this.#topics;
    const ends = await this.#ends([position]);
    const isBehind = () => ends.some(({ high }) => this.#requests.isBehind(high));
    if (!isBehind()) return;
    // Perhaps that was only what is just being written here.
    await exclusively(async () => (isBehind() ? this.#readRequests() : undefined));
  }

  /** What else stands between the requests is known. */
  async #readRequests(): Promise<void> {
    const [ends] = await offsetsOf(this.#kafka, [this.#topics.position]);
    if (ends === undefined) return;
    const { topic, partition, low, high } = ends;
    const { next } = this.#requests;
    const range: Range = { topic, partition, from: next < low ? low : next, end: high };
    await readRanges(this.#kafka, this.#admin, this.#settings.topicPrefix, [range], (_topic, _partition, messages) =>
      this.store.transaction(() => {
        for (const message of messages.filter(isRequest)) this.#apply(topic, partition, message);
      }),
    );
    this.#requests.read(next, high);
  }

  /** @returns false when the topics turn out to be others than those that the cache was made of */
  async #read(ranges: readonly Range[]): Promise<boolean> {
    const stored = this.store.meta('anchor');
    const anchor = stored === undefined ? undefined : Anchor.parse(JSON.parse(stored));
    let recognized = anchor === undefined;
    const from = anchor === undefined ? ranges : await this.#withAnchor(ranges, BigInt(anchor.offset));
    await readRanges(this.#kafka, this.#admin, this.#settings.topicPrefix, from, (topic, partition, messages) => {
      if (topic === this.#topics.position && !recognized) {
        const [first] = messages;
        recognized = first?.offset === anchor?.offset && digestOf(first?.value?.toString()) === anchor?.digest;
        if (!recognized) return;
      }
      const wanted = ranges.some((range) => range.topic === topic) ? messages : [];
      this.store.transaction(() => {
        for (const message of wanted) this.#apply(topic, partition, message);
      });
    });
    const requests = from.find(({ topic }) => topic === this.#topics.position);
    const isRead = recognized && ranges.some(({ topic }) => topic === this.#topics.position);
    if (requests !== undefined && isRead) this.#requests.read(requests.from, requests.end);
    return recognized;
  }

  /** The position topic is read from its last known record on, whatever else is read. */
  async #withAnchor(ranges: readonly Range[], offset: bigint): Promise<Range[]> {
    const others = ranges.filter(({ topic }) => topic !== this.#topics.position);
    // Until the brokers have marked the transaction that the record came with, it is not there for readers.
    const isMarked = (ends: readonly Offsets[]) => ends.every(({ high }) => high > offset);
    const { offsets } = await offsetsOnce(this.#kafka, [this.#topics.position], MARKED_WITHIN, isMarked);
    return [...others, ...offsets.map(({ topic, partition, high }): Range => ({ topic, partition, from: offset, end: high }))];
  }

  #apply(topic: string, partition: number, message: KafkaMessage): void {
    const setAside = (error: unknown) =>
      this.#settings.onSetAside(`${topic}/${partition}@${message.offset}`, error instanceof Error ? error.message : String(error));
    try {
      this.#applyValid(topic, message, setAside);
    } catch (error) {
      setAside(error);
    }
  }

  #applyValid(topic: string, message: KafkaMessage, setAside: (error: unknown) => void): void {
    const { store } = this;
    switch (topic) {
      case this.#topics.change:
        store.putEvent(fromMessage(message));
        return;
      case this.#topics.state: {
        const { objectGUID, identity, sequence } = fromStateMessage(message);
        store.putIdentity(objectGUID, identity, sequence, originsUnlessForeign(message, setAside));
        return;
      }
      case this.#topics.position: {
        if (isRequest(message)) {
          store.putRequest(fromRequestMessage(message));
          return;
        }
        if (message.key?.toString() === SEQUENCE_KEY) {
          store.putSequence(SequenceRecord.parse(contentOf(message)).sequence);
        } else {
          const { position, time } = PositionRecord.parse(contentOf(message));
          store.putPosition(position, time);
        }
        this.#setAnchor(message.offset, message.value?.toString());
        return;
      }
      case this.#topics.repair: {
        const repair = Repair.parse(contentOf(message));
        if (!this.#recording.has(repair.organization)) store.putRepair(repair);
        return;
      }
      case this.#topics.link: {
        const link = Link.parse(contentOf(message));
        if (!this.#recording.has(link.organization)) store.putLink(link);
        return;
      }
      case this.#topics.request:
        putRepairMessage(store, message);
        return;
    }
  }

  /** The last record of the position topic that is known, by which the topics are recognized. */
  #setAnchor(offset: string, value: string | undefined): void {
    this.store.setMeta('anchor', JSON.stringify({ offset, digest: digestOf(value) }));
  }

  /** Behind what is known the ends can be for a moment only, until the brokers have marked the last transaction. */
  async #offsets(part: Part): Promise<readonly Offsets[]> {
    const topics = PARTS[part].topics.map((topic) => this.#topics[topic]);
    const next = this.#checkpoint(part)?.next ?? {};
    const isMarked = (ends: readonly Offsets[]) =>
      ends.every(({ topic, partition, high }) => high >= BigInt(next[`${topic}/${partition}`] ?? 0));
    return (await offsetsOnce(this.#kafka, topics, MARKED_WITHIN, isMarked)).offsets;
  }

  async #ends(topics: readonly string[]): Promise<readonly Offsets[]> {
    return await askedOffsets(this.#admin, topics).catch(() => offsetsOf(this.#kafka, topics));
  }

  #checkpoint(part: Part): Checkpoint | undefined {
    const stored = this.store.meta(`checkpoint-${part}`);
    return stored === undefined ? undefined : Checkpoint.parse(JSON.parse(stored));
  }

  #setCheckpoint(part: Part, checkpoint: Checkpoint): void {
    this.store.setMeta(`checkpoint-${part}`, JSON.stringify(checkpoint));
  }

  #usable(part: Part, of: string, offsets: readonly Offsets[]): Checkpoint | undefined {
    const stored = this.#checkpoint(part);
    if (stored === undefined) return undefined;
    const unusable = (why: string) => {
      this.#settings.onRebuild(why);
      return undefined;
    };
    if (stored.of !== of) return unusable('it belongs to another cluster or topic prefix');
    if (Date.now() - stored.time >= this.#settings.lifetime) return unusable('it is older than the marks of deletions in the topics');
    if (stored.time > Date.now() + CLOCKS_DIFFER) return unusable('it is of a time to come: the clock was wrong, then or now');
    for (const { topic, partition, low, high } of offsets) {
      const next = BigInt(stored.next[`${topic}/${partition}`] ?? low);
      if (next > high || next < low) return unusable(`it does not fit to what ${topic} holds`);
    }
    return stored;
  }

  #clear(part: Part): void {
    const { tables, meta } = PARTS[part];
    this.store.transaction(() => {
      const own = [...this.#recording];
      const others = part === 'repairs' ? `WHERE organization NOT IN (${own.map(() => '?').join()})` : '';
      for (const table of tables) this.store.database.prepare(`DELETE FROM ${table} ${others}`).run(...(part === 'repairs' ? own : []));
      for (const key of [`checkpoint-${part}`, ...meta]) this.store.sql('DELETE FROM meta WHERE key = ?').run(key);
    });
  }
}

export function topicNames(prefix: string): Record<keyof typeof TOPICS, string> {
  const name = (topic: { name: string }) => prefix + topic.name;
  return {
    change: name(TOPICS.change),
    state: name(TOPICS.state),
    position: name(TOPICS.position),
    repair: name(TOPICS.repair),
    link: name(TOPICS.link),
    request: name(TOPICS.request),
  };
}

/** The identity counts, whatever stands beside it. */
function originsUnlessForeign(message: KafkaMessage, setAside: (error: unknown) => void): Origins {
  try {
    return originsOf(message);
  } catch (error) {
    setAside(error);
    return {};
  }
}

/** Tells two records apart without a second copy of the directory's cookie. */
function digestOf(text = ''): string {
  return createHash('sha256').update(text).digest('base64');
}

function contentOf(message: KafkaMessage): unknown {
  return JSON.parse(message.value?.toString() ?? 'null');
}

/** A cache that cannot be read, whatever the reason, is made anew. */
function openCache(file: string, onRebuild: (why: string) => void): StateStore {
  let store: StateStore | undefined;
  try {
    store = new StateStore(file, { durable: false });
    store.check();
    return store;
  } catch (error) {
    store?.[Symbol.dispose]();
    onRebuild(error instanceof Error ? error.message : String(error));
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
    return new StateStore(file, { durable: false });
  }
}
