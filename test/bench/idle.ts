import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startBed } from '../../infra/testbed/bed.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { SAYS, startUntil } from './product.ts';
import { rounded, table } from './statistics.ts';
import { cpuSeconds, memoryMB } from './usage.ts';

/** Parts of the whole time, so that a single busy moment can be told from a steady load. */
const PARTS = 6;
/** From the start of the work until it counts as idle. */
const SETTLE = 10_000;

/** What the product costs while nothing happens: all its roles, on Kafka, with everybody known and linked. */
export const idle: Bench = {
  name: 'idle',
  summary: `processor time and memory while nothing happens, ${USERS} users, Kafka`,
  async run({ quick, seconds }: BenchOptions, print: Print): Promise<Outcome> {
    await using bed = await startBed({ users: USERS, brokers: 1, customerEngagement: true });
    const product = await Namesake.prepare({ bed, path: join(bed.path, 'product'), engine: 'kafka' });
    await using running = product;
    await startUntil(running, { repairing: SAYS.repairing });
    await delay(quick ? 1_000 : SETTLE);
    const pid = running.pid ?? 0;
    const first = await sample(pid);
    const rows: (string | number)[][] = [];
    let last = first;
    for (let part = 0; part < PARTS; part++) {
      await delay((seconds * 1000) / PARTS);
      const next = await sample(pid);
      rows.push([`part ${part + 1}`, percent(last, next), next.memory.now]);
      last = next;
    }
    rows.push(['whole', percent(first, last), last.memory.now]);
    print(table([`${seconds} s`, '% of a core', 'RSS MB'], rows));
    print(`  largest RSS since the start: ${last.memory.peak.toFixed(0)} MB`);
    return { figures: { cpuPercent: rounded(percent(first, last)), rssMB: rounded(last.memory.now) }, ratios: {} };
  },
};

interface Sample {
  readonly at: number;
  readonly cpu: number;
  readonly memory: { now: number; peak: number };
}

async function sample(pid: number): Promise<Sample> {
  return { at: performance.now() / 1000, cpu: await cpuSeconds(pid), memory: await memoryMB(pid) };
}

function percent(from: Sample, to: Sample): number {
  return ((to.cpu - from.cpu) / (to.at - from.at)) * 100;
}
