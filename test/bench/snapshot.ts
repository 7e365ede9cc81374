import { join } from 'node:path';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { ldapsearch } from './ldapsearch.ts';
import { ENGINES, type Engine, SAYS, startUntil } from './product.ts';
import { median, rounded, SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';
import { memoryMB } from './usage.ts';

const MANY_USERS = 50_000;

/**
 * The first read of a directory. Ours: from the first request of the read until its last page is durable, as the product logs
 * it; logon and start are not in it. `ldapsearch`: the whole command with its logon, a few ms. They take turns. The ratio is
 * that of the slower engine's median.
 */
export const snapshot: Bench = {
  name: 'snapshot',
  summary: `first read of ${USERS} users into a durable state, against OpenLDAP's ldapsearch; peak memory`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    const small = await measure(USERS, quick ? 1 : 5, print);
    const large = quick ? undefined : await measure(MANY_USERS, 1, print);
    const times = (readings: Readings) => readings.map(({ milliseconds }) => milliseconds);
    const floor = median(times(small.ldapsearch));
    return {
      figures: {
        ...spreadFigures('ldapsearch', times(small.ldapsearch)),
        ...Object.assign({}, ...ENGINES.map((engine) => spreadFigures(engine, times(small[engine])))),
        ...peaks(small, USERS),
        ...(large && peaks(large, MANY_USERS)),
      },
      ratios: { time: rounded(Math.max(...ENGINES.map((engine) => median(times(small[engine])))) / floor) },
    };
  },
};

type Readings = { objects: number; milliseconds: number; peak: number }[];
type Measured = Record<Engine | 'ldapsearch', Readings>;

async function measure(users: number, runs: number, print: Print): Promise<Measured> {
  const measured: Measured = { ldapsearch: [], kafka: [], sqlite: [] };
  await using bed = await startBed({ users, brokers: 1, customerEngagement: true, linked: 0 });
  for (let run = 0; run < runs; run++) {
    for (const engine of ENGINES) {
      measured.ldapsearch.push({ ...(await ldapsearch(bed.directory)), peak: Number.NaN });
      measured[engine].push(await firstRead(bed, engine, `${engine}-${run}`));
    }
  }
  const readings = Object.entries(measured);
  const counts = new Set(readings.flatMap(([, all]) => all.map(({ objects }) => objects)));
  if (counts.size !== 1) throw new Error(`they did not read the same: ${[...counts].join(', ')} objects`);
  const floor = median(measured.ldapsearch.map(({ milliseconds }) => milliseconds));
  const rows = readings.map(([name, all]) => {
    const times = all.map(({ milliseconds }) => milliseconds);
    return [
      name,
      ...spread(times),
      median(times) / floor,
      name === 'ldapsearch' ? '' : Math.max(...all.map(({ peak }) => peak)).toFixed(0),
    ];
  });
  print(table([`ms, ${[...counts].join()} objects`, ...SPREAD_COLUMNS, 'ratio', 'peak MB'], rows));
  print(`  ldapsearch one after the other: ${measured.ldapsearch.map(({ milliseconds }) => milliseconds.toFixed(0)).join(' ')}\n`);
  return measured;
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
