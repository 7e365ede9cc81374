import { join } from 'node:path';
import type { Bed } from '../../infra/testbed/bed.ts';
import { type KafkaSettings, kafkaClient } from '../../src/changelog/kafka/client.ts';
import { KafkaLog } from '../../src/changelog/kafka/kafka-log.ts';
import { TransactionalWriter } from '../../src/changelog/kafka/transactions.ts';
import type { Place } from './engine.ts';

export interface KafkaPlace extends Place {
  readonly settings: KafkaSettings;
  open(instance?: string, more?: Partial<KafkaSettings>): KafkaLog;
  /** Of caches that are opened from now on. */
  cacheLifetime: number | undefined;
  cacheFile(instance?: string): string;
  /** What was set aside, and why caches were rebuilt. */
  readonly setAside: { where: string; why: string }[];
  readonly rebuilds: string[];
}

let places = 0;

/** Topics of a test's own on the bed's broker. */
export function kafkaPlace(bed: Bed, more: Partial<KafkaSettings> = {}): KafkaPlace {
  const topicPrefix = `place${++places}.`;
  const settings: KafkaSettings = {
    brokers: bed.broker.bootstrap,
    topicPrefix,
    retention: -1,
    partitions: 1,
    replicationFactor: -1,
    ...more,
  };
  const setAside: { where: string; why: string }[] = [];
  const rebuilds: string[] = [];
  const cacheFile = (instance = 'main') => join(bed.path, 'caches', topicPrefix, instance, 'cache.db');
  const place: KafkaPlace = {
    settings,
    setAside,
    rebuilds,
    cacheFile,
    cacheLifetime: undefined,
    open: (instance, changed = {}) =>
      new KafkaLog(
        { ...settings, ...changed },
        {
          cacheFile: cacheFile(instance),
          ...(place.cacheLifetime !== undefined && { cacheLifetime: place.cacheLifetime }),
          onSetAside: (where, why) => setAside.push({ where, why }),
          onRebuild: (why) => rebuilds.push(why),
        },
      ),
    look: () =>
      new KafkaLog(settings, {
        cacheFile: '',
        onSetAside: (where, why) => setAside.push({ where, why }),
        onRebuild: (why) => rebuilds.push(why),
      }),
    program: (work) => ({ engine: 'kafka', settings, cacheFile: cacheFile('appender'), ...work }),
    takeOver: () => TransactionalWriter.open(kafkaClient(settings), `${topicPrefix}namesake-listener`, []),
  };
  return place;
}
