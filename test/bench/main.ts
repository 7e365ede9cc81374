import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Bench } from './bench.ts';
import { burst } from './burst.ts';
import { idle } from './idle.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { repair } from './repair.ts';
import { restart } from './restart.ts';
import { snapshot } from './snapshot.ts';

const BENCHES: readonly Bench[] = [latency, repair, snapshot, burst, idle, restart, memory];

const LIST = BENCHES.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join('\n');
const USAGE = `usage: npm run bench -- NAME [--json FILE] [--quick] [--seconds N]

${LIST}

  --json FILE  also write {"bench": NAME, "figures": {…}, "ratios": {…}} there
  --quick      fewer runs and no large directories: shows that it works, its figures mean little
  --seconds N  how long idle watches (default: 60)

Times are in milliseconds. Other work on the machine spoils them: the load average is printed before and after.`;

class UsageError extends Error {}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '60' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [name, ...more] = positionals;
  if (name === undefined) {
    console.log(LIST);
    return 0;
  }
  const bench = BENCHES.find((candidate) => candidate.name === name);
  if (bench === undefined || more.length > 0) throw new UsageError(`${[name, ...more].join(' ')}: one of these names is expected\n${LIST}`);
  if (!/^[1-9]\d{0,4}$/.test(values.seconds)) throw new UsageError(`--seconds ${values.seconds}: a number from 1 is expected`);
  console.log(`${bench.name}: ${bench.summary}`);
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, load ${load()}\n`);
  const outcome = await bench.run({ quick: values.quick, seconds: Number(values.seconds) }, console.log);
  const ratios = Object.entries(outcome.ratios).map(([key, value]) => `${key} ${value}`);
  console.log(`\n${ratios.length > 0 ? `ratios: ${ratios.join(', ')}; ` : ''}load ${load()}`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ bench: bench.name, ...outcome }, null, 2)}\n`);
  return 0;
}

function load(): string {
  return loadavg()
    .map((average) => average.toFixed(2))
    .join(' ');
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(usage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = usage ? 2 : 1;
}
