import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is killed. Default 30,000. */
  readonly within?: number;
}

/** What a command printed and how it ended; null when it was killed. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The product's command as a person types it, run to its end. */
export async function namesake(args: readonly string[], { cwd, env = {}, within = 30_000 }: CliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const late = setTimeout(() => child.kill('SIGKILL'), within);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(late);
  return { code, ...output };
}
