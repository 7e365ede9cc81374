import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs, { type Admin } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { TOPICS, type Topic } from '../../../streams/topics.ts';
import type { KafkaSettings } from './client.ts';

/** Milliseconds after which a topic that was just created, here or by another instance, must be known everywhere. */
const KNOWN_WITHIN = 10_000;
const POLL = 50;
const FOREVER = -1;
/**
 * Milliseconds for which a compacted topic has to keep the mark of a deletion, Kafka's own default. A cache that is older is read
 * anew, and while repairs are under way that would make accounts look deleted for a moment.
 */
const MARKS_KEPT = 24 * 3_600_000;
const NOT_YET_KNOWN = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'];

/**
 * Creates what is missing and refuses what is there with settings that would lose something: a compacted history, or a state
 * that forgets.
 *
 * @param create false for whoever only looks: then missing topics are refused too
 * @returns for how many milliseconds a compacted topic keeps the mark of a deletion, at least
 * @throws LogError that says which topic, what it has and what it needs
 */
export async function ensureTopics(admin: Admin, settings: KafkaSettings, create: boolean): Promise<{ deleteRetention: number }> {
  const names = new Map<string, Topic>(Object.values(TOPICS).map((topic) => [settings.topicPrefix + topic.name, topic]));
  const existing = new Set(await admin.listTopics());
  const missing = [...names].filter(([name]) => !existing.has(name));
  if (missing.length > 0 && !create) {
    throw new LogError(`there is no ${missing.map(([name]) => name).join(', ')}: the first listener or repairer creates it`);
  }
  if (missing.length > 0) {
    await admin.createTopics({
      waitForLeaders: false,
      topics: missing.map(([topic, wanted]) => ({
        topic,
        numPartitions: wanted.partitions ?? settings.partitions,
        replicationFactor: settings.replicationFactor,
        configEntries: Object.entries(configOf(wanted, settings)).map(([name, value]) => ({ name, value })),
      })),
    });
  }
  const described = await describe(admin, [...names.keys()]);
  const problems: string[] = [];
  const deleteRetentions: number[] = [];
  for (const [name, wanted] of names) {
    const { partitions, value } = described(name);
    const policy = value('cleanup.policy');
    if (policy !== wanted.cleanup)
      problems.push(`topic ${name} has cleanup.policy=${policy} and needs ${wanted.cleanup} (${wanted.because})`);
    if (wanted.partitions !== undefined && partitions !== wanted.partitions) {
      problems.push(`topic ${name} has ${partitions} partitions and needs ${wanted.partitions}`);
    }
    const kept = Number(value('retention.ms'));
    const needed = retentionOf(wanted, settings);
    if (wanted.cleanup === 'delete' && isShorter(kept, needed)) {
      const wish = needed === FOREVER ? `${FOREVER}, that is forever` : `at least ${needed}`;
      problems.push(`topic ${name} has retention.ms=${kept} and needs ${wish}`);
    }
    // The broker's default for it can drop what retention.ms keeps.
    const bytes = Number(value('retention.bytes'));
    if (wanted.cleanup === 'delete' && bytes !== FOREVER) {
      problems.push(`topic ${name} has retention.bytes=${bytes} and needs ${FOREVER}, that is without a limit`);
    }
    const marksKept = Number(value('delete.retention.ms'));
    if (wanted.cleanup === 'compact') {
      deleteRetentions.push(marksKept);
      if (marksKept < MARKS_KEPT) problems.push(`topic ${name} has delete.retention.ms=${marksKept} and needs at least ${MARKS_KEPT}`);
    }
  }
  if (problems.length > 0) throw new LogError(`${problems.join('; ')}. Correct the topics, or choose another log.kafka.topicPrefix`);
  return { deleteRetention: Math.min(...deleteRetentions) };
}

type Described = (name: string) => { partitions: number; value: (key: string) => string };

async function describe(admin: Admin, names: readonly string[]): Promise<Described> {
  const resources = names.map((name) => ({
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name,
    configNames: ['cleanup.policy', 'delete.retention.ms', 'retention.bytes', 'retention.ms'],
  }));
  for (const deadline = Date.now() + KNOWN_WITHIN; ; await sleep(POLL)) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
      const configs = await admin.describeConfigs({ includeSynonyms: false, resources });
      const known = names.every((name) => (topics.find((topic) => topic.name === name)?.partitions.length ?? 0) > 0);
      if (!known && Date.now() < deadline) continue;
      return (name) => {
        const entries = configs.resources.find((resource) => resource.resourceName === name)?.configEntries ?? [];
        return {
          partitions: topics.find((topic) => topic.name === name)?.partitions.length ?? 0,
          value: (key) => entries.find((entry) => entry.configName === key)?.configValue ?? '',
        };
      };
    } catch (error) {
      const notYet = error instanceof Error && 'type' in error && NOT_YET_KNOWN.includes(String(error.type));
      if (!notYet || Date.now() > deadline) throw error;
    }
  }
}

function configOf(topic: Topic, settings: KafkaSettings): Record<string, string> {
  return topic.cleanup === 'compact'
    ? { 'cleanup.policy': 'compact', 'delete.retention.ms': String(topic.deleteRetention) }
    : { 'cleanup.policy': 'delete', 'retention.bytes': String(FOREVER), 'retention.ms': String(retentionOf(topic, settings)) };
}

/** The history of repairs is their journal too. */
function retentionOf(topic: Topic, settings: KafkaSettings): number {
  return topic === TOPICS.repair ? FOREVER : settings.retention;
}

function isShorter(kept: number, needed: number): boolean {
  return kept !== FOREVER && (needed === FOREVER || kept < needed);
}
