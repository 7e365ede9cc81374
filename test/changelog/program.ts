import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KafkaSettings } from '../../src/changelog/kafka/client.ts';

/** What the appender is told to do. */
export type Program = { readonly accounts: number; readonly batches: number } & (
  | { readonly engine: 'sqlite'; readonly file: string }
  | { readonly engine: 'kafka'; readonly settings: KafkaSettings; readonly cacheFile: string }
);

/** The appender as a child process. Disposing kills it, as a crash would. */
export class Appender implements AsyncDisposable {
  /** The sequence up to which it said that its batches are durable. */
  acknowledged = 0;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #listening: Promise<void>;

  constructor(program: Program) {
    const script = fileURLToPath(new URL('appender.ts', import.meta.url));
    this.#child = spawn(process.execPath, [script, JSON.stringify(program)], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#exited = once(this.#child, 'exit');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#listening = promise;
    promise.catch(() => {});
    this.#child.once('exit', () => reject(new Error('the appender ended')));
    const output = this.#child.stdout;
    if (output === null) throw new Error('the appender has no output');
    createInterface(output).on('line', (line) => {
      if (line === 'listening') resolve();
      else this.acknowledged = Number(line);
    });
  }

  /** Resolves once it holds the lease. */
  listening(): Promise<void> {
    return this.#listening;
  }

  /** SIGKILL; resolves when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
