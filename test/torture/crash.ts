import { type ChangeLog, type ListenerLog, LogError } from '../../streams/change-log.ts';

/** What the next append comes to: the process is gone before or after it was written, or the log fails before or after. */
export type Mishap = 'gone-before' | 'gone-after' | 'fails-before' | 'fails-after';

/** A log whose listener can be gone in the middle of its work: from then on nothing that it does reaches anything. */
export class CrashingLog implements ChangeLog {
  /** Of the next append; undefined: none. */
  mishap: Mishap | undefined;
  readonly name: string;
  readonly openRepairer: ChangeLog['openRepairer'];
  readonly replay: ChangeLog['replay'];
  readonly replayRepairs: ChangeLog['replayRepairs'];
  readonly status: ChangeLog['status'];
  readonly look: ChangeLog['look'];
  readonly request: ChangeLog['request'];
  readonly requestRepair: ChangeLog['requestRepair'];
  readonly answer: ChangeLog['answer'];
  readonly #log: ChangeLog;
  #gone = false;

  constructor(log: ChangeLog) {
    this.#log = log;
    this.name = log.name;
    this.openRepairer = (organization, signal) => log.openRepairer(organization, signal);
    this.replay = (onEvents) => log.replay(onEvents);
    this.replayRepairs = (onRepairs) => log.replayRepairs(onRepairs);
    this.status = () => log.status();
    this.look = () => log.look();
    this.request = (request) => log.request(request);
    this.requestRepair = (...requests) => log.requestRepair(...requests);
    this.answer = (organization, systemuserid) => log.answer(organization, systemuserid);
  }

  get isGone(): boolean {
    return this.#gone;
  }

  async openListener(signal: AbortSignal): Promise<ListenerLog> {
    const listener = await this.#log.openListener(signal);
    return { ...listener, append: (batch) => this.#append(() => listener.append(batch)) };
  }

  /** Whatever is under way comes to nothing. */
  leave(): void {
    this.#gone = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log[Symbol.asyncDispose]();
  }

  async #append<T>(append: () => Promise<T>): Promise<T> {
    if (this.#gone) return new Promise<T>(() => {});
    const { mishap } = this;
    this.mishap = undefined;
    if (mishap === 'gone-before') return this.#never();
    if (mishap === 'fails-before') throw new LogError('the log failed before it wrote');
    const result = await append();
    if (mishap === 'gone-after') return this.#never();
    if (mishap === 'fails-after') throw new LogError('the log failed, and nobody knows whether it wrote');
    return result;
  }

  #never<T>(): Promise<T> {
    this.#gone = true;
    return new Promise<T>(() => {});
  }
}
