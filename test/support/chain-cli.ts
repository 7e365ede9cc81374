import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from './chain-wait.ts';

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is killed. Default 30,000. */
  readonly within?: number;
  /** Default: the sources, as they are. */
  readonly program?: string;
}

/** What a command printed and how it ended; null when it was killed. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The product's command as a person types it, run to its end. */
export async function namesake(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  await using command = new Command(args, options);
  return await command.ended;
}

/** The product's command while it runs. */
export class Command implements AsyncDisposable {
  readonly ended: Promise<CliResult>;
  readonly #child: ChildProcess;
  readonly #output = { stdout: '', stderr: '' };

  constructor(args: readonly string[], { cwd, env = {}, within = 30_000, program = PROGRAM }: CliOptions = {}) {
    const child = spawn(process.execPath, [program, ...args], {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        this.#output[stream] += text;
      });
    }
    const late = setTimeout(() => child.kill('SIGKILL'), within);
    this.ended = once(child, 'close').then(([code]: (number | null)[]) => {
      clearTimeout(late);
      return { code: code ?? null, ...this.#output };
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#output.stdout;
  }

  get stderr(): string {
    return this.#output.stderr;
  }

  async says(pattern: RegExp, within = 20_000): Promise<void> {
    await until(`the command says ${pattern}; it said:\n${this.stdout}`, async () => pattern.test(this.stdout), within, 5);
  }

  /** SIGTERM. @returns also how many milliseconds it took to end */
  async terminate(): Promise<CliResult & { milliseconds: number }> {
    const begun = performance.now();
    this.#child.kill('SIGTERM');
    return { ...(await this.ended), milliseconds: performance.now() - begun };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
