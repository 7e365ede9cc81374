import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BEDS } from './paths.ts';
import { findProcess } from './proc.ts';
import { type Report, readStanding, stopSupervisor, supervise } from './supervisor.ts';

const USAGE = `usage: npm run testbed -- COMMAND [OPTIONS]

  up       start a domain controller, a broker and the CE stand-in in the background; return when they answer
  down     stop them
  status   show each part's process and memory; exit code 1 when something is down

options of up:
  --users N         bulk users besides the people, each with a CE record (default 0)
  --brokers N       0, 1 or 3 (default 1; 0 without Java)
  --keep-data       go on with the data of the last time
options of all:
  --path DIRECTORY  where everything of it is (default .testbed/up)

exit codes: 0 done, 1 failed or something is down, 2 wrong usage`;

/** Wrong usage; the message says what is wrong. */
class UsageError extends Error {}

interface Arguments {
  readonly command: string | undefined;
  readonly users: number;
  readonly brokers: 0 | 1 | 3;
  readonly keepData: boolean;
  readonly path: string;
}

function parse(args: string[]): Arguments | 'help' {
  const options = {
    users: { type: 'string', default: '0' },
    brokers: { type: 'string', default: process.env.TESTBED_BROKER === 'missing' ? '0' : '1' },
    'keep-data': { type: 'boolean', default: false },
    path: { type: 'string', default: join(BEDS, 'up') },
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
  if (positionals.length > 1) {
    throw new UsageError(`${positionals[1]}: one command is expected`);
  }
  return { command: positionals[0], users: Number(values.users), brokers, keepData: values['keep-data'], path: resolve(values.path) };
}

async function up({ users, brokers, keepData, path }: Arguments): Promise<number> {
  const standing = await readStanding(path);
  if (standing !== undefined && (await findProcess(standing.supervisor)) !== undefined) {
    console.log(`already up (supervisor ${standing.supervisor.pid})\n\n${standing.overview}`);
    return 0;
  }
  if (!keepData) {
    await rm(path, { recursive: true, force: true });
  }
  await mkdir(path, { recursive: true, mode: 0o700 });
  const failure = await startSupervisor(path, ['--users', String(users), '--brokers', String(brokers), '--path', path]);
  if (failure !== undefined) {
    console.error(failure);
    return 1;
  }
  console.log(`\n${(await readStanding(path))?.overview}\n\nstop with: npm run testbed -- down`);
  return 0;
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
      await supervise({ path: parsed.path, users: parsed.users, brokers: parsed.brokers });
      return Number(process.exitCode ?? 0);
    default:
      throw new UsageError(parsed.command === undefined ? 'a command is expected' : `${parsed.command}: no such command`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError || (error instanceof TypeError && 'code' in error);
  console.error(usage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = usage ? 2 : 1;
}
