import type { Bed } from '../../infra/testbed/bed.ts';
import { now } from './clock.ts';
import { RawDirectory } from './raw-directory.ts';
import { RawEngagement } from './raw-engagement.ts';
import { RawLog } from './raw-log.ts';

export const STAGES = ['notification', 'DirSync', 'transaction', 'consume', 'two PATCH'] as const;

/** Whose record gets which name in the end. */
export interface Errand {
  readonly systemuserid: string;
  readonly sAMAccountName: string;
}

/**
 * The chain with nothing in it but what has to be there: notification, DirSync, one transaction on three topics, a
 * consumer, two PATCH to the same stand-in that the product writes to. No state, no checks, no journal.
 */
export class Floor implements AsyncDisposable {
  readonly #directory: RawDirectory;
  readonly #log: RawLog;
  readonly #engagement: RawEngagement;
  readonly #domain: string;
  readonly #parking: string;
  #consumed: (value: string) => void = () => {};

  private constructor(directory: RawDirectory, log: RawLog, engagement: RawEngagement, domain: string, parking: string) {
    this.#directory = directory;
    this.#log = log;
    this.#engagement = engagement;
    this.#domain = domain;
    this.#parking = parking;
  }

  /** @param parking the account that nobody else parks on */
  static async open(bed: Bed, parking: string): Promise<Floor> {
    const directory = await RawDirectory.open(bed.directory);
    await directory.read();
    directory.watch();
    const log = await RawLog.open(bed.broker.bootstrap);
    const floor = new Floor(directory, log, await RawEngagement.open(bed.crm), bed.directory.netbios, parking);
    await log.follow((value) => floor.#consumed(value));
    return floor;
  }

  get engagement(): RawEngagement {
    return this.#engagement;
  }

  /** Forgets what changed so far. */
  async catchUp(): Promise<void> {
    await this.#directory.read();
  }

  /** Waits for the next notification and carries that change through. @returns when each stage ended; the first entry is the wake */
  async carry({ systemuserid, sAMAccountName }: Errand): Promise<number[]> {
    await new Promise<void>((resolve) => {
      this.#directory.onWake = resolve;
    });
    const ends = [now()];
    let entries = await this.#directory.read();
    if (entries.length === 0) entries = await this.#directory.read();
    ends.push(now());
    const consumed = new Promise<void>((resolve) => {
      this.#consumed = (value) => value === sAMAccountName && resolve();
    });
    const message = { key: systemuserid, value: sAMAccountName };
    await this.#log.write([[message], [message], [{ key: 'position', value: this.#directory.cookie }]]);
    ends.push(now());
    await consumed;
    ends.push(now());
    await this.#engagement.setName(systemuserid, this.#parking);
    await this.#engagement.setName(systemuserid, `${this.#domain}\\${sAMAccountName}`);
    ends.push(now());
    return ends;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
    await this.#log[Symbol.asyncDispose]();
    this.#engagement[Symbol.dispose]();
  }
}
