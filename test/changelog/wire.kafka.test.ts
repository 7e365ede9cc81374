import kafkajs, { type Admin, type Producer } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { kafkaClient } from '../../src/changelog/kafka/client.ts';
import { eventId } from '../../streams/change.ts';
import { LogError } from '../../streams/change-log.ts';
import { TOPICS } from '../../streams/topics.ts';
import { createTopics } from '../support/kafka-topics.ts';
import { history } from './expectations.ts';
import { type KafkaPlace, kafkaPlace } from './kafka-place.ts';
import { headersOf, kcat as read, kcatUntil as readUntil } from './kcat.ts';
import { guid, link, Model, NAMING_CONTEXT, origins, person, position, repair } from './model.ts';
import { eventually, Pages } from './pages.ts';

const NEVER = new AbortController().signal;
const DAY = 86_400_000;

let bed: Bed;
let admin: Admin;
let foreign: Producer;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
  const kafka = kafkaClient(kafkaPlace(bed).settings);
  admin = kafka.admin();
  foreign = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await Promise.all([admin.connect(), foreign.connect()]);
}, 90_000);

afterAll(async () => {
  await Promise.all([admin?.disconnect(), foreign?.disconnect()]);
  await bed?.[Symbol.asyncDispose]();
});

const kcat = (topic: string) => read(bed.broker.bootstrap, topic);
const kcatUntil = (topic: string, count: number) => readUntil(bed.broker.bootstrap, topic, count);
const topicOf = (place: KafkaPlace, topic: keyof typeof TOPICS) => place.settings.topicPrefix + TOPICS[topic].name;

describe('topics', { concurrent: true }, () => {
  it('are created with the settings that their meaning needs', async () => {
    const place = kafkaPlace(bed, { partitions: 3, retention: 400 * DAY });
    await using log = place.open();
    await using _listener = await log.openListener(NEVER);
    const names = Object.keys(TOPICS) as (keyof typeof TOPICS)[];
    const resources = names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name: topicOf(place, name) }));
    const configs = await admin.describeConfigs({ resources, includeSynonyms: false });
    const settings = (topic: string) => {
      const entries = configs.resources.find(({ resourceName }) => resourceName === topic)?.configEntries ?? [];
      return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]));
    };
    const week = String(7 * DAY);
    const history = { 'cleanup.policy': 'delete', 'retention.bytes': '-1', 'retention.ms': String(400 * DAY) };
    const compacted = { 'cleanup.policy': 'compact', 'delete.retention.ms': week };
    expect(settings(topicOf(place, 'change'))).toMatchObject(history);
    // The journal of repairs is forever, whatever the retention of events.
    expect(settings(topicOf(place, 'repair'))).toMatchObject({ ...history, 'retention.ms': '-1' });
    for (const name of ['state', 'position', 'link'] as const) expect(settings(topicOf(place, name))).toMatchObject(compacted);
    const { topics } = await admin.fetchTopicMetadata({ topics: names.map((name) => topicOf(place, name)) });
    const partitions = Object.fromEntries(
      topics.map((topic) => [topic.name.slice(place.settings.topicPrefix.length), topic.partitions.length]),
    );
    expect(partitions).toEqual({
      'identity-change': 3,
      'identity-state': 3,
      'identity-position': 1,
      'ce-repair': 1,
      'ce-link': 1,
      'ce-request': 1,
    });
  });

  it('are refused when their settings would lose something, and the message says which and why', async () => {
    const place = kafkaPlace(bed);
    await createTopics(admin, [
      { topic: topicOf(place, 'change'), configEntries: [{ name: 'cleanup.policy', value: 'compact' }] },
      { topic: topicOf(place, 'state'), configEntries: [{ name: 'cleanup.policy', value: 'compact,delete' }] },
      { topic: topicOf(place, 'position'), numPartitions: 2, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] },
      {
        topic: topicOf(place, 'repair'),
        configEntries: [
          { name: 'retention.ms', value: String(7 * DAY) },
          { name: 'retention.bytes', value: '1000000' },
        ],
      },
      {
        topic: topicOf(place, 'link'),
        configEntries: [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'delete.retention.ms', value: String(DAY - 1) },
        ],
      },
    ]);
    await using log = place.open();
    const refusal = await log.openListener(NEVER).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(LogError);
    const { message } = refusal as LogError;
    expect(message).toContain(`${topicOf(place, 'change')} has cleanup.policy=compact and needs delete (compaction would delete history)`);
    expect(message).toContain(`${topicOf(place, 'state')} has cleanup.policy=compact,delete and needs compact`);
    expect(message).toContain(`${topicOf(place, 'position')} has 2 partitions and needs 1`);
    expect(message).toContain(`${topicOf(place, 'repair')} has retention.ms=${7 * DAY} and needs -1, that is forever`);
    expect(message).toContain(`${topicOf(place, 'repair')} has retention.bytes=1000000 and needs -1, that is without a limit`);
    expect(message).toContain(`${topicOf(place, 'link')} has delete.retention.ms=${DAY - 1} and needs at least ${DAY}`);
    await admin.deleteTopics({ topics: Object.values(TOPICS).map(({ name }) => place.settings.topicPrefix + name) });
    // Corrected, the same log can be opened.
    await using _listener = await eventually(() => log.openListener(NEVER).catch(() => undefined));
  });

  it('are not created by a look at the log', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await expect(log.status()).rejects.toThrow(/there is no .*identity-change/);
    await expect(history(log)).rejects.toBeInstanceOf(LogError);
    expect((await admin.listTopics()).filter((name) => name.startsWith(place.settings.topicPrefix))).toEqual([]);
  });

  it('are created once when several instances start together', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    const logs = ['a', 'b', 'c'].map((instance) => place.open(instance));
    const repairers = await Promise.all(logs.map((log, index) => log.openRepairer(`organization-${index}`, NEVER)));
    await Promise.all(repairers.map((repairer) => repairer[Symbol.asyncDispose]()));
    await Promise.all(logs.map((log) => log[Symbol.asyncDispose]()));
  });
});

describe('messages', { concurrent: true }, () => {
  it('are CloudEvents in binary mode for a client by other people', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }], 'first'));
    await listener.append(model.batch([{ do: 'rename', account: 1, to: 'Ännchen, "Lee"' }], 'second'));
    const messages = await kcatUntil(topicOf(place, 'change'), 2);
    expect(messages).toHaveLength(2);
    for (const [index, message] of messages.entries()) {
      const { key, payload, headers } = message;
      const event = model.events[index];
      if (event === undefined) throw new Error('more messages than events');
      expect(key).toBe(event.objectGUID);
      expect(JSON.parse(payload ?? 'null')).toEqual(event);
      expect(headersOf(message)).toEqual({
        'content-type': 'application/json',
        ce_specversion: '1.0',
        ce_id: eventId(event),
        ce_source: 'ldap:///DC=corp,DC=example,DC=test',
        ce_type: `namesake.identity.${event.kind}`,
        ce_subject: event.objectGUID,
        ce_time: event.observed.time,
        ce_sequence: String(event.sequence).padStart(16, '0'),
      });
      expect(headers).toHaveLength(16);
    }
  });

  it('of notices are CloudEvents too, keyed by naming context, before the changes of their batch', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }], 'first', { notices: 1 }));
    const messages = await kcatUntil(topicOf(place, 'change'), 2);
    expect(messages.map(({ key }) => key)).toEqual([NAMING_CONTEXT, guid(1)]);
    const [notice] = messages;
    if (notice === undefined) throw new Error('there is no notice');
    expect(JSON.parse(notice.payload ?? 'null')).toEqual(model.log[0]);
    expect(headersOf(notice)).toEqual({
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: 'position-lost-1',
      ce_source: 'ldap:///DC=corp,DC=example,DC=test',
      ce_type: 'namesake.listener.position-lost',
      ce_subject: NAMING_CONTEXT,
      ce_time: '2026-01-02T03:04:05.678Z',
      ce_sequence: '0000000000000001',
    });
  });

  it('tell with an identity which writes its values come from, as far as that is known', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const batch = { namingContext: NAMING_CONTEXT, changes: [], identities: new Map([[guid(1), person(1)]]), position: undefined };
    await listener.append({ ...batch, origins: new Map([[guid(1), origins(7, 'sAMAccountName')]]) });
    await listener.append({ ...batch, origins: new Map([[guid(1), {}]]) });
    const [traced, untraced] = (await kcatUntil(topicOf(place, 'state'), 2)).map(headersOf);
    expect(traced).toEqual({ sequence: '0', origins: JSON.stringify(origins(7, 'sAMAccountName')) });
    expect(untraced).toEqual({ sequence: '0' });
  });

  it('hold the present identity, and null for an account that is gone', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }]));
    await listener.append(model.batch([{ do: 'delete', account: 1 }], 'gone'));
    const states = await kcatUntil(topicOf(place, 'state'), 2);
    expect(states.map(({ key }) => key)).toEqual([guid(1), guid(1)]);
    expect(states.map(({ payload }) => payload && JSON.parse(payload))).toEqual([person(1), null]);
    const positions = await kcatUntil(topicOf(place, 'position'), 3);
    expect(positions.map(({ key }) => key)).toEqual(['sequence', 'sequence', NAMING_CONTEXT]);
    expect(JSON.parse(positions.at(-1)?.payload ?? 'null')).toMatchObject({ position: position('gone') });
  });

  it('of repairs and links are keyed by record and by account', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using repairer = await log.openRepairer('contoso', NEVER);
    await repairer.record({ repairs: [repair('contoso', 1)], links: [link('contoso', 1)] });
    const [recorded] = await kcatUntil(topicOf(place, 'repair'), 1);
    expect(recorded).toMatchObject({ key: guid(1001), payload: JSON.stringify(repair('contoso', 1)) });
    const [linked] = await kcatUntil(topicOf(place, 'link'), 1);
    expect(linked).toMatchObject({ key: `contoso/${guid(1)}`, payload: JSON.stringify(link('contoso', 1)) });
  });

  it('of a writer that was shut out are never seen by a read-committed client (SPEC rule 2)', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }]));
    await using successor = await place.takeOver();
    await expect(listener.append(model.batch([{ do: 'create', account: 2 }]))).rejects.toThrow(/another instance has taken over/);
    await successor[Symbol.asyncDispose]();
    expect(await kcatUntil(topicOf(place, 'change'), 1)).toHaveLength(1);
    expect(await kcat(topicOf(place, 'state'))).toHaveLength(1);
  });
});

describe('what is on the topics', { concurrent: true }, () => {
  it('is set aside with its place and reason when it is poison, and stops nothing (SPEC rule 9)', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open('listener');
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }], 'first'));
    const [event] = model.events;
    const poison = [
      {
        topic: topicOf(place, 'change'),
        messages: [{ value: 'not JSON' }, { value: '{}' }, { value: null }, { value: JSON.stringify({ ...event, kind: 'eaten' }) }],
      },
      {
        topic: topicOf(place, 'state'),
        messages: [
          { key: guid(1), value: '<html>' },
          { key: 'nobody', value: JSON.stringify(person(2)) },
          { key: guid(3), value: JSON.stringify(person(4)) },
        ],
      },
      {
        topic: topicOf(place, 'position'),
        messages: [
          { key: NAMING_CONTEXT, value: '{"position":7}' },
          { key: 'sequence', value: '{"sequence":"many"}' },
        ],
      },
      { topic: topicOf(place, 'repair'), messages: [{ key: guid(1001), value: 'null' }] },
      { topic: topicOf(place, 'link'), messages: [{ key: `contoso/${guid(1)}`, value: '"x"' }] },
    ];
    // Where they stand only the broker knows: the mark that ends a transaction comes after its writer was told.
    const written = await foreign.sendBatch({ topicMessages: poison });
    const expected = written.flatMap(({ topicName, partition, baseOffset }) => {
      const { messages = [] } = poison.find(({ topic }) => topic === topicName) ?? {};
      return messages.map((_, index) => `${topicName}/${partition}@${Number(baseOffset) + index}`);
    });
    await listener.append(model.batch([{ do: 'rename', account: 1, to: 'lee' }], 'second'));

    await using elsewhere = place.open('elsewhere');
    await using repairer = await elsewhere.openRepairer('contoso', NEVER);
    await repairer.refresh();
    using pages = new Pages(repairer);
    expect(await pages.take(2)).toEqual([1, 2]);
    await eventually(async () => {
      await repairer.refresh();
      return repairer.knownSequence === 2 ? true : undefined;
    });
    expect(repairer.identity(guid(1))?.sAMAccountName).toBe('lee');
    expect(repairer.identity(guid(2))).toBeUndefined();
    expect(expected).toHaveLength(11);
    expect([...new Set(place.setAside.map(({ where }) => where))].toSorted()).toEqual(expected.toSorted());
    for (const { why } of place.setAside) expect(why).not.toBe('');
    expect(await history(elsewhere, 2)).toEqual(model.events);
  });

  it('is set aside where it stands beside an identity, which counts all the same (SPEC rule 9)', async () => {
    const place = kafkaPlace(bed);
    {
      await using log = place.open();
      await using _listener = await log.openListener(NEVER);
    }
    const known = origins(7, 'mail');
    const headers = ['<html>', '{"mail":7}', '[]', undefined, JSON.stringify(known)];
    const messages = headers.map((header, index) => ({
      key: guid(index),
      value: JSON.stringify(person(index)),
      headers: { sequence: '0', ...(header !== undefined && { origins: header }) },
    }));
    await foreign.send({ topic: topicOf(place, 'state'), messages });
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    expect(headers.map((_, index) => listener.identity(guid(index)))).toEqual(headers.map((_, index) => person(index)));
    expect(headers.map((_, index) => listener.origins(guid(index)))).toEqual([{}, {}, {}, {}, known]);
    expect(place.setAside.map(({ where }) => where)).toEqual([0, 1, 2].map((offset) => `${topicOf(place, 'state')}/0@${offset}`));
  });

  it('makes an identity known as soon as its event is, although the state comes later', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open('listener');
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }], 'first'));
    await using elsewhere = place.open('elsewhere');
    await using repairer = await elsewhere.openRepairer('contoso', NEVER);
    // Brokers mark the partitions of a transaction one after the other.
    model.batch([{ do: 'rename', account: 1, to: 'lee' }]);
    const event = model.events.at(-1);
    await foreign.send({ topic: topicOf(place, 'change'), messages: [{ key: guid(1), value: JSON.stringify(event) }] });
    await repairer.refresh();
    expect(repairer.knownSequence).toBe(2);
    expect(repairer.identity(guid(1))?.sAMAccountName).toBe('lee');
    expect(repairer.holder('CORP', 'lee')).toBe(guid(1));
  });

  it('makes what an event says known with its page, although its number was known before (SPEC rule 6)', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using log = place.open('listener');
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([{ do: 'create', account: 1 }], 'first'));
    await using elsewhere = place.open('elsewhere');
    await using repairer = await elsewhere.openRepairer('contoso', NEVER);
    using pages = new Pages(repairer);
    await pages.take(1);
    model.batch([{ do: 'rename', account: 1, to: 'lee' }]);
    const [event] = model.events.slice(-1);
    await foreign.send({ topic: topicOf(place, 'position'), messages: [{ key: 'sequence', value: '{"sequence":2}' }] });
    await repairer.refresh();
    expect([repairer.knownSequence, repairer.identity(guid(1))?.sAMAccountName]).toEqual([2, 'user1']);
    await foreign.send({ topic: topicOf(place, 'change'), messages: [{ key: guid(1), value: JSON.stringify(event) }] });
    expect(await pages.take(1)).toEqual([2]);
    expect(repairer.identity(guid(1))?.sAMAccountName).toBe('lee');
  });

  it('counts on after the history has expired', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    {
      await using log = place.open('first');
      await using listener = await log.openListener(NEVER);
      await listener.append(
        model.batch(
          [
            { do: 'create', account: 1 },
            { do: 'create', account: 2 },
          ],
          'first',
        ),
      );
      await listener.append(model.batch([{ do: 'create', account: 3 }]));
      await history(log, 3);
    }
    const topic = topicOf(place, 'change');
    const [end] = await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: end?.high ?? '0' }] });
    await using log = place.open('second');
    await using listener = await log.openListener(NEVER);
    const [event] = await listener.append(model.batch([{ do: 'rename', account: 1, to: 'lee' }]));
    expect(event?.sequence).toBe(4);
    expect((await history(log, 1)).map(({ sequence }) => sequence)).toEqual([4]);
  });
});
