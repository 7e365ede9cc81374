import { join } from 'node:path';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { ldapsearch, ldapsearchLogon } from './ldapsearch.ts';
import { ENGINES, type Engine, SAYS, startUntil } from './product.ts';
import { median, rounded, SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';
import { memoryMB } from './usage.ts';

const MANY_USERS = 50_000;

/**
 * The first read of a directory. Ours: from the first request of the read until its last page is durable, as the product logs
 * it; logon and start are not in it. `ldapsearch`: the whole command, of which its start and logon are taken off again: the
 * median of the same command that only logs on and reads the root DSE. They take turns. The floor is what is left, and the ratio
 * that of the slower engine's median.
 */
export const snapshot: Bench = {
  name: 'snapshot',
  summary: `first read of ${USERS} users into a durable state, against OpenLDAP's ldapsearch; peak memory`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    const small = await measure(USERS, quick ? 1 : 5, print);
    const large = quick ? undefined : await measure(MANY_USERS, 1, print);
    return {
      figures: {
        ...spreadFigures('ldapsearch', timesOf(small.ldapsearch)),
        ...spreadFigures('logon', timesOf(small.logon)),
        ...Object.assign({}, ...ENGINES.map((engine) => spreadFigures(engine, timesOf(small[engine])))),
        floor: rounded(floorOf(small)),
        ...peaks(small, USERS),
        ...(large && peaks(large, MANY_USERS)),
      },
      ratios: { time: rounded(Math.max(...ENGINES.map((engine) => median(timesOf(small[engine])))) / floorOf(small)) },
    };
  },
};

type Readings = { objects: number; milliseconds: number; peak: number }[];
type Measured = Record<Engine | 'ldapsearch' | 'logon', Readings>;

async function measure(users: number, runs: number, print: Print): Promise<Measured> {
  const measured: Measured = { logon: [], ldapsearch: [], kafka: [], sqlite: [] };
  await using bed = await startBed({ users, brokers: 1, customerEngagement: true, linked: 0 });
  for (let run = 0; run < runs; run++) {
    for (const engine of ENGINES) {
      measured.logon.push({ ...(await ldapsearchLogon(bed.directory)), peak: Number.NaN });
      measured.ldapsearch.push({ ...(await ldapsearch(bed.directory)), peak: Number.NaN });
      measured[engine].push(await firstRead(bed, engine, `${engine}-${run}`));
    }
  }
  const { logon: _, ...reads } = measured;
  const counts = new Set(Object.values(reads).flatMap((all) => all.map(({ objects }) => objects)));
  if (counts.size !== 1) throw new Error(`they did not read the same: ${[...counts].join(', ')} objects`);
  const floor = floorOf(measured);
  const rows = Object.entries(measured).map(([name, all]) => {
    const known = all.map(({ peak }) => peak).filter((peak) => peak > 0);
    return [name, ...spread(timesOf(all)), median(timesOf(all)) / floor, known.length === 0 ? '' : Math.max(...known).toFixed(0)];
  });
  print(table([`ms, ${[...counts].join()} objects`, ...SPREAD_COLUMNS, 'ratio', 'peak MB'], rows));
  const inTurn = timesOf(measured.ldapsearch).map((time) => time.toFixed(0));
  print(`  ldapsearch one after the other: ${inTurn.join(' ')}; without its logon, the floor: ${floor.toFixed(0)}\n`);
  return measured;
}

/** What `ldapsearch` takes for the read alone. */
function floorOf({ ldapsearch, logon }: Measured): number {
  return median(timesOf(ldapsearch)) - median(timesOf(logon));
}

function timesOf(readings: Readings): number[] {
  return readings.map(({ milliseconds }) => milliseconds);
}

async function firstRead(bed: Bed, engine: Engine, name: string): Promise<Readings[number]> {
  const product = await Namesake.prepare({ bed, path: join(bed.path, name), command: 'listen', engine, topicPrefix: `${name}.` });
  await using running = product;
  const { read } = await startUntil(running, { read: SAYS.readEverything });
  return { objects: Number(read.objects), milliseconds: Number(read.milliseconds), peak: (await memoryMB(running.pid ?? 0)).peak };
}

function peaks(measured: Measured, users: number): Record<string, number> {
  return Object.fromEntries(
    ENGINES.map((engine) => [`${engine}PeakMB${users}`, rounded(Math.max(...measured[engine].map(({ peak }) => peak)))]),
  );
}
