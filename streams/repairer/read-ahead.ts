import type { CustomerEngagement, SystemUser } from '../customer-engagement.ts';
import { nameKey } from '../identity.ts';

/** Milliseconds for which a reading is as good as a new one: nobody else is expected to write user names. */
const FRESH = 1_500;

/** A record that is to be looked at next, and the name that it is to get. */
export interface Upcoming {
  readonly systemuserid: string;
  readonly target: string;
}

interface Reading extends Upcoming {
  readonly at: number;
  readonly records: Promise<readonly SystemUser[] | undefined>;
}

/**
 * Reads the next few records together while others are being written, so that nobody who has a parking account waits for a read. What
 * is read this way never decides about a record that may be parked, nor about a parking account.
 */
export class ReadAhead {
  readonly #ce: CustomerEngagement;
  readonly #stop: AbortSignal;
  readonly #readings = new Map<string, Reading>();

  constructor(ce: CustomerEngagement, stop: AbortSignal) {
    this.#ce = ce;
    this.#stop = stop;
  }

  /**
   * Begins to read those that are not being read yet.
   *
   * @param atLeast fewer than so many are left for the next time, unless none at all has been read: one request reads many
   */
  begin(upcoming: readonly Upcoming[], atLeast: number): void {
    const wanted = upcoming.filter(({ systemuserid, target }) => !this.#isFresh(this.#readings.get(systemuserid), target));
    if (wanted.length === 0 || (wanted.length < atLeast && wanted.length < upcoming.length)) return;
    const query = { systemuserids: wanted.map(({ systemuserid }) => systemuserid), domainNames: wanted.map(({ target }) => target) };
    // What fails is read again by whoever needs it, and told then.
    const found = this.#ce.find(query, this.#stop).catch(() => undefined);
    for (const one of wanted) {
      const records = found.then((all) => all?.filter((record) => isAbout(record, one)));
      this.#readings.set(one.systemuserid, { ...one, at: Date.now(), records });
    }
  }

  /** What was read of this record and of the name that it is to get; undefined when that has to be asked now. Once. */
  async take({ systemuserid, target }: Upcoming): Promise<readonly SystemUser[] | undefined> {
    const reading = this.#readings.get(systemuserid);
    this.#readings.delete(systemuserid);
    if (!this.#isFresh(reading, target)) return undefined;
    const records = await reading?.records;
    return this.#isFresh(reading, target) ? records : undefined;
  }

  #isFresh(reading: Reading | undefined, target: string): boolean {
    return reading !== undefined && reading.target === target && Date.now() - reading.at < FRESH;
  }
}

function isAbout({ systemuserid, domainname }: SystemUser, upcoming: Upcoming): boolean {
  return systemuserid === upcoming.systemuserid || nameKey(domainname) === nameKey(upcoming.target);
}
