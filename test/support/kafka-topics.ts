import type { Admin, ITopicConfig } from 'kafkajs';
import { until } from './chain-wait.ts';

/** Creates topics and waits until they can be used; the client library's own wait fails where the broker has not heard of them yet. */
export async function createTopics(admin: Admin, topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics, waitForLeaders: false });
  const names = topics.map(({ topic }) => topic);
  await until(`the topics ${names.join(', ')} have leaders`, async () => {
    const metadata = await admin.fetchTopicMetadata({ topics: names });
    return metadata.topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0));
  });
}
