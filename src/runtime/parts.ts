import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ChangeLog } from '../../streams/change-log.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import type { DirectorySource } from '../../streams/directory-source.ts';
import { KafkaLog } from '../changelog/kafka/kafka-log.ts';
import { SqliteLog } from '../changelog/sqlite/sqlite-log.ts';
import type { Configuration } from '../config/schema.ts';
import { type Authentication, basic, bearer } from '../customer-engagement/authentication.ts';
import { customerEngagement } from '../customer-engagement/client.ts';
import { ldapDirectorySource } from '../directory/source.ts';
import type { Logger } from './logger.ts';

/** The parts that the settings ask for; nothing is connected yet. */

export function directorySources({ directories }: Configuration, log: Logger): DirectorySource[] {
  return directories.map(({ urls, bindDn, password, passwordFile, caFile, allowClearText, deadline }) =>
    ldapDirectorySource({
      urls,
      bindDn,
      password: secret(password, passwordFile),
      caFile,
      allowClearText,
      deadline,
      warn: (message) => log.warn(message),
    }),
  );
}

/** @param look only for a look, which leaves no file behind */
export function changeLog(configuration: Configuration, log: Logger, { look = false } = {}): ChangeLog {
  const { stateDirectory } = configuration;
  const { kafka, sqlite } = configuration.log;
  if (kafka === undefined) return new SqliteLog(resolve(stateDirectory, sqlite?.file ?? 'namesake.db'), { create: !look });
  const { brokers, topicPrefix, tls, sasl, allowClearText, retention, partitions, replicationFactor } = kafka;
  return new KafkaLog(
    {
      brokers,
      topicPrefix,
      ...(tls && { tls: tls.caFile === undefined ? {} : { caFile: tls.caFile } }),
      ...(sasl && { sasl: { mechanism: sasl.mechanism, username: sasl.username, password: secret(sasl.password, sasl.passwordFile) } }),
      allowClearText,
      retention,
      partitions,
      replicationFactor,
      onClientLog: (level, message) => log.debug({ level }, `kafkajs: ${message}`),
    },
    {
      cacheFile: look ? ':memory:' : join(stateDirectory, 'cache.db'),
      onSetAside: (where, why) => log.warn({ where }, `set aside ${where}: ${why}`),
      onRebuild: (why) => log.info(`reading the topics again: the cache cannot be used, ${why}`),
    },
  );
}

/** @throws Error that names the organization whose settings cannot be used */
export function organizations(configuration: Configuration): CustomerEngagement[] {
  return configuration.organizations.map(({ name, url, apiVersion, caFile, allowClearText, deadline, auth, parkingAccounts }) => {
    const connections = parkingAccounts.length;
    try {
      return customerEngagement({ name, url, apiVersion, caFile, allowClearText, deadline, connections, auth: authentication(auth) });
    } catch (error) {
      throw new Error(`organization ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  });
}

function authentication(auth: Configuration['organizations'][number]['auth']): Authentication {
  switch (auth.method) {
    case 'bearer':
      return bearer(secret(auth.token, auth.tokenFile));
    case 'basic':
      return basic(auth.user, secret(auth.password, auth.passwordFile));
  }
}

/** Files end with a line break that is no part of the secret. Read at once: a round through the thread pool takes a millisecond of each request. */
function secret(value: string | undefined, file: string | undefined): () => string {
  return () => value ?? readFileSync(file ?? '', 'utf8').replace(/\r?\n$/, '');
}
