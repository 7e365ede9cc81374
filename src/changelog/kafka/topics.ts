import kafkajs, { type Admin } from 'kafkajs';
import { LogError } from '../../../streams/change-log.ts';
import { TOPICS, type Topic } from '../../../streams/topics.ts';
import type { KafkaSettings } from './client.ts';

/**
 * Creates what is missing and refuses what is there with settings that would lose something: a compacted history, or a state
 * that forgets.
 *
 * @returns for how many milliseconds a compacted topic keeps the mark of a deletion, at least
 * @throws LogError that says which topic, what it has and what it needs
 */
export async function ensureTopics(admin: Admin, settings: KafkaSettings): Promise<{ deleteRetention: number }> {
  const names = new Map<string, Topic>(Object.values(TOPICS).map((topic) => [settings.topicPrefix + topic.name, topic]));
  const existing = new Set(await admin.listTopics());
  const missing = [...names].filter(([name]) => !existing.has(name));
  if (missing.length > 0) {
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map(([topic, wanted]) => ({
        topic,
        numPartitions: wanted.partitions ?? settings.partitions,
        replicationFactor: settings.replicationFactor,
        configEntries: Object.entries(configOf(wanted, settings)).map(([name, value]) => ({ name, value })),
      })),
    });
  }
  const problems: string[] = [];
  const deleteRetentions: number[] = [];
  const { topics: metadata } = await admin.fetchTopicMetadata({ topics: [...names.keys()] });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [...names.keys()].map((name) => ({
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name,
      configNames: ['cleanup.policy', 'delete.retention.ms'],
    })),
  });
  for (const [name, wanted] of names) {
    const config = resources.find((resource) => resource.resourceName === name)?.configEntries ?? [];
    const value = (key: string) => config.find((entry) => entry.configName === key)?.configValue ?? '';
    const policy = value('cleanup.policy');
    if (policy !== wanted.cleanup)
      problems.push(`topic ${name} has cleanup.policy=${policy} and needs ${wanted.cleanup} (${wanted.because})`);
    const partitions = metadata.find((topic) => topic.name === name)?.partitions.length ?? 0;
    if (wanted.partitions !== undefined && partitions !== wanted.partitions) {
      problems.push(`topic ${name} has ${partitions} partitions and needs ${wanted.partitions}`);
    }
    if (wanted.cleanup === 'compact') deleteRetentions.push(Number(value('delete.retention.ms')));
  }
  if (problems.length > 0) throw new LogError(`${problems.join('; ')}. Correct the topics, or choose another log.kafka.topicPrefix`);
  return { deleteRetention: Math.min(...deleteRetentions) };
}

function configOf(topic: Topic, settings: KafkaSettings): Record<string, string> {
  return topic.cleanup === 'compact'
    ? { 'cleanup.policy': 'compact', 'delete.retention.ms': String(topic.deleteRetention) }
    : { 'cleanup.policy': 'delete', 'retention.ms': String(settings.retention) };
}
