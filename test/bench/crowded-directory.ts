import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Certificate } from '../../infra/testbed/authority.ts';

export interface CrowdCommand {
  /** Of the user, from 1. */
  readonly number: number;
  readonly sAMAccountName: string;
}

/** First where it listens, then when each rename began, in milliseconds of the monotonic clock. */
export type CrowdAnswer = { readonly port: number } | { readonly at: number };

const PROGRAM = fileURLToPath(new URL('./crowd-process.ts', import.meta.url));

/** A domain controller with many users, reached by LDAPS. It ends with this process. */
export class CrowdedDirectory implements AsyncDisposable {
  readonly users: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<never>;
  #url = '';

  private constructor(users: number, child: ChildProcess) {
    this.users = users;
    this.#child = child;
    this.#ended = once(child, 'exit').then(() => Promise.reject(new Error('the directory ended')));
    this.#ended.catch(() => {}); // whoever waits for an answer is told
  }

  /** @param perAnswer objects of one DirSync answer at most */
  static async start(users: number, perAnswer: number, { keyFile, certFile }: Certificate): Promise<CrowdedDirectory> {
    const directory = new CrowdedDirectory(users, fork(PROGRAM, [String(users), String(perAnswer), keyFile, certFile]));
    const answer = await directory.#answer();
    if (!('port' in answer)) throw new Error('the directory did not say where it listens');
    directory.#url = `ldaps://127.0.0.1:${answer.port}`;
    return directory;
  }

  get url(): string {
    return this.#url;
  }

  /** @returns when, in milliseconds of the monotonic clock */
  async rename(number: number, sAMAccountName: string): Promise<number> {
    const answer = this.#answer();
    this.#child.send({ number, sAMAccountName } satisfies CrowdCommand);
    const said = await answer;
    if (!('at' in said)) throw new Error('the directory did not say when');
    return said.at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended.catch(() => {});
  }

  async #answer(): Promise<CrowdAnswer> {
    const [answer] = (await Promise.race([once(this.#child, 'message'), this.#ended])) as [CrowdAnswer];
    return answer;
  }
}
