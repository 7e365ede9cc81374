import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { kafkaClient } from '../../src/changelog/kafka/client.ts';
import { TOPICS } from '../../streams/topics.ts';
import { create, everything, expectKnown, rename } from './expectations.ts';
import { type KafkaPlace, kafkaPlace } from './kafka-place.ts';
import { DOMAIN, guid, link, Model, repair, request } from './model.ts';
import { eventually } from './pages.ts';

const NEVER = new AbortController().signal;

let bed: Bed;
let admin: Admin;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
  admin = kafkaClient(kafkaPlace(bed).settings).admin();
  await admin.connect();
}, 90_000);

afterAll(async () => {
  await admin?.disconnect();
  await bed?.[Symbol.asyncDispose]();
});

/** A log in which this and that has happened, closed. */
async function prepare(place: KafkaPlace, accounts = 40): Promise<Model> {
  const model = new Model();
  await using log = place.open();
  await using listener = await log.openListener(NEVER);
  await using repairer = await log.openRepairer('contoso', NEVER);
  for (let account = 1; account <= accounts; account++) {
    await listener.append(model.batch([{ do: 'create', account }], `c${account}`, { traced: account % 2 === 0 }));
  }
  await listener.append(
    model.batch(
      [
        { do: 'rename', account: 1, to: 'lee' },
        { do: 'rename', account: 2, to: 'user1' },
      ],
      'renamed',
      { notices: 1, traced: true },
    ),
  );
  await log.request(request('asked'));
  await listener.append(model.batch([{ do: 'delete', account: 3 }], 'last', { notices: 1 }));
  await repairer.record({ repairs: [repair('contoso', 1)], links: [link('contoso', 1)] });
  return model;
}

/** The log knows everything, and goes on. */
async function expectWhole(place: KafkaPlace, model: Model): Promise<void> {
  await using log = place.open();
  await using listener = await log.openListener(NEVER);
  await using repairer = await log.openRepairer('contoso', NEVER);
  expectKnown(listener, model);
  expect(repairer.openRepairs()).toEqual([repair('contoso', 1)]);
  expect(repairer.link(guid(1))).toEqual(link('contoso', 1));
  expect(await listener.requests()).toEqual([request('asked')]);
  await listener.append(model.batch([{ do: 'toggle', account: 1 }], 'after'));
  expectKnown(listener, model);
  expect(await everything(log, model.log.length)).toEqual(model.log);
}

describe('the cache of the log on Kafka', { concurrent: true }, () => {
  it('is used as it is when nothing happened to it', async () => {
    const place = kafkaPlace(bed);
    const model = await prepare(place);
    await expectWhole(place, model);
    expect(place.rebuilds).toEqual([]);
  });

  it('may be deleted', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    const model = await prepare(place);
    rmSync(dirname(place.cacheFile()), { recursive: true });
    await expectWhole(place, model);
  });

  it('knows who gave up a name last, in whatever order the partitions are read', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    const model = new Model();
    const accounts = [1, 2, 3, 4, 5, 6, 7, 8];
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await listener.append(model.batch(accounts.map(create), 'created'));
      for (const last of accounts) {
        const inTurn = [...accounts.filter((account) => account !== last), last];
        const deeds = inTurn.flatMap((account) => [rename(account, `shared${last}`), rename(account, `user${account}`)]);
        await listener.append(model.batch(deeds, `shared${last}`));
      }
    }
    rmSync(dirname(place.cacheFile()), { recursive: true });
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    for (const last of accounts) expect(listener.formerHolder(DOMAIN, `shared${last}`)).toBe(guid(last));
    expectKnown(listener, model);
  });

  it('may be older than the log', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    const model = await prepare(place);
    const old = readFileSync(place.cacheFile());
    await expectWhole(place, model);
    writeFileSync(place.cacheFile(), old);
    await expectWhole(place, model);
    expect(place.rebuilds).toEqual([]);
  });

  it('is kept up by whoever stands by, for longer than it lasts by itself', async () => {
    const place = kafkaPlace(bed);
    const model = await prepare(place);
    await using first = place.open('first');
    const one = await first.openListener(NEVER);
    place.cacheLifetime = 3_000;
    await using second = place.open('second');
    const { promise: standsBy, resolve } = Promise.withResolvers<void>();
    const waiting = second.openListener(NEVER, resolve);
    await standsBy;
    await one.append(model.batch([rename(4, 'while it stands by')], 'meanwhile'));
    using shown = new DatabaseSync(place.cacheFile('second'), { readOnly: true, timeout: 5_000 });
    const isShown = async () =>
      shown.prepare("SELECT 1 FROM identity WHERE value LIKE '%while it stands by%'").get() === undefined ? undefined : true;
    await eventually(isShown);
    await sleep(2 * place.cacheLifetime);
    await one[Symbol.asyncDispose]();
    await using two = await waiting;
    expectKnown(two, model);
    expect(place.rebuilds).toEqual([]);
  });

  const damages: Record<string, (file: string) => void> = {
    'cut off': (file) => truncateSync(file, 10_000),
    'of an earlier version': (file) => {
      using earlier = new DatabaseSync(file);
      earlier.exec("ALTER TABLE identity DROP COLUMN origins; DROP TABLE request; UPDATE meta SET value = '2' WHERE key = 'schema';");
    },
    emptied: (file) => truncateSync(file, 0),
    'something else': (file) => writeFileSync(file, 'These are not the identities you are looking for.\n'.repeat(1_000)),
    'damaged in the middle': (file) => {
      const noise = Buffer.alloc(3_000, 0xa5);
      const handle = openSync(file, 'r+');
      for (let at = 5_000; at < readFileSync(file).length; at += 4_096) writeSync(handle, noise, 0, noise.length, at);
    },
  };
  for (const [how, damage] of Object.entries(damages)) {
    it(`is rebuilt when it is ${how}`, async () => {
      const place = kafkaPlace(bed);
      const model = await prepare(place);
      expect(existsSync(`${place.cacheFile()}-wal`)).toBe(false);
      damage(place.cacheFile());
      await expectWhole(place, model);
      if (how !== 'emptied') expect(place.rebuilds).not.toEqual([]);
    });
  }

  it('is rebuilt when it belongs to another topic prefix', async () => {
    const [place, other] = [kafkaPlace(bed), kafkaPlace(bed)];
    const model = await prepare(place);
    await prepare(other, 10);
    copyFileSync(other.cacheFile(), place.cacheFile());
    await expectWhole(place, model);
    expect(place.rebuilds).toContain('it belongs to another cluster or topic prefix');
  });

  it('is rebuilt when it is older than the marks of deletions in the topics', async () => {
    const place = kafkaPlace(bed);
    const model = await prepare(place);
    place.cacheLifetime = 1;
    await expectWhole(place, model);
    expect(place.rebuilds).toContain('it is older than the marks of deletions in the topics');
  });

  it('is rebuilt when the topics were deleted and created again, also when they hold more than before', async () => {
    for (const accounts of [5, 90]) {
      const place = kafkaPlace(bed);
      await prepare(place);
      const topics = Object.values(TOPICS).map(({ name }) => place.settings.topicPrefix + name);
      await admin.deleteTopics({ topics });
      await eventually(async () => ((await admin.listTopics()).some((name) => topics.includes(name)) ? undefined : true));
      const kept = readFileSync(place.cacheFile());
      rmSync(dirname(place.cacheFile()), { recursive: true });
      const model = await prepare(place, accounts);
      rmSync(dirname(place.cacheFile()), { recursive: true });
      mkdirSync(dirname(place.cacheFile()));
      writeFileSync(place.cacheFile(), kept);
      await expectWhole(place, model);
      expect(place.rebuilds).not.toEqual([]);
    }
  });

  it('is taken by one process at a time', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    await using _listener = await log.openListener(NEVER);
    await using second = place.open();
    await expect(second.openListener(NEVER)).rejects.toThrow(/cache\.db is in use by another process/);
  });
});
