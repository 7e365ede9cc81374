import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { kafkaClient } from '../../src/changelog/kafka/client.ts';
import { TOPICS } from '../../streams/topics.ts';
import { NEVER } from './engine.ts';
import { create, toggle } from './expectations.ts';
import { kafkaPlace } from './kafka-place.ts';
import { DOMAIN, guid, link, Model, repair } from './model.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
}, 90_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe('listener and repairers that share the topics', () => {
  it('a repairer that opens knows its own journal, although an unfinished transaction of another organization hides it', async () => {
    const place = kafkaPlace(bed);
    const { topicPrefix } = place.settings;
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await listener.append(new Model().batch([create(1)], 'first'));
      await using contoso = await log.openRepairer('contoso', NEVER);
      // Somebody else's, cut off in the middle; the brokers end it after three seconds, or some more.
      const producer = kafkaClient(place.settings).producer({
        transactionalId: `${topicPrefix}another`,
        idempotent: true,
        maxInFlightRequests: 1,
        transactionTimeout: 3_000,
      });
      await producer.connect();
      const transaction = await producer.transaction();
      const hides = (topic: string) => transaction.send({ topic: topicPrefix + topic, messages: [{ key: 'x', value: '{}' }] });
      await hides(TOPICS.repair.name);
      await hides(TOPICS.link.name);
      await producer.disconnect();
      await contoso.record({ repairs: [repair('contoso', 1)], links: [link('contoso', 1)] });
    }
    await using log = place.open('elsewhere');
    await using contoso = await log.openRepairer('contoso', NEVER);
    expect(contoso.openRepairs()).toEqual([repair('contoso', 1)]);
    expect(contoso.link(guid(1))).toEqual(link('contoso', 1));
  });

  it('a repairer that opens beside a listener at work makes it forget nothing, however late the brokers mark transactions (SPEC rule 1)', async () => {
    const partitions = 60;
    const accounts = Array.from({ length: 2 * partitions }, (_, index) => index + 1);
    const place = kafkaPlace(bed, { partitions });
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const sequences: number[] = [];
    const append = async (deeds: Parameters<Model['batch']>[0]) => {
      sequences.push(...(await listener.append(model.batch(deeds, 'cookie'))).map(({ sequence }) => sequence));
    };
    await append(accounts.map(create));
    const until = Date.now() + 8_000;
    let listening = true;
    const appending = (async () => {
      while (listening) {
        await append(accounts.map((number) => toggle(number)));
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
    })();
    for (let openings = 0; Date.now() < until; openings++) {
      await using repairer = await log.openRepairer('contoso', NEVER);
      await repairer.record({ repairs: [repair('contoso', 1, { attempts: openings })] });
    }
    listening = false;
    await appending;
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(listener.count(DOMAIN)).toBe(accounts.length);
    expect(place.rebuilds).toEqual([]);
  });
});
