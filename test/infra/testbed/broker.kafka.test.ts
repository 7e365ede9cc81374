import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../../infra/testbed/bed.ts';
import { createTopics } from '../../support/kafka-topics.ts';
import { outcomeOf } from './support.ts';

/** kcat: a client of its own judgement. */
async function kcat(bed: Bed, args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await outcomeOf('kcat', ['-q', '-b', bed.broker.bootstrap.join(','), ...args], {}, input);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
  return stdout;
}

async function createTopic(bed: Bed, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [...bed.broker.bootstrap], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await createTopics(admin, [{ topic, numPartitions: 1, replicationFactor: bed.broker.nodes.length }]);
  await admin.disconnect();
}

const write = (bed: Bed, topic: string, value: string) => kcat(bed, ['-P', '-t', topic, '-X', 'acks=all'], value);
const read = (bed: Bed, topic: string) => kcat(bed, ['-C', '-t', topic, '-o', 'beginning', '-e', '-f', '%s ']);

describe('one broker', () => {
  let bed: Bed;

  beforeAll(async () => {
    bed = await startBed({ directory: false, brokers: 1 });
    await createTopic(bed, 'kept');
  });

  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]();
  });

  it('keeps what was written over stop, kill and start, on the same port', async () => {
    await write(bed, 'kept', 'one');
    await bed.broker.stop();
    await bed.broker.start();
    await write(bed, 'kept', 'two');
    await bed.broker.kill();
    await bed.broker.start();
    expect(await read(bed, 'kept')).toBe('one two ');
  });

  it('does not create topics by itself', async () => {
    const { code } = await outcomeOf(
      'kcat',
      ['-P', '-b', bed.broker.bootstrap.join(','), '-t', 'unasked', '-X', 'message.timeout.ms=2000'],
      {},
      'x',
    );
    expect(code).not.toBe(0);
  });
});

describe('three brokers', () => {
  it('take writes that all in sync have while one is killed, and have it back', async () => {
    await using bed = await startBed({ directory: false, brokers: 3 });
    await createTopic(bed, 'replicated');
    await write(bed, 'replicated', 'one');
    const third = bed.broker.nodes[2];
    await third?.kill();
    await write(bed, 'replicated', 'two');
    await third?.start();
    expect(await read(bed, 'replicated')).toBe('one two ');
  });
});
