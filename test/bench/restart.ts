import { join } from 'node:path';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { ENGINES, type Engine, SAYS, startUntil, timeOf } from './product.ts';
import { SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';

/** What a start says on its way, in this order. */
const STEPS = { listening: SAYS.listening, connected: SAYS.connected, repairing: SAYS.repairing };
type Step = keyof typeof STEPS;

/**
 * From exec until the product says that it listens (its state is read and it is the only writer), that it is connected to
 * the directory, and that it repairs. Another start with everything known, after an orderly stop.
 */
export const restart: Bench = {
  name: 'restart',
  summary: `exec until it listens, with the state of ${USERS} users`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    await using bed = await startBed({ users: USERS, brokers: 1, customerEngagement: true });
    const rows: (string | number)[][] = [];
    const figures: Record<string, number> = {};
    for (const engine of ENGINES) {
      const starts = await measure(bed, engine, quick ? 2 : 10);
      for (const step of Object.keys(STEPS) as Step[]) {
        const times = starts.map((start) => start[step]);
        rows.push([`${engine} ${step}`, ...spread(times)]);
        Object.assign(
          figures,
          spreadFigures(step === 'listening' ? engine : `${engine}${step.charAt(0).toUpperCase()}${step.slice(1)}`, times),
        );
      }
    }
    print(table(['ms', ...SPREAD_COLUMNS], rows));
    return { figures, ratios: {} };
  },
};

async function measure(bed: Bed, engine: Engine, runs: number): Promise<Record<Step, number>[]> {
  const product = await Namesake.prepare({ bed, path: join(bed.path, engine), engine });
  await startUntil(product, STEPS);
  await product.stop();
  const starts: Record<Step, number>[] = [];
  for (let run = 0; run < runs; run++) {
    const begun = Date.now();
    await using running = product;
    const said = await startUntil(running, STEPS);
    const after = (step: Step) => timeOf(said[step]) - begun;
    starts.push({ listening: after('listening'), connected: after('connected'), repairing: after('repairing') });
  }
  return starts;
}
