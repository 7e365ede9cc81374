import { readFileSync } from 'node:fs';
import { Kafka, type KafkaConfig, logLevel, type SASLOptions } from 'kafkajs';
import { FencedError, LogError } from '../../../streams/change-log.ts';
import { mendIdleTimer } from './idle-timer.ts';

export interface KafkaSettings {
  readonly brokers: readonly string[];
  /** Put before every topic, group and transactional id, for several installations on one cluster. */
  readonly topicPrefix: string;
  /** Absent: no TLS. */
  readonly tls?: { readonly caFile?: string };
  /** `password` is asked for at each connection. */
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: () => string;
  };
  /** SASL without TLS is refused unless this says so by name (SPEC rule 10). */
  readonly allowClearText?: boolean;
  /** Milliseconds for which events are kept; -1 for ever. */
  readonly retention: number;
  /** Of the topics with events and identities, when they are created. */
  readonly partitions: number;
  /** When topics are created; -1 is the cluster's default. */
  readonly replicationFactor: number;
  /** What the client library says of itself, for debugging. */
  readonly onClientLog?: (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;
}

/** Milliseconds that one transaction may take altogether; well below TRANSACTION_TIMEOUT, so that we give up before the broker does. */
export const TRANSACTION_DEADLINE = 15_000;
/** Milliseconds after which the broker aborts a transaction; until then it holds back every read-committed reader. */
export const TRANSACTION_TIMEOUT = 30_000;
/** Milliseconds without a sign of life after which a lease passes to the next; brokers take no less as they are set up by default. */
export const SESSION_TIMEOUT = 6_000;
export const HEARTBEAT_INTERVAL = 2_000;
/** Milliseconds that a fetch waits at the broker for something new; also the longest that a stop waits for it. */
export const FETCH_WAIT = 2_000;
/** Milliseconds that a close waits for the brokers. */
const FAREWELL = 2_300;
/** Milliseconds in which what is being opened may still come after a stop; the farewell that follows has to fit into the stop too. */
const COMES_WITHIN = 1_000;

/** @throws LogError for settings that cannot be right */
export function kafkaClient(settings: KafkaSettings): Kafka {
  mendIdleTimer();
  const { tls, sasl, onClientLog = () => {} } = settings;
  if (sasl !== undefined && tls === undefined && settings.allowClearText !== true) {
    throw new LogError(
      'log.kafka.sasl would send credentials in clear text: set log.kafka.tls, or log.kafka.allowClearText if that is meant',
    );
  }
  const config: KafkaConfig = {
    clientId: 'namesake',
    brokers: [...settings.brokers],
    connectionTimeout: 10_000,
    requestTimeout: 15_000,
    retry: { initialRetryTime: 50, retries: 6, maxRetryTime: 2_000 },
    logLevel: logLevel.INFO,
    logCreator:
      () =>
      ({ level, log }) =>
        onClientLog(LEVELS[level] ?? 'debug', log.message),
  };
  if (tls !== undefined) config.ssl = tls.caFile === undefined ? true : { ca: [readFileSync(tls.caFile)] };
  if (sasl !== undefined) {
    const { mechanism, username } = sasl;
    config.sasl = {
      mechanism,
      username,
      get password() {
        return sasl.password();
      },
    } as SASLOptions;
  }
  return new Kafka(config);
}

const LEVELS: Partial<Record<logLevel, 'error' | 'warn' | 'info' | 'debug'>> = {
  [logLevel.ERROR]: 'error',
  [logLevel.WARN]: 'warn',
  [logLevel.INFO]: 'info',
};

/**
 * A failure of the client as ours. Fenced is what brokers tell this old client with INVALID_PRODUCER_EPOCH (47), also where
 * newer ones hear PRODUCER_FENCED; it may stand several causes deep.
 */
export function asLogError(doing: string, error: unknown): FencedError | LogError {
  if (error instanceof FencedError || error instanceof LogError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('type' in cause && cause.type === 'INVALID_PRODUCER_EPOCH') {
      return new FencedError(`${doing}: another instance has taken over`, { cause: error });
    }
  }
  return new LogError(`${doing}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/** Waits for a close, but not for ever: brokers that are gone answer to no farewell. */
export async function farewell(closing: Promise<unknown>): Promise<void> {
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, FAREWELL);
  await Promise.race([closing.catch(() => {}), enough]);
  clearTimeout(timer);
}

/**
 * Brings what is being opened. When the signal aborts it must come or fail soon; else its reason is thrown, and what comes later
 * is closed again.
 */
export async function unlessAborted<T extends AsyncDisposable>(opening: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => reject(signal.reason), COMES_WITHIN);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([opening, tooLate]);
  } catch (error) {
    opening.then((late) => late[Symbol.asyncDispose]()).catch(() => {});
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
