import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { CHANGES, commandFor, Torture } from './torture.ts';

const USAGE = `usage: npm run torture -- listener [--minutes N] [--seed S] [--operations N]
       npm run torture -- repairer [--seeds N] [--seed S]

listener: changes accounts at random on two domain controllers, disturbs these, their replication, the lines to them, the listener and its log
meanwhile, and compares the history with the directory when all is quiet again.

  --seed S        the first seed (default: a random one); a run of the same seed makes the same choices
  --minutes N     goes on with the next seeds until so much time has passed (default: one seed)
  --operations N  changes of each seed (default: ${CHANGES})
  --trace         prints what happened also when nothing is wrong

repairer: changes names at random, lets requests to a stand-in of Customer Engagement fail and repairers die, and looks whether every
record is right in the end; by vitest, whose clock goes faster.

  --seeds N       so many seeds (default: 20)`;

class UsageError extends Error {}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string', default: '0' },
      operations: { type: 'string', default: String(CHANGES) },
      trace: { type: 'boolean', default: false },
      seeds: { type: 'string', default: '20' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (positionals.join() === 'repairer') return await repairer(values.seed ?? String(Math.floor(Math.random() * 1_000_000)), values.seeds);
  if (positionals.join() !== 'listener') throw new UsageError(`${positionals.join(' ') || 'nothing'}: listener or repairer is expected`);
  const minutes = number('minutes', values.minutes);
  const operations = number('operations', values.operations);
  const first = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : number('seed', values.seed);
  const begun = performance.now();
  await using torture = new Torture();
  let [seed, changes, failed] = [first, 0, 0];
  do {
    const at = performance.now();
    const outcome = await torture.run(seed, operations);
    const took = ((performance.now() - at) / 1_000).toFixed(1);
    console.log(`seed ${seed}: ${outcome.changes} changes (${outcome.refused} refused), ${outcome.events} events, ${took} s`);
    if (values.trace || outcome.faults.length > 0) console.log(outcome.trace.join('\n'));
    if (outcome.faults.length > 0) {
      failed += 1;
      console.log(`${outcome.faults.join('\n')}\nagain: ${commandFor(seed, operations)}`);
    }
    changes += outcome.changes;
    seed += 1;
  } while (performance.now() - begun < minutes * 60_000);
  console.log(`${seed - first} seeds, ${changes} changes, ${failed} seeds failed`);
  return failed === 0 ? 0 : 1;
}

/** @returns the exit code of vitest */
async function repairer(seed: string, seeds: string): Promise<number> {
  const env = { ...process.env, TORTURE_SEED: String(number('seed', seed)), TORTURE_SEEDS: String(number('seeds', seeds)) };
  const child = spawn('vitest', ['run', '--project', 'unit', 'test/torture/repairer.test.ts'], { env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

function number(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} ${text}: a number is expected`);
  return Number(text);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(usage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = usage ? 2 : 1;
}
