import { join } from 'node:path';
import type { Entry } from 'ldapts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { bulkUser } from '../../infra/testbed/content.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { ENGINES, type Engine, SAYS, startUntil, timeOf } from './product.ts';
import { RawDirectory } from './raw-directory.ts';
import { RawLog } from './raw-log.ts';
import { median, rounded, SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';

const TRANSACTION = 500;
const WRITERS = 4;

/**
 * Everybody is renamed while nobody listens. Ours: from "connected" until the last event is durable, as the product logs it.
 * The floor: the same delta read by an LDAP library, which collects all entries as objects before it gives any of them, then the
 * replication metadata of all of them, which say of each change where it was made, and then the very messages that the product wrote put on three topics in transactions of 500. Several products know the directory from
 * before the renames, so that the delta can be read several times; they take turns with the floor.
 */
export const burst: Bench = {
  name: 'burst',
  summary: `${USERS} renames read in one delta until the last event is durable, against raw reads and raw transactions`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    const runs = quick ? 1 : 5;
    await using bed = await startBed({ users: USERS, brokers: 1, customerEngagement: true, linked: 0 });
    await using raw = await RawDirectory.open(bed.directory);
    await raw.read();
    const before = raw.cookie;
    const products = await learned(bed, runs);
    const begun = performance.now();
    await renameAll(bed);
    print(`${USERS} renamed in ${((performance.now() - begun) / 1000).toFixed(0)} s`);

    const times: Record<Engine | 'read' | 'metadata' | 'write' | 'floor', number[]> = {
      kafka: [],
      sqlite: [],
      read: [],
      metadata: [],
      write: [],
      floor: [],
    };
    for (let run = 0; run < runs; run++) {
      for (const engine of ENGINES) times[engine].push(await ours(products[engine][run]));
      let entries: Entry[] = [];
      const read = await timed(async () => {
        raw.cookie = before;
        entries = await raw.read();
        if (entries.length < USERS) throw new Error(`the raw read brought ${entries.length} entries`);
      });
      const metadata = await timed(async () => {
        const found = await raw.metadata(entries);
        if (found.length !== entries.length) throw new Error(`of ${entries.length} objects ${found.length} were found`);
      });
      const write = await rawWrites(bed, `kafka-${run}.`);
      times.read.push(read);
      times.metadata.push(metadata);
      times.write.push(write);
      times.floor.push(read + metadata + write);
    }
    const floor = median(times.floor);
    const withoutMetadata = median(times.floor.map((time, run) => time - (times.metadata[run] ?? 0)));
    const rows = Object.entries(times).map(([name, samples]) => [name, ...spread(samples), (median(samples) / floor).toFixed(2)]);
    print(table([`ms, ${USERS} renames`, ...SPREAD_COLUMNS, 'ratio'], rows));
    print(`  floor one after the other: ${times.floor.map((time) => time.toFixed(0)).join(' ')}`);
    const ratios = { time: rounded(median(times.kafka) / floor), timeWithoutMetadata: rounded(median(times.kafka) / withoutMetadata) };
    print(`  against a floor without metadata: kafka ${ratios.timeWithoutMetadata}`);
    return {
      figures: Object.assign({}, ...(['kafka', 'sqlite', 'floor'] as const).map((name) => spreadFigures(name, times[name]))),
      ratios,
    };
  },
};

/** Listeners that have read the directory once and are stopped. */
async function learned(bed: Bed, runs: number): Promise<Record<Engine, Namesake[]>> {
  const products: Record<Engine, Namesake[]> = { kafka: [], sqlite: [] };
  for (const engine of ENGINES) {
    for (let run = 0; run < runs; run++) {
      const name = `${engine}-${run}`;
      const product = await Namesake.prepare({ bed, path: join(bed.path, name), command: 'listen', engine, topicPrefix: `${name}.` });
      await using running = product;
      await startUntil(running, { read: SAYS.readEverything });
      products[engine].push(product);
    }
  }
  return products;
}

async function renameAll(bed: Bed): Promise<void> {
  const numbers = Array.from({ length: USERS }, (_, index) => index + 1).values();
  const work = async () => {
    await using admin = await DirectoryAdmin.connect(bed.directory);
    for (const number of numbers) {
      const { sAMAccountName } = bulkUser(number);
      const found = await admin.find(sAMAccountName);
      if (found === undefined) throw new Error(`there is no ${sAMAccountName}`);
      await admin.rename(found.objectGUID, `renamed${number}`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
}

async function ours(product: Namesake | undefined): Promise<number> {
  if (product === undefined) throw new Error('there are fewer products than runs');
  await using running = product;
  const { connected, last } = await startUntil(running, { connected: SAYS.connected, last: `"sequence":${USERS},` });
  return timeOf(last) - timeOf(connected);
}

/** Copies what the product wrote. */
async function rawWrites(bed: Bed, topicPrefix: string): Promise<number> {
  await using log = await RawLog.open(bed.broker.bootstrap);
  const changes = await log.copy(`${topicPrefix}identity-change`, (count) => count >= USERS);
  const states = (await log.copy(`${topicPrefix}identity-state`, (count) => count >= 2 * USERS)).slice(-USERS);
  const position = [{ key: 'position', value: 'x'.repeat(400) }];
  await log.write([changes.slice(0, 1), states.slice(0, 1), position]);
  return await timed(async () => {
    for (let from = 0; from < USERS; from += TRANSACTION) {
      const end = from + TRANSACTION;
      await log.write([changes.slice(from, end), states.slice(from, end), end < USERS ? [] : position]);
    }
  });
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
