import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bed, startBed } from './bed.ts';
import { COMMANDS, partName } from './commands.ts';
import { takeOrders } from './control.ts';
import { describeBed } from './overview.ts';
import { findProcess, type ProcessMark, processMark } from './proc.ts';

/** What `up` leaves behind for `status` and `down`. */
export interface Standing {
  readonly supervisor: ProcessMark;
  readonly parts: readonly (ProcessMark & { readonly name: string; readonly address: string })[];
  /** Connection details for people. */
  readonly overview: string;
}

/** What the supervisor tells the command that started it. */
export type Report = { readonly line: string } | { readonly up: true } | { readonly failed: string };

export interface UpOptions {
  readonly path: string;
  readonly users: number;
  readonly brokers: 0 | 1 | 3;
  readonly dcs: 1 | 2;
  readonly rodc: boolean;
  readonly secondForest: boolean;
}

const STOP_WITHIN = 40_000;
const POLL = 50;

/** Owns the parts until SIGTERM. Runs in a process of its own, which `up` starts; the parts die with it. */
export async function supervise(options: UpOptions): Promise<void> {
  const report = (message: Report) => process.connected && process.send?.(message);
  const stopping = Promise.withResolvers<void>();
  process.once('SIGTERM', stopping.resolve);
  process.once('SIGINT', stopping.resolve);
  // Nobody waits for this start any more.
  const abandoned = () => process.exit(1);
  process.once('disconnect', abandoned);
  try {
    await using bed = await startBed({
      ...options,
      customerEngagement: true,
      progress: (part, elapsed) => report({ line: `${part} answers after ${(elapsed / 1000).toFixed(1)} s` }),
    });
    let standing: Standing = { supervisor: await processMark(process.pid), parts: [], overview: describeBed(bed) };
    const writeDown = async () => {
      standing = { ...standing, parts: await marked(bed, standing.parts) };
      await writeFile(standingFile(options.path), JSON.stringify(standing), { mode: 0o600 });
    };
    await writeDown();
    await using _ = await takeOrders(options.path, async ({ command, args }) => {
      try {
        return (await COMMANDS[command]?.run(bed, args)) ?? `${command}: no such command`;
      } finally {
        await writeDown();
      }
    });
    process.off('disconnect', abandoned);
    report({ up: true });
    await stopping.promise;
  } catch (error) {
    report({ failed: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  } finally {
    await rm(standingFile(options.path), { force: true });
  }
}

/** Parts that do not run are told as they were when they did. */
async function marked(bed: Bed, before: Standing['parts']): Promise<Standing['parts']> {
  const running = await Promise.all(bed.parts.map(async (part) => ({ ...part, name: partName(part), ...(await processMark(part.pid)) })));
  const known = bed.processes.map((process) => partName(process));
  return known.flatMap((name) => [...running, ...before].find((part) => part.name === name) ?? []);
}

/** What is up below this path, as it was written down; its processes may have died since. */
export async function readStanding(path: string): Promise<Standing | undefined> {
  const text = await readFile(standingFile(path), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Standing);
}

/** Resolves when the supervisor is gone. @returns false when there was none */
export async function stopSupervisor(path: string): Promise<boolean> {
  const standing = await readStanding(path);
  if (standing === undefined || (await findProcess(standing.supervisor)) === undefined) {
    await rm(standingFile(path), { force: true });
    return false;
  }
  process.kill(standing.supervisor.pid, 'SIGTERM');
  const deadline = Date.now() + STOP_WITHIN;
  while ((await findProcess(standing.supervisor)) !== undefined) {
    if (Date.now() > deadline) {
      throw new Error(`the supervisor (pid ${standing.supervisor.pid}) has not stopped within ${STOP_WITHIN} ms`);
    }
    await delay(POLL);
  }
  return true;
}

function standingFile(path: string): string {
  return join(path, 'standing.json');
}
