import { delay, firstValueFrom, from, map, race } from 'rxjs';
import type { AccountDesk } from '../account-desk.ts';
import type { RepairerLog } from '../change-log.ts';
import {
  type CustomerEngagement,
  CustomerEngagementError,
  type PersonColumns,
  type SystemUser,
  type Written,
} from '../customer-engagement.ts';
import { isUpn, sameName } from '../identity.ts';
import { aborted } from '../operators.ts';
import { isOpen, type Repair, type RepairReason } from '../repair.ts';
import type { Breaker } from './breaker.ts';
import { type ChangeWindow, isOpenAt, opensIn } from './change-window.ts';
import { type Decision, decide, type Situation, targetOf } from './decide.ts';
import type { DoNotTouch } from './do-not-touch.ts';
import { LastLogons } from './last-logons.ts';
import { linkOf } from './links.ts';
import type { OpenRepairs } from './open-repairs.ts';
import type { ParkingPool } from './parking.ts';
import { personOf, takenFrom } from './person-columns.ts';
import { namesToWrite, sendSame, sentOf, tellNames } from './person-names.ts';
import { ReadAhead } from './read-ahead.ts';
import { meaningOf } from './repair-failures.ts';
import type { Schedule } from './schedule.ts';
import { situationOf } from './situation.ts';
import { type Obstacle, Tries } from './tries.ts';

/** Milliseconds after a stop in which it may still become certain that a parked record may be named. */
const AFTER_STOP = 1_000;
/** How long a parking account is left alone that Customer Engagement would not have. */
const AVOID_MILLISECONDS = 30_000;
/** Milliseconds from one look to the next at what only settings keep from being written. */
const WITHHELD_MILLISECONDS = 3_600_000;

export interface RepairsSettings {
  readonly doNotTouch: DoNotTouch;
  /** How many records are looked after side by side. */
  readonly parallel: number;
  /** When repairs may be begun; at any time without one. */
  readonly changeWindow?: ChangeWindow | undefined;
  /** Everything but the writes to Customer Engagement. */
  readonly dryRun: boolean;
  /** Whether a record whose new account is on no record is given its name at once. */
  readonly oneStep: boolean;
  /** Whether first and last name are written together with the user name. */
  readonly writeNames: boolean;
  /** Milliseconds for which a server may take a name for the account that had it before. */
  readonly nameLag: number;
  /** Tells of last logons; without it none is recorded. */
  readonly desk?: AccountDesk | undefined;
}

/** What the steps of all repairs of one organization share. */
export interface Workshop {
  readonly ce: CustomerEngagement;
  readonly log: RepairerLog;
  readonly pool: ParkingPool;
  /** systemuserid of the service's own record. */
  readonly own: string;
  readonly settings: RepairsSettings;
  /** Lets what is under way come to a safe point, and begins nothing more. */
  readonly stop: AbortSignal;
  readonly repairs: OpenRepairs;
  readonly schedule: Schedule;
  readonly breaker: Breaker;
}

/**
 * Takes the steps of repairs, one after the other for each record: two single writes (assumption A3). What is to be done is decided anew before each step from what is
 * true then; the journal only has to tell, after a crash, which records to look at and on which account they may be parked.
 */
export class Steps {
  readonly #ce: CustomerEngagement;
  readonly #log: RepairerLog;
  readonly #pool: ParkingPool;
  readonly #own: string;
  readonly #settings: RepairsSettings;
  readonly #stop: AbortSignal;
  readonly #repairs: OpenRepairs;
  readonly #schedule: Schedule;
  readonly #breaker: Breaker;
  /** Who waits until a parking account is free, and until another record is off its parking account or has given up its name. */
  readonly #waiting = { account: new Set<string>(), other: new Set<string>() };
  readonly #tries = new Tries();
  readonly #logons: LastLogons;
  readonly #ahead: ReadAhead;

  constructor({ ce, log, pool, own, settings, stop, repairs, schedule, breaker }: Workshop) {
    this.#ce = ce;
    this.#log = log;
    this.#pool = pool;
    this.#own = own;
    this.#settings = settings;
    this.#stop = stop;
    this.#repairs = repairs;
    this.#schedule = schedule;
    this.#breaker = breaker;
    this.#logons = new LastLogons(settings.desk);
    this.#ahead = new ReadAhead(ce, stop);
  }

  /** What was in the way of this record before says nothing any more. */
  forget(systemuserid: string): void {
    this.#tries.forget(systemuserid);
  }

  /** @returns whether the next step can be taken at once */
  async take(systemuserid: string): Promise<boolean> {
    const repair = this.#repairs.find(systemuserid);
    if (repair === undefined || !isOpen(repair)) return false;
    const early = repair.notBefore === null ? 0 : Date.parse(repair.notBefore) - Date.now();
    if (early > 0) {
      this.#schedule.wake(systemuserid, early);
      return false;
    }
    this.#waiting.account.delete(systemuserid);
    this.#waiting.other.delete(systemuserid);
    const parkingAccount = this.#pool.take(repair);
    if (parkingAccount === undefined && repair.parkingAccount === null && !this.#mayNeedNone(repair)) {
      await this.#wait(systemuserid, 'no-parking-account-free', null);
      return false;
    }
    try {
      const records = await this.#read(repair, parkingAccount);
      if (this.#isSkipped(systemuserid)) return false;
      if (parkingAccount !== undefined && this.#isTaken(parkingAccount, systemuserid, records)) return true;
      const record = records.find((found) => found.systemuserid === systemuserid);
      if (record !== undefined) this.#note(systemuserid, record.domainname);
      // From here to the first write to the journal nothing else can come in between.
      return await this.#do(systemuserid, decide(this.#situation(systemuserid, parkingAccount, records)), record);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      if (!this.#isSkipped(systemuserid)) await this.#failed(systemuserid, error);
      return false;
    }
  }

  /** A person ended it while something was read for it. */
  #isSkipped(systemuserid: string): boolean {
    const repair = this.#repairs.find(systemuserid);
    return repair === undefined || !isOpen(repair);
  }

  /** What Customer Engagement shows of a record, of the name that it is to get, and of its parking account. */
  async #read({ systemuserid, parkingAccount: mayBeOn }: Repair, parkingAccount: string | undefined): Promise<readonly SystemUser[]> {
    const target = this.#target(systemuserid);
    const isSure = mayBeOn === null && parkingAccount !== undefined && this.#pool.isSeenFree(parkingAccount);
    const before = isSure ? await this.#ahead.take({ systemuserid, target }) : undefined;
    if (before !== undefined) return before;
    const domainNames = parkingAccount === undefined ? [target] : [target, parkingAccount];
    const records = await this.#ce.find({ systemuserids: [systemuserid], domainNames }, this.#stop);
    this.#breaker.answered({ written: false });
    if (parkingAccount !== undefined && !records.some(({ domainname }) => sameName(domainname, parkingAccount))) {
      this.#pool.sawFree(parkingAccount);
    }
    return records;
  }

  async #do(systemuserid: string, decision: Decision, record: SystemUser | undefined): Promise<boolean> {
    switch (decision.step) {
      case 'end': {
        const back = decision.state === 'repaired' ? await this.#putBack(systemuserid, record) : {};
        if (back !== undefined) this.#schedule.alongside(this.end(systemuserid, { ...decision, ...back }, record));
        return false;
      }
      case 'wait':
        // Where it is not on it, as was just read, nobody has to wait for this one.
        if (!sameName(record?.domainname ?? '', this.#repairs.get(systemuserid).parkingAccount ?? '')) {
          this.#repairs.update(systemuserid, { parkingAccount: null });
        }
        await this.#wait(systemuserid, decision.reason, decision.message ?? null);
        return false;
      case 'park':
        return !this.#stop.aborted && (await this.#park(systemuserid, decision, record));
      case 'name':
        return await this.#name(systemuserid, decision.to, record);
      case 'direct':
        return !this.#stop.aborted && (await this.#direct(systemuserid, decision.to, record));
    }
  }

  #situation(systemuserid: string, parkingAccount: string | undefined, records: readonly SystemUser[]): Situation {
    const parked = this.#pool.users().flatMap((user) => this.#repairs.find(user) ?? []);
    const { doNotTouch, oneStep, nameLag, writeNames } = this.#settings;
    const targetOf = (other: Repair) => this.#target(other.systemuserid);
    const known = {
      log: this.#log,
      own: this.#own,
      showing: (name: string) => this.#repairs.showing(name),
      targetOf,
      parked,
      parkingAccount,
    };
    const place = { ...known, doNotTouch, oneStep, nameLag, writeNames, withheld: this.#withheld() };
    return situationOf(this.#repairs.get(systemuserid), this.#target(systemuserid), records, place);
  }

  #withheld(): Situation['withheld'] {
    const { dryRun, changeWindow } = this.#settings;
    if (dryRun) return 'dry-run';
    return changeWindow !== undefined && !isOpenAt(changeWindow, Date.now()) ? 'change-window' : undefined;
  }

  /** Somebody else's record is on this parking account: another one may serve. */
  #isTaken(parkingAccount: string, systemuserid: string, records: readonly SystemUser[]): boolean {
    const users = records.filter(({ domainname }) => sameName(domainname, parkingAccount));
    if (users.length === 0 || users.some((user) => user.systemuserid === systemuserid)) return false;
    this.#pool.avoid(parkingAccount, AVOID_MILLISECONDS);
    this.release(systemuserid);
    return true;
  }

  /** What the journal could not know: an answer was lost, or the account was renamed again meanwhile. */
  #note(systemuserid: string, shown: string): void {
    const { parkingAccount, to } = this.#repairs.get(systemuserid);
    const account = this.#pool.find(shown);
    if (account !== undefined) {
      this.#pool.keep(account, systemuserid);
      // As it is shown: a server may put the UPN of an account in the place of what was written (the opposite of assumption A8).
      this.#repairs.update(systemuserid, { parkingAccount: shown });
    } else if (parkingAccount !== null && sameName(shown, to) && !sameName(shown, this.#target(systemuserid))) {
      // Named for a goal that has changed since: whoever has that name now, it was not given by somebody's hand.
      this.#repairs.update(systemuserid, { from: shown });
    }
  }

  async #park(systemuserid: string, { account, to }: { account: string; to: string }, record: SystemUser | undefined): Promise<boolean> {
    const { parked: _, ...times } = this.#repairs.get(systemuserid).times;
    await this.#repairs.record(systemuserid, {
      state: 'repairing',
      reason: null,
      message: null,
      from: record?.domainname ?? '',
      to,
      parkingAccount: account,
      notBefore: null,
      names: this.#names(systemuserid, record),
      person: record === undefined ? null : personOf(record),
      times: { ...times, intended: new Date().toISOString() },
    });
    const { parallel } = this.#settings;
    const upcoming = this.#schedule.upcoming(2 * parallel).filter((next) => this.#repairs.find(next) !== undefined);
    this.#ahead.begin(
      upcoming.map((next) => ({ systemuserid: next, target: this.#target(next) })),
      parallel,
    );
    this.#logons.ask(systemuserid, this.#log.identity(this.#repairs.get(systemuserid).objectGUID));
    const mayWrite = await this.#mayWrite();
    if (!mayWrite || this.#stop.aborted) return false;
    if (this.#target(systemuserid) !== to) return true;
    try {
      await this.#write(systemuserid, account);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError) || error.failure === 'unknown-outcome') throw error;
      // Certainly nothing was written.
      this.#repairs.update(systemuserid, { state: 'waiting', parkingAccount: null });
      const isAccounts = error.failure === 'held' || error.failure === 'not-in-directory';
      if (!isAccounts && !(error.failure === 'refused' && this.#pool.hasAnother(account))) throw error;
      // The account cannot serve now, as a disabled one might not (assumption A2): another one may.
      this.#pool.avoid(account, AVOID_MILLISECONDS);
      this.release(systemuserid);
      return true;
    }
    const repair = this.#repairs.get(systemuserid);
    this.#tries.forget(systemuserid);
    this.#repairs.update(systemuserid, { attempts: 0, times: { ...repair.times, parked: new Date().toISOString() } });
    return this.#target(systemuserid) === to ? await this.#name(systemuserid, to, record) : true;
  }

  /** In one step; where the account is on a record after all, in two. */
  async #direct(systemuserid: string, to: string, record: SystemUser | undefined): Promise<boolean> {
    this.release(systemuserid);
    const names = this.#names(systemuserid, record);
    const shown = { from: record?.domainname ?? '', person: record === undefined ? null : personOf(record) };
    const intent = { state: 'repairing', reason: null, message: null, ...shown, to, parkingAccount: null, notBefore: null, names } as const;
    await this.#repairs.record(systemuserid, intent);
    if (!(await this.#mayWrite()) || this.#stop.aborted) return false;
    if (this.#target(systemuserid) !== to) return true;
    let written: Written;
    try {
      written = await this.#write(systemuserid, to, names);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      if (error.failure === 'unknown-outcome') this.#repairs.update(systemuserid, { sent: true });
      else this.#repairs.update(systemuserid, { state: 'waiting' });
      if (this.#isAboutNames(systemuserid, error, names)) return true;
      if (error.failure !== 'held') throw error;
      this.#repairs.update(systemuserid, { twoSteps: true });
      return true;
    }
    return await this.#named(systemuserid, to, written);
  }

  /** @param record as it was last read */
  async #name(systemuserid: string, to: string, record: SystemUser | undefined): Promise<boolean> {
    const names = this.#names(systemuserid, record);
    if (this.#settings.dryRun) {
      await this.#wait(systemuserid, 'dry-run', `would set it from its parking account to ${to}${tellNames(names)}`);
      return false;
    }
    const before = this.#repairs.get(systemuserid);
    // Of one that shows the right name before it is parked too, the journal has to tell whether it was.
    if (before.state !== 'repairing' || before.to !== to || before.remap || !sendSame(before.names, names)) {
      const parked = before.times.parked ?? before.times.intended ?? new Date().toISOString();
      const times = { ...before.times, parked };
      await this.#repairs.record(systemuserid, { state: 'repairing', reason: null, message: null, to, notBefore: null, names, times });
    }
    if (!(await this.#mayWrite())) return false;
    if (this.#target(systemuserid) !== to) return true;
    let written: Written;
    try {
      written = await this.#write(systemuserid, to, names);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      // Renamed again meanwhile: no wonder that the name was refused.
      if (error.failure !== 'unknown-outcome' && this.#target(systemuserid) !== to) return true;
      if (this.#isAboutNames(systemuserid, error, names)) return true;
      throw error;
    }
    return await this.#named(systemuserid, to, written);
  }

  async #named(systemuserid: string, to: string, { person }: Written): Promise<boolean> {
    const repair = this.#repairs.get(systemuserid);
    this.#tries.forget(systemuserid);
    this.#repairs.update(systemuserid, { attempts: 0, times: { ...repair.times, named: new Date().toISOString() } });
    if (repair.parkingAccount !== null) this.#pool.sawFree(repair.parkingAccount);
    const lastLogon = this.#logons.take(systemuserid);
    if (lastLogon !== undefined) this.#repairs.update(systemuserid, { lastLogon });
    // Renamed again meanwhile.
    if (this.#target(systemuserid) !== to) return true;
    // The answer did not tell: it has to be asked.
    if (person === undefined) return true;
    const back = await this.#putBack(systemuserid, person);
    const repaired = { state: 'repaired', reason: null, ...back } as const;
    if (back !== undefined) this.#schedule.alongside(this.end(systemuserid, repaired, { systemuserid, domainname: to }));
    return false;
  }

  /**
   * Puts back what the server took from the account together with its name.
   *
   * @returns what was done, if anything; undefined where it cannot be done now, since it is time to stop
   */
  async #putBack(systemuserid: string, now: PersonColumns | undefined): Promise<{ readonly message?: string } | undefined> {
    const repair = this.#repairs.get(systemuserid);
    const identity = this.#log.identity(repair.objectGUID);
    if (now === undefined || identity === undefined) return {};
    const columns = takenFrom(repair, identity, now);
    if (Object.keys(columns).length === 0) return {};
    if (!(await this.#mayWrite())) return undefined;
    await this.#ce.setColumns(systemuserid, columns);
    return { message: `${this.#ce.name} changed ${Object.keys(columns).join(', ')} with the user name; put back` };
  }

  /** Whether it is certain that nobody else repairs; false when that has not become certain by the time of a stop. @throws FencedError @throws LogError */
  async #mayWrite(): Promise<boolean> {
    const confirmed = from(this.#log.confirm()).pipe(map(() => true));
    const stopped = aborted(this.#stop).pipe(
      delay(AFTER_STOP),
      map(() => false),
    );
    return await firstValueFrom(race(confirmed, stopped));
  }

  /** What is to be written of the person's name together with the user name, for the record as it was last read. */
  #names(systemuserid: string, record: SystemUser | undefined): Repair['names'] {
    const { names, objectGUID } = this.#repairs.get(systemuserid);
    const identity = this.#log.identity(objectGUID);
    if (!this.#settings.writeNames || identity === undefined || record === undefined) return undefined;
    return names?.refused ? names : namesToWrite(identity, record);
  }

  /**
   * Whether it may be first and last name that the server would not have: secured columns, a plug-in, a column that was made shorter. Nobody
   * stays on a parking account for that (SPEC rule 7): from now on this repair writes the user name alone.
   */
  #isAboutNames(systemuserid: string, { failure, status, message }: CustomerEngagementError, names: Repair['names']): boolean {
    if (sentOf(names) === undefined) return false;
    // A plug-in of 8.2 or 9.0 that refuses looks like a server that fails: nothing is concluded from its doing so once.
    const failsAgain = failure === 'unknown-outcome' && status === 500 && this.#tries.times(systemuserid, failure) > 0;
    if (failure !== 'refused' && failure !== 'privilege' && !failsAgain) return false;
    const leftOut = `first and last name were left as they are, since Customer Engagement would not have them: ${message}`;
    this.#repairs.update(systemuserid, { names: { leftOut, refused: true } });
    return true;
  }

  /** @throws CustomerEngagementError of kind 'unknown-outcome' also when the server's answer shows another name */
  async #write(systemuserid: string, name: string, names?: Repair['names']): Promise<Written> {
    const written = await this.#ce.setDomainName(systemuserid, name, { names: sentOf(names) });
    this.#breaker.answered({ written: true });
    if (sameName(written.domainname, name)) return written;
    throw new CustomerEngagementError(
      'unknown-outcome',
      `${this.#ce.name}: the record shows ${written.domainname} after ${name} was written`,
    );
  }

  /** The repair has ended; durable when it resolves. From now on its parking account can serve another. @throws FencedError @throws LogError */
  async end(
    systemuserid: string,
    { state, reason, message }: { state: 'repaired' | 'unneeded' | 'needs-person'; reason: RepairReason | null; message?: string },
    record: Pick<SystemUser, 'systemuserid' | 'domainname'> | undefined,
  ): Promise<void> {
    const repair = this.#repairs.get(systemuserid);
    const stillParked = record !== undefined && repair.parkingAccount !== null && sameName(record.domainname, repair.parkingAccount);
    const by = this.#log.link(repair.objectGUID)?.by;
    const link = record && { ...linkOf(this.#ce.name, repair.objectGUID, record), ...(by !== undefined && { by }) };
    const links = state !== 'needs-person' && link !== undefined ? [link] : [];
    const parkingAccount = stillParked ? repair.parkingAccount : null;
    this.#tries.forget(systemuserid);
    const names = state === 'repaired' ? repair.names : undefined;
    this.#repairs.update(systemuserid, {
      state,
      reason,
      message: message ?? names?.leftOut ?? null,
      parkingAccount,
      notBefore: null,
      names,
      ...(!stillParked && { person: null }),
    });
    const ended = this.#repairs.get(systemuserid);
    if (!stillParked) this.release(systemuserid);
    await this.#repairs.conclude(ended, links);
    this.#wakeWaiting(this.#waiting.other, this.#waiting.other.size);
  }

  /** @param obstacle what keeps it from going on, where that says more than the reason */
  async #wait(
    systemuserid: string,
    reason: RepairReason,
    message: string | null,
    { obstacle = reason, retryAfter = 0 }: { obstacle?: Obstacle; retryAfter?: number | undefined } = {},
  ): Promise<void> {
    const repair = this.#repairs.get(systemuserid);
    const attempts = this.#tries.failed(systemuserid, reason, obstacle);
    const milliseconds = Math.max(this.#breaker.failed(systemuserid, reason), this.#delay(reason, attempts, retryAfter));
    const mayBeParked = repair.parkingAccount !== null;
    if (reason === 'no-parking-account-free') this.#waiting.account.add(systemuserid);
    if (reason === 'names-exchanged' || reason === 'name-in-use') this.#waiting.other.add(systemuserid);
    const notBefore = new Date(Date.now() + milliseconds).toISOString();
    const to = mayBeParked ? repair.to : this.#target(systemuserid);
    const recorded = this.#repairs.record(systemuserid, { state: 'waiting', reason, message, attempts, notBefore, to });
    // Nothing is parked, and another repair may have the account meanwhile.
    if (!mayBeParked) this.release(systemuserid);
    this.#schedule.wake(systemuserid, milliseconds);
    await recorded;
  }

  /** Milliseconds before the next try of this one. */
  #delay(reason: RepairReason, attempts: number, retryAfter: number): number {
    if (reason === 'dry-run') return WITHHELD_MILLISECONDS;
    const { changeWindow } = this.#settings;
    if (reason === 'change-window' && changeWindow !== undefined) return Math.min(opensIn(changeWindow, Date.now()), WITHHELD_MILLISECONDS);
    return this.#tries.delay(reason, attempts, retryAfter);
  }

  async #failed(systemuserid: string, error: CustomerEngagementError): Promise<void> {
    const repair = this.#repairs.get(systemuserid);
    const attempts = this.#tries.times(systemuserid, error.failure);
    const meaning = meaningOf(error, { attempts, formerHolder: repair.formerHolder, parkingAccount: repair.parkingAccount });
    if (meaning.step === 'wait') {
      await this.#wait(systemuserid, meaning.reason, error.message, { obstacle: error.failure, retryAfter: error.retryAfter });
      return;
    }
    const { parkingAccount } = repair;
    const gone = error.failure === 'missing' || parkingAccount === null;
    const record = gone ? undefined : { systemuserid, domainname: parkingAccount };
    this.#schedule.alongside(this.end(systemuserid, { state: 'needs-person', reason: meaning.reason, message: error.message }, record));
  }

  /** Its parking account, if it had one, is free for another. */
  release(systemuserid: string): void {
    if (this.#pool.release(systemuserid)) this.#wakeWaiting(this.#waiting.account, 1);
  }

  /** Those who have waited longest look again. */
  #wakeWaiting(waiting: Set<string>, howMany: number): void {
    for (const systemuserid of [...waiting].slice(0, howMany)) {
      waiting.delete(systemuserid);
      if (this.#repairs.find(systemuserid) === undefined) continue;
      this.#repairs.update(systemuserid, { notBefore: null });
      this.#schedule.wake(systemuserid);
    }
  }

  /** The name that the record is to get. */
  #target(systemuserid: string): string {
    const repair = this.#repairs.get(systemuserid);
    const identity = this.#log.identity(repair.objectGUID);
    return (identity && targetOf(repair, identity, repair.parkingAccount !== null)) ?? repair.to;
  }

  /** Where there is no parking account free it may still be told what is to be done, or done in one step. */
  #mayNeedNone({ from, remap }: Repair): boolean {
    return this.#settings.dryRun || isUpn(from) || remap === true;
  }
}
