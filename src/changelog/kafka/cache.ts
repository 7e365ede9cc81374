import { rmSync } from 'node:fs';
import type { Admin, Kafka, KafkaMessage } from 'kafkajs';
import { z } from 'zod';
import { Identity } from '../../../streams/identity.ts';
import { Position } from '../../../streams/position.ts';
import { Link, Repair } from '../../../streams/repair.ts';
import { TOPICS } from '../../../streams/topics.ts';
import { StateStore } from '../state-store.ts';
import { fromMessage } from './envelope.ts';
import { offsetsOf, type Range, readRanges } from './tail.ts';

/** A record of the position topic. */
export const PositionRecord = z.looseObject({ position: Position, time: z.iso.datetime() });

/** What is known falls into two parts, each written by others and read up by itself. */
const PARTS = {
  identities: { topics: ['change', 'state', 'position'], tables: ['identity', 'released', 'position'], meta: ['anchor', 'last-event'] },
  repairs: { topics: ['repair', 'link'], tables: ['repair', 'link'], meta: [] },
} as const satisfies Record<string, { topics: (keyof typeof TOPICS)[]; tables: string[]; meta: string[] }>;
export type Part = keyof typeof PARTS;

const Checkpoint = z.object({
  /** Which topics on which cluster. */
  of: z.string(),
  time: z.number(),
  /** By topic and partition, the offset from which on nothing is known yet. */
  next: z.record(z.string(), z.string()),
});
type Checkpoint = z.infer<typeof Checkpoint>;

/** A record that has to be where it was if the topic is still the same one. */
const Anchor = z.object({ offset: z.string(), value: z.string() });

export interface CacheSettings {
  readonly topicPrefix: string;
  /** Milliseconds for which the topics keep the marks of deletions: a cache that is older has missed some. */
  readonly deleteRetention: number;
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

  constructor(file: string, kafka: Kafka, admin: Admin, settings: CacheSettings) {
    this.store = openCache(file, settings.onRebuild);
    this.#kafka = kafka;
    this.#admin = admin;
    this.#settings = settings;
    this.#topics = topicNames(settings.topicPrefix);
  }

  /** Reads what was committed since. Nobody may use that part meanwhile: it passes through older states again. @throws LogError */
  async catchUp(part: Part): Promise<void> {
    const of = `${(await this.#admin.describeCluster()).clusterId}/${this.#settings.topicPrefix}`;
    const offsets = await this.#offsets(part);
    const checkpoint = this.#usable(part, of, offsets);
    const ranges = offsets.map(({ topic, partition, low, high }): Range => {
      const next = checkpoint?.next[`${topic}/${partition}`];
      return { topic, partition, from: next === undefined ? low : BigInt(next), end: high };
    });
    if (checkpoint === undefined) this.#clear(part);
    if (ranges.some(({ from, end }) => from < end) && !(await this.#read(ranges))) {
      this.#settings.onRebuild('it belongs to topics that have been replaced');
      this.#clear('repairs');
      this.#clear(part);
      await this.#read(offsets.map(({ topic, partition, low, high }) => ({ topic, partition, from: low, end: high })));
    }
    this.#setCheckpoint(part, of, offsets);
  }

  /** Notes that everything up to the present end is known: true for the only writer of a part, between two of its writes. */
  async checkpoint(part: Part): Promise<void> {
    const stored = this.#checkpoint(part);
    if (stored !== undefined) this.#setCheckpoint(part, stored.of, await this.#offsets(part));
  }

  /** The last record of the position topic that is known, by which the topic is recognized. */
  setAnchor(offset: string, value: string): void {
    this.store.setMeta('anchor', JSON.stringify({ offset, value }));
  }

  /** @returns false when the topics turn out to be others than those that the cache was made of */
  async #read(ranges: readonly Range[]): Promise<boolean> {
    const stored = this.store.meta('anchor');
    const anchor = stored === undefined ? undefined : Anchor.parse(JSON.parse(stored));
    let recognized = anchor === undefined;
    const from = ranges.map((range) =>
      anchor !== undefined && range.topic === this.#topics.position ? { ...range, from: BigInt(anchor.offset) } : range,
    );
    await readRanges(this.#kafka, this.#admin, this.#settings.topicPrefix, from, (topic, partition, messages) => {
      if (topic === this.#topics.position && !recognized) {
        const [first] = messages;
        recognized = first?.offset === anchor?.offset && first?.value?.toString() === anchor?.value;
        if (!recognized) return;
      }
      this.store.transaction(() => {
        for (const message of messages) this.#apply(topic, partition, message);
      });
    });
    return recognized;
  }

  #apply(topic: string, partition: number, message: KafkaMessage): void {
    try {
      this.#applyValid(topic, message);
    } catch (error) {
      this.#settings.onSetAside(`${topic}/${partition}@${message.offset}`, error instanceof Error ? error.message : String(error));
    }
  }

  #applyValid(topic: string, message: KafkaMessage): void {
    const { store } = this;
    const key = message.key?.toString() ?? '';
    const value: unknown = message.value === null ? null : JSON.parse(message.value.toString());
    switch (topic) {
      case this.#topics.change:
        store.putEvent(fromMessage(message));
        return;
      case this.#topics.state:
        store.putIdentity(key, value === null ? null : Identity.parse(value));
        return;
      case this.#topics.position: {
        const { position, time } = PositionRecord.parse(value);
        store.putPosition(position, time);
        this.setAnchor(message.offset, message.value?.toString() ?? '');
        return;
      }
      case this.#topics.repair:
        store.putRepair(Repair.parse(value));
        return;
      case this.#topics.link:
        store.putLink(Link.parse(value));
        return;
    }
  }

  #offsets(part: Part): ReturnType<typeof offsetsOf> {
    return offsetsOf(
      this.#admin,
      PARTS[part].topics.map((topic) => this.#topics[topic]),
    );
  }

  #checkpoint(part: Part): Checkpoint | undefined {
    const stored = this.store.meta(`checkpoint-${part}`);
    return stored === undefined ? undefined : Checkpoint.parse(JSON.parse(stored));
  }

  #setCheckpoint(part: Part, of: string, offsets: Awaited<ReturnType<typeof offsetsOf>>): void {
    const next = Object.fromEntries(offsets.map(({ topic, partition, high }) => [`${topic}/${partition}`, String(high)]));
    this.store.setMeta(`checkpoint-${part}`, JSON.stringify({ of, time: Date.now(), next } satisfies Checkpoint));
  }

  #usable(part: Part, of: string, offsets: Awaited<ReturnType<typeof offsetsOf>>): Checkpoint | undefined {
    const stored = this.#checkpoint(part);
    if (stored === undefined) return undefined;
    const unusable = (why: string) => {
      this.#settings.onRebuild(why);
      return undefined;
    };
    if (stored.of !== of) return unusable('it belongs to another cluster or topic prefix');
    if (Date.now() - stored.time >= this.#settings.deleteRetention)
      return unusable('it is older than the marks of deletions in the topics');
    for (const { topic, partition, low, high } of offsets) {
      const next = stored.next[`${topic}/${partition}`];
      if (next === undefined || BigInt(next) > high || BigInt(next) < low) return unusable(`it does not fit to what ${topic} holds`);
    }
    return stored;
  }

  #clear(part: Part): void {
    const { tables, meta } = PARTS[part];
    this.store.transaction(() => {
      for (const table of tables) this.store.database.exec(`DELETE FROM ${table}`);
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
  };
}

/** A cache that cannot be read, whatever the reason, is made anew. */
function openCache(file: string, onRebuild: (why: string) => void): StateStore {
  try {
    return new StateStore(file, { durable: false });
  } catch (error) {
    onRebuild(error instanceof Error ? error.message : String(error));
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
    return new StateStore(file, { durable: false });
  }
}
