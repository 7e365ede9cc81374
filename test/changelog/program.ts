import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KafkaSettings } from '../../src/changelog/kafka/client.ts';

export interface Work {
  readonly accounts: number;
  readonly batches: number;
  /** Milliseconds between two batches. */
  readonly pause?: number;
  /** Whether it closes everything in the end, or stays. */
  readonly leaves?: boolean;
}

/** What the appender is told to do. */
export type Program = Work &
  (
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
  #errors = '';
  #closed: number | undefined;

  constructor(program: Program) {
    const script = fileURLToPath(new URL('appender.ts', import.meta.url));
    this.#child = spawn(process.execPath, [script, JSON.stringify(program)], { stdio: ['ignore', 'pipe', 'pipe'] });
    // Only then everything that it said has been read.
    this.#exited = once(this.#child, 'close');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#listening = promise;
    promise.catch(() => {});
    this.#child.once('exit', () => reject(new Error(`the appender ended: ${this.#errors}`)));
    const { stdout: output, stderr: errors } = this.#child;
    if (output === null || errors === null) throw new Error('the appender has no output');
    errors.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    createInterface(output).on('line', (line) => {
      if (line === 'listening') resolve();
      else if (line === 'closed') this.#closed = performance.now();
      else this.acknowledged = Number(line);
    });
  }

  /** SIGSTOP: it does not know that time goes by. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** Milliseconds from when it had closed everything to its end. */
  async lingered(): Promise<number> {
    await this.#exited;
    if (this.#closed === undefined) throw new Error(`the appender did not close: ${this.#errors}`);
    return performance.now() - this.#closed;
  }

  /** What it said last, once it has ended by itself. */
  async error(): Promise<string> {
    await this.#exited;
    return this.#errors;
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
