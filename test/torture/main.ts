import { parseArgs } from 'node:util';
import { CHANGES, commandFor, Torture } from './torture.ts';

const USAGE = `usage: npm run torture -- listener [--minutes N] [--seed S] [--operations N]

Changes accounts at random on two domain controllers, disturbs these, their replication, the lines to them, the listener and its log
meanwhile, and compares the history with the directory when all is quiet again.

  --seed S        the first seed (default: a random one); a run of the same seed makes the same choices
  --minutes N     goes on with the next seeds until so much time has passed (default: one seed)
  --operations N  changes of each seed (default: ${CHANGES})
  --trace         prints what happened also when nothing is wrong`;

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
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (positionals.join() !== 'listener') throw new UsageError(`${positionals.join(' ') || 'nothing'}: listener is expected`);
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
