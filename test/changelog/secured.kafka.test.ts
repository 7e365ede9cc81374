import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { BROKER_LOGON } from '../../infra/testbed/broker.ts';
import type { KafkaSettings } from '../../src/changelog/kafka/client.ts';
import { LogError } from '../../streams/change-log.ts';
import { create, history } from './expectations.ts';
import { kafkaPlace } from './kafka-place.ts';
import { Model } from './model.ts';

const NEVER = new AbortController().signal;
const WRONG = 'Wr0ng-Passw0rd';

let bed: Bed;
/** The way in that is right. */
let right: Pick<KafkaSettings, 'brokers' | 'tls' | 'sasl'>;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1, securedBrokers: true });
  const { username, password } = BROKER_LOGON;
  right = {
    brokers: bed.broker.secured,
    tls: { caFile: join(bed.path, 'authority', 'ca.pem') },
    sasl: { mechanism: 'plain', username, password: () => password },
  };
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** Everything that the client library and the error said. */
async function refused(changed: Partial<KafkaSettings>): Promise<string> {
  const said: string[] = [];
  const place = kafkaPlace(bed, { ...right, onClientLog: (_, message) => said.push(message), ...changed });
  await using log = place.open();
  const error = await log.openListener(NEVER).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LogError);
  return [...said, ...causesOf(error)].join('\n');
}

function* causesOf(error: unknown): Generator<string> {
  for (let cause = error; cause instanceof Error; cause = cause.cause) yield `${cause.message} ${JSON.stringify(cause)}`;
}

describe('a broker that speaks TLS and wants a logon', () => {
  it('is written to and read by whoever has its CA and the password', async () => {
    const place = kafkaPlace(bed, right);
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await using repairer = await log.openRepairer('contoso', NEVER);
    await listener.append(model.batch([create(1), create(2)], 'first'));
    await repairer.confirm();
    expect(await history(log, 2)).toEqual(model.events);
  });

  it('says that the logon was refused, and shows no password (SPEC rule 10)', async () => {
    const { username } = BROKER_LOGON;
    const told = await refused({ sasl: { mechanism: 'plain', username, password: () => WRONG } });
    expect(told).toMatch(/authentication/i);
    expect(told).not.toContain(WRONG);
  });

  it('is not believed with a certificate of another CA (SPEC rule 10)', async () => {
    expect(await refused({ tls: {} })).toMatch(/certificate/i);
  });

  it('is not told the password without TLS (SPEC rule 10)', () => {
    const { tls: _, ...clear } = right;
    expect(() => kafkaPlace(bed, clear).open()).toThrow(/clear text/);
  });
});
