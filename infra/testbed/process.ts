import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** How one real part of the test bed is run. Times are in milliseconds. */
export interface ProcessPlan {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error are appended to this file. */
  readonly log: string;
  /** Asked again and again until it resolves; what it rejects with last is told when the deadline passes. */
  readonly ready: (output: () => Promise<string>) => Promise<void>;
  readonly startWithin: number;
  readonly stopWithin: number;
}

/** What a test may do to a part. All of them may be called in any state. */
export interface Controls extends AsyncDisposable {
  readonly name: string;
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** SIGTERM, then SIGKILL when the part is still there after its deadline. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
}

const POLL = 25;
const TAIL_LINES = 25;

// The kernel kills the part when the thread that started it ends. Between the fork and that request the parent may
// have died already, which only the changed parent id shows.
const DIE_WITH_PARENT = ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', 'test "$PPID" = "$0" || exit 1; exec "$@"'];

/** A native process that dies with this one, restarts with the same data, and shows its log when it does not start. */
export class ManagedProcess implements Controls {
  readonly #plan: ProcessPlan;
  #child: ChildProcess | undefined;
  /** Settles once there is a process, or none; undefined when none is on its way. */
  #spawning: Promise<ChildProcess> | undefined;
  /** What the last start comes to. */
  #ready: Promise<void> | undefined;
  #logStart = 0;

  constructor(plan: ProcessPlan) {
    this.#plan = plan;
  }

  get name(): string {
    return this.#plan.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What is there or on its way already is waited for, so that there are never two. */
  async start(): Promise<void> {
    if (this.#child === undefined && this.#spawning === undefined) {
      this.#spawning = this.#spawn();
      this.#ready = this.#startUp(this.#spawning);
    }
    await this.#ready;
  }

  async #startUp(spawning: Promise<ChildProcess>): Promise<void> {
    const child = await spawning.finally(() => {
      this.#spawning = undefined;
    });
    const exited = once(child, 'exit');
    try {
      await this.#becomeReady(child);
    } catch (error) {
      child.kill('SIGKILL');
      await exited;
      throw new Error(`${this.name} did not start: ${messageOf(error)}\n${await this.#tail()}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    const child = await this.#spawned();
    if (child === undefined) {
      return;
    }
    const exited = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    const deadline = setTimeout(() => child.kill('SIGKILL'), this.#plan.stopWithin);
    await exited;
    clearTimeout(deadline);
  }

  async kill(): Promise<void> {
    const child = await this.#spawned();
    if (child === undefined) {
      return;
    }
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The process, also when it was on its way: whoever ends a part does not leave one behind that comes up afterwards. */
  async #spawned(): Promise<ChildProcess | undefined> {
    await this.#spawning?.catch(() => {});
    return this.#child;
  }

  async #spawn(): Promise<ChildProcess> {
    const { command, args, cwd, env, log } = this.#plan;
    const file = openSync(log, 'a', 0o600);
    try {
      this.#logStart = (await this.#output()).length;
      const child = spawn('setpriv', [...DIE_WITH_PARENT, String(process.pid), command, ...args], {
        cwd,
        env: { ...process.env, ...env },
        stdio: ['ignore', file, file],
      });
      child.once('exit', () => {
        if (this.#child === child) {
          this.#child = undefined;
        }
      });
      await once(child, 'spawn');
      this.#child = child;
      return child;
    } finally {
      closeSync(file);
    }
  }

  async #becomeReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + this.#plan.startWithin;
    for (;;) {
      let reason: unknown;
      try {
        await this.#plan.ready(async () => (await this.#output()).subarray(this.#logStart).toString());
        return;
      } catch (error) {
        reason = error;
      }
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`it ended with ${child.signalCode ?? `exit code ${child.exitCode}`}`);
      }
      if (Date.now() > deadline) {
        throw new Error(`not ready after ${this.#plan.startWithin} ms (${messageOf(reason)})`);
      }
      await delay(POLL);
    }
  }

  async #output(): Promise<Buffer> {
    const file = await open(this.#plan.log, 'r');
    try {
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  async #tail(): Promise<string> {
    const lines = (await this.#output()).subarray(this.#logStart).toString().trimEnd().split('\n').slice(-TAIL_LINES);
    return [`last lines of ${this.#plan.log}:`, ...lines.map((line) => `  ${line}`)].join('\n');
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
