import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever that is. `env` replaces single variables. */
export async function outcomeOf(command: string, args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Outcome> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (chunk: string) => {
      texts[stream] += chunk;
    });
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

/** A directory that goes with the test. */
export async function scratch(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'namesake-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Polls until it is true. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, within = 10_000): Promise<void> {
  const deadline = Date.now() + within;
  while (!(await holds())) {
    if (Date.now() > deadline) {
      throw new Error(`not within ${within} ms: ${what}`);
    }
    await delay(20);
  }
}
