import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { COMMANDS } from './commands.ts';
import { giveOrder } from './control.ts';
import { BEDS } from './paths.ts';
import { findProcess } from './proc.ts';
import { type Report, readStanding, stopSupervisor, supervise, type UpOptions } from './supervisor.ts';

const DEFAULT_PATH = join(BEDS, 'up');

const USAGE = `usage: npm run testbed -- COMMAND [OPTIONS]

  up       start a domain controller, a broker and the CE stand-in in the background; return when they answer
  down     stop them
  status   show each part's process and memory; exit code 1 when something is down

and to what is up (PART: as status names them; DC: dc1, dc2, rodc or second-forest):
${Object.entries(COMMANDS)
  .map(([name, { parameters, summary }]) => `  ${[name, ...parameters].join(' ').padEnd(20)} ${summary}`)
  .join('\n')}

options of up:
  --users N         bulk users besides the people, each with a CE record (default 0)
  --brokers N       0, 1 or 3 (default 1; 0 without Java)
  --dcs N           1 or 2 domain controllers; two replicate with each other (default 1)
  --rodc            one more that is read-only
  --second-forest   another domain beside it, with a domain controller and people of its own
  --keep-data       go on with the data of the last time
options of all:
  --path DIRECTORY  where everything of it is (default .testbed/up)

exit codes: 0 done, 1 failed or something is down, 2 wrong usage`;

/** Wrong usage; the message says what is wrong. */
class UsageError extends Error {}

interface Arguments extends UpOptions {
  readonly command: string | undefined;
  /** What follows the command. */
  readonly operands: readonly string[];
  readonly keepData: boolean;
}

function parse(args: string[]): Arguments | 'help' {
  const options = {
    users: { type: 'string', default: '0' },
    brokers: { type: 'string', default: process.env.TESTBED_BROKER === 'missing' ? '0' : '1' },
    dcs: { type: 'string', default: '1' },
    rodc: { type: 'boolean', default: false },
    'second-forest': { type: 'boolean', default: false },
    'keep-data': { type: 'boolean', default: false },
    path: { type: 'string', default: DEFAULT_PATH },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  if (values.help) {
    return 'help';
  }
  if (!/^\d{1,6}$/.test(values.users)) {
    throw new UsageError(`--users ${values.users}: a number up to 999999 is expected`);
  }
  const brokers = ([0, 1, 3] as const).find((count) => String(count) === values.brokers);
  if (brokers === undefined) {
    throw new UsageError(`--brokers ${values.brokers}: 0, 1 or 3 is expected`);
  }
  const dcs = ([1, 2] as const).find((count) => String(count) === values.dcs);
  if (dcs === undefined) {
    throw new UsageError(`--dcs ${values.dcs}: 1 or 2 is expected`);
  }
  const [command, ...operands] = positionals;
  const parameters = COMMANDS[command ?? '']?.parameters ?? [];
  if (operands.length !== parameters.length) {
    const surplus = `${operands[parameters.length]}: one command is expected`;
    throw new UsageError(operands.length > parameters.length ? surplus : `${[command, ...parameters].join(' ')} is expected`);
  }
  const { rodc, 'second-forest': secondForest, 'keep-data': keepData } = values;
  const path = resolve(values.path);
  return { command, operands, users: Number(values.users), brokers, dcs, rodc, secondForest, keepData, path };
}

async function up(wanted: Arguments): Promise<number> {
  const { path, keepData } = wanted;
  const standing = await readStanding(path);
  if (standing !== undefined && (await findProcess(standing.supervisor)) !== undefined) {
    console.log(`already up (supervisor ${standing.supervisor.pid})\n\n${standing.overview}`);
    return 0;
  }
  if (!keepData) {
    await rm(path, { recursive: true, force: true });
  }
  await mkdir(path, { recursive: true, mode: 0o700 });
  const failure = await startSupervisor(path, optionsOf(wanted));
  if (failure !== undefined) {
    console.error(failure);
    return 1;
  }
  const where = path === DEFAULT_PATH ? '' : ` --path ${path}`;
  console.log(`\n${(await readStanding(path))?.overview}\n\nstop with: npm run testbed -- down${where}`);
  return 0;
}

/** What the supervisor is told; `parse` of this says the same again. */
function optionsOf({ users, brokers, dcs, rodc, secondForest, path }: Arguments): string[] {
  const numbers = ['--users', String(users), '--brokers', String(brokers), '--dcs', String(dcs)];
  return [...numbers, ...(rodc ? ['--rodc'] : []), ...(secondForest ? ['--second-forest'] : []), '--path', path];
}

/** Resolves when the parts answer, or with what went wrong. */
async function startSupervisor(path: string, options: readonly string[]): Promise<string | undefined> {
  const log = join(path, 'supervisor.log');
  const file = openSync(log, 'w', 0o600);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'supervise', ...options], {
    detached: true,
    stdio: ['ignore', file, file, 'ipc'],
  });
  closeSync(file);
  const outcome = Promise.withResolvers<string | undefined>();
  child.on('message', (report: Report) => {
    if ('line' in report) {
      console.log(report.line);
    } else {
      outcome.resolve('failed' in report ? report.failed : undefined);
    }
  });
  const ended = once(child, 'exit').then(async () => outcome.resolve(`the supervisor died:\n${await readFile(log, 'utf8')}`));
  const failure = await outcome.promise;
  if (child.connected) {
    child.disconnect();
  }
  if (failure === undefined) {
    child.unref();
  } else {
    await ended;
  }
  return failure;
}

async function down(path: string): Promise<number> {
  console.log((await stopSupervisor(path)) ? 'stopped' : 'nothing is up');
  return 0;
}

async function status(path: string): Promise<number> {
  const standing = await readStanding(path);
  if (standing === undefined) {
    console.log('nothing is up');
    return 1;
  }
  let code = 0;
  for (const part of [{ ...standing.supervisor, name: 'supervisor', address: '' }, ...standing.parts]) {
    const seen = await findProcess(part);
    const state = seen === undefined ? 'down' : seen.paused ? 'paused' : 'up';
    const memory = `${Math.round((seen?.memory ?? 0) / 1024 ** 2)} MB`;
    console.log([part.name.padEnd(20), state.padEnd(7), String(part.pid).padStart(8), memory.padStart(8), `  ${part.address}`].join(' '));
    code = state === 'up' ? code : 1;
  }
  return code;
}

async function order(path: string, command: string, args: readonly string[]): Promise<number> {
  const standing = await readStanding(path);
  if (standing === undefined || (await findProcess(standing.supervisor)) === undefined) {
    console.error('nothing is up');
    return 1;
  }
  try {
    console.log(await giveOrder(path, { command, args }));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

async function main(): Promise<number> {
  const parsed = parse(process.argv.slice(2));
  if (parsed === 'help') {
    console.log(USAGE);
    return 0;
  }
  switch (parsed.command) {
    case 'up':
      return await up(parsed);
    case 'down':
      return await down(parsed.path);
    case 'status':
      return await status(parsed.path);
    case 'supervise':
      await supervise(parsed);
      return Number(process.exitCode ?? 0);
    case undefined:
      throw new UsageError('a command is expected');
    default:
      if (COMMANDS[parsed.command] === undefined) {
        throw new UsageError(`${parsed.command}: no such command`);
      }
      return await order(parsed.path, parsed.command, parsed.operands);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(usage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = usage ? 2 : 1;
}
