import kafkajs, { type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { kafkaClient } from '../../src/changelog/kafka/client.ts';
import { LogError } from '../../streams/change-log.ts';
import { TOPICS } from '../../streams/topics.ts';
import { BrokerProxy, PRODUCE } from './broker-proxy.ts';
import { NEVER } from './engine.ts';
import { create, everything, expectKnown, toggle } from './expectations.ts';
import { type KafkaPlace, kafkaPlace } from './kafka-place.ts';
import { kcatUntil } from './kcat.ts';
import { Model, NAMING_CONTEXT, request } from './model.ts';
import { eventually } from './pages.ts';

let bed: Bed;
let foreign: Producer;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
  foreign = kafkaClient(kafkaPlace(bed).settings).producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await foreign.connect();
}, 90_000);

afterAll(async () => {
  await foreign?.disconnect();
  await bed?.[Symbol.asyncDispose]();
});

const positionTopic = (place: KafkaPlace) => place.settings.topicPrefix + TOPICS.position.name;

describe('requests on Kafka', { concurrent: true }, () => {
  it('stand in the position topic, where compaction leaves the last one of each kind for each naming context', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(new Model().batch([create(1)], 'first'));
    const accept = request('b', { kind: 'accept-deletions', digest: 'f00d' });
    await using look = place.look();
    await look.request(request('a'));
    await look.request(accept);
    const messages = await kcatUntil(bed.broker.bootstrap, positionTopic(place), 4);
    expect(messages.slice(2).map(({ key, payload }) => [key, JSON.parse(payload ?? 'null')])).toEqual([
      [`request/compare/${NAMING_CONTEXT}`, request('a')],
      [`request/accept-deletions/${NAMING_CONTEXT}`, accept],
    ]);
  });

  it('cost no read as long as there is none, however much is appended', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    let joined = 0;
    const onClientLog = (_level: string, message: string) => {
      if (message.includes('joined the group')) joined++;
    };
    await using log = place.open('main', { onClientLog });
    await using listener = await log.openListener(NEVER);
    const before = joined;
    for (let round = 0; round < 20; round++) {
      await listener.append(model.batch([create(1), toggle(1)], round % 2 === 0 ? undefined : `cookie ${round}`));
      expect(await listener.requests()).toEqual([]);
    }
    expect(joined).toBe(before);
    await log.request(request('a'));
    expect(await eventually(async () => ((await listener.requests()).length > 0 ? true : undefined))).toBe(true);
    const read = joined;
    expect(read).toBeGreaterThan(before);
    for (let round = 0; round < 5; round++) {
      await listener.append(model.batch([toggle(1)], `more ${round}`));
      expect(await listener.requests()).toEqual([request('a')]);
    }
    expect(joined).toBe(read);
  });

  it('do not confuse a cache that was closed between two of them', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await listener.append(model.batch([create(1)], 'first'));
      await log.request(request('a', { namingContext: 'DC=a' }));
      // Nobody asks for it before the listener goes on and leaves.
      await listener.append(model.batch([toggle(1)], 'second'));
      await log.request(request('b', { namingContext: 'DC=b' }));
      await listener.append(model.batch([toggle(1)], 'third'));
    }
    await using look = place.look();
    await look.request(request('c', { namingContext: 'DC=c' }));
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    expectKnown(listener, model);
    expect((await listener.requests()).map(({ id }) => id).sort()).toEqual(['a', 'b', 'c']);
    await listener.append(model.batch([toggle(1)], 'fourth'));
    expectKnown(listener, model);
    expect(await everything(log, model.log.length)).toEqual(model.log);
    expect(place.rebuilds).toEqual([]);
  });

  it('are set aside when they cannot be understood, and stop nothing (SPEC rule 9)', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const key = `request/compare/${NAMING_CONTEXT}`;
    const foreignRequests = [
      { key, value: '<html>' },
      { key, value: null },
      { key, value: JSON.stringify({ ...request('x'), kind: 'shred' }) },
      { key, value: JSON.stringify(request('x', { namingContext: 'DC=other' })) },
    ];
    await foreign.send({ topic: positionTopic(place), messages: foreignRequests });
    await log.request(request('a'));
    expect(await eventually(async () => (await listener.requests())[0])).toEqual(request('a'));
    expect(place.setAside.map(({ where }) => where)).toEqual([0, 1, 2, 3].map((offset) => `${positionTopic(place)}/0@${offset}`));
    const model = new Model();
    await listener.append(model.batch([create(1)], 'first'));
    await using elsewhere = place.look();
    await eventually(async () => ((await elsewhere.status()).positions.length === 1 ? true : undefined));
    expectKnown(listener, model);
  });

  it('whose answer is lost are there once, or said to have failed', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await using proxy = await BrokerProxy.start(bed.broker.bootstrap[0] ?? '');
    await using far = place.open('far', { brokers: [proxy.address] });
    proxy.swallow(PRODUCE);
    await expect(far.request(request('a'))).rejects.toBeInstanceOf(LogError);
    expect(await listener.requests()).toEqual([request('a')]);
    const messages = await kcatUntil(bed.broker.bootstrap, positionTopic(place), 1);
    expect(messages).toHaveLength(1);
  });
});
