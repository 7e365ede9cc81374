import { join, resolve } from 'node:path';
import type { AccountDesk } from '../../streams/account-desk.ts';
import { type ChangeLog, LogError } from '../../streams/change-log.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import type { DirectorySource } from '../../streams/directory-source.ts';
import type { ReadingSettings } from '../../streams/listener/reading.ts';
import type { RepairerSettings } from '../../streams/repairer/repairer.ts';
import { isLocked } from '../changelog/locked.ts';
import { ConfigurationError } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import type { ProbedServer } from '../customer-engagement/probe/server.ts';
import type { Settings as WebApiSettings } from '../customer-engagement/requests.ts';
import type { AccountsSettings } from '../directory/accounts.ts';
import { trustedCertificates } from '../directory/endpoint.ts';
import { ldapDirectorySource } from '../directory/source.ts';
import type { Logger } from './logger.ts';
import { secret } from './secret.ts';

/**
 * The parts that the settings ask for; nothing is connected yet. What only shows to be wrong here is a ConfigurationError too. Code is
 * loaded with the part that needs it: the clients of what a process does not talk to are some ten megabytes of memory each.
 */

export function directorySources({ directories, listener }: Configuration, log: Logger): DirectorySource[] {
  const { maxLag, attributes } = listener;
  return directories.map(({ password, passwordFile, ...settings }, index) => {
    checkCaFile(`directories.${index}.caFile`, settings.caFile);
    const source = {
      ...settings,
      maxLag,
      attributes,
      password: secret(password, passwordFile),
      warn: (message: string) => log.warn(message),
    };
    return made(`directories.${index}`, () => ldapDirectorySource(source));
  });
}

/** For single questions to each of the directories. */
export function accountsSettings({ directories }: Configuration): AccountsSettings[] {
  return directories.map(({ password, passwordFile, ...settings }) => ({ ...settings, password: secret(password, passwordFile) }));
}

/** Loaded when it is needed: listeners need none. */
export async function desk(configuration: Configuration): Promise<AccountDesk> {
  const { accountDesk } = await import('../directory/accounts.ts');
  return accountDesk(accountsSettings(configuration));
}

/** Milliseconds between two looks for what somebody asks of the listener by a command. */
const REQUESTS_EVERY = 3_000;

export function readingSettings({ listener }: Configuration): ReadingSettings {
  return { ...listener, requestsEvery: REQUESTS_EVERY };
}

/**
 * @param look for a look, or to ask the listener for something: leaves no file behind, and others may be at work meanwhile
 * @param guest keeps no cache: that of the state directory may be in use
 */
export async function changeLog(configuration: Configuration, log: Logger, { look = false, guest = false } = {}): Promise<ChangeLog> {
  const { stateDirectory } = configuration;
  const { kafka, sqlite } = configuration.log;
  if (kafka === undefined) {
    const { SqliteLog } = await import('../changelog/sqlite/sqlite-log.ts');
    const file = resolve(stateDirectory, sqlite?.file ?? 'namesake.db');
    const onSetAside = (where: string, why: string) => log.warn({ where }, `set aside ${where}: ${why}`);
    return made('log.sqlite.file', () => new SqliteLog(file, { create: !look, onSetAside }));
  }
  const { brokers, topicPrefix, tls, sasl, allowClearText, retention, partitions, replicationFactor } = kafka;
  checkCaFile('log.kafka.tls.caFile', tls?.caFile);
  const { KafkaLog } = await import('../changelog/kafka/kafka-log.ts');
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
      cacheFile: look || guest ? '' : join(stateDirectory, 'cache.db'),
      onSetAside: (where, why) => log.warn({ where }, `set aside ${where}: ${why}`),
      onRebuild: (why) => log.info(`reading the topics again: the cache cannot be used, ${why}`),
    },
  );
}

/** Repairs side by side, unless a setting says otherwise. */
const MOST_PARALLEL = 8;

function parallelOf({ parallel, parkingAccounts }: Configuration['organizations'][number]): number {
  return parallel ?? Math.min(MOST_PARALLEL, parkingAccounts.length);
}

export function repairerSettings({ repairer, organizations }: Configuration, name: string): Omit<RepairerSettings, 'dryRun'> {
  const organization = organizations.find((one) => one.name === name);
  if (organization === undefined) throw new ConfigurationError([`organizations: there is none called ${name}`]);
  const { parkingAccounts, parkingOu, trusted, doNotTouch, recreated, oneStep, writeNames, changeWindow } = organization;
  const parallel = parallelOf(organization);
  const own = { parkingAccounts, parkingOu, trusted, doNotTouch, recreated, oneStep, writeNames, changeWindow, parallel };
  return { ...repairer, ...own, requestsEvery: REQUESTS_EVERY };
}

export async function organizations(configuration: Configuration, log: Logger): Promise<CustomerEngagement[]> {
  if (configuration.organizations.length === 0) return [];
  const { customerEngagement } = await import('../customer-engagement/client.ts');
  return await Promise.all(
    configuration.organizations.map(async ({ name }, index) => {
      const settings = await webApiSettings(configuration, name, log);
      return made(`organizations.${index}`, () => customerEngagement(settings));
    }),
  );
}

/** For what only the probe asks. */
export async function probedServer(configuration: Configuration, organization: string, log: Logger): Promise<ProbedServer> {
  const { ProbedServer } = await import('../customer-engagement/probe/server.ts');
  return new ProbedServer(await webApiSettings(configuration, organization, log));
}

/** How the Web API of this organization is reached. @throws ConfigurationError */
async function webApiSettings(configuration: Configuration, wanted: string, log: Logger): Promise<WebApiSettings> {
  const { authentication } = await import('./authentication.ts');
  const index = configuration.organizations.findIndex(({ name }) => name === wanted);
  const organization = configuration.organizations[index];
  if (organization === undefined) throw new ConfigurationError([`organizations: there is none called ${wanted}`]);
  const { name, url, apiVersion, caFile, allowClearText, deadline, auth, doNotTouch } = organization;
  const markColumn = doNotTouch.column;
  // Those that are being written, and one each for what is read ahead and for links.
  const connections = parallelOf(organization) + 2;
  checkCaFile(`organizations.${index}.caFile`, caFile);
  const warn = (message: string) => log.warn(message);
  if (auth.method === 'adfs') checkCaFile(`organizations.${index}.auth.caFile`, auth.caFile);
  const place = { url, deadline, stateDirectory: configuration.stateDirectory, warn: (message: string) => warn(`${name}: ${message}`) };
  const own = made(`organizations.${index}`, () => authentication(auth, place));
  return { name, url, apiVersion, caFile, allowClearText, deadline, connections, auth: own, markColumn, warn };
}

/** One that holds no certificate would show only when a server is not believed, and as the server's fault. */
function checkCaFile(path: string, caFile: string | undefined): void {
  if (caFile !== undefined) made(path, () => trustedCertificates(caFile));
}

function made<Part>(path: string, make: () => Part): Part {
  try {
    return make();
  } catch (error) {
    // What passes by itself is no wrong setting.
    if (error instanceof LogError && isLocked(error)) throw error;
    throw new ConfigurationError([`${path}: ${error instanceof Error ? error.message : String(error)}`]);
  }
}
