import { defer, delay, finalize, firstValueFrom, from, ignoreElements, map, merge, type Observable, race } from 'rxjs';
import type { ChangeEvent } from '../change.ts';
import type { RepairerLog } from '../change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, type SystemUser } from '../customer-engagement.ts';
import { domainName, sameName } from '../identity.ts';
import { aborted } from '../operators.ts';
import type { Link, Repair, RepairReason } from '../repair.ts';
import { type Decision, decide, type Situation } from './decide.ts';
import { linkOf } from './links.ts';
import { OpenRepairs } from './open-repairs.ts';
import type { ParkingPool } from './parking.ts';
import { meaningOf } from './repair-failures.ts';
import { Schedule } from './schedule.ts';
import { situationOf } from './situation.ts';
import { type Obstacle, Tries } from './tries.ts';

/** Milliseconds after a stop in which it may still become certain that a parked record may be named. */
const AFTER_STOP = 1_000;
/** How long a parking account is left alone that Customer Engagement would not have. */
const AVOID_MILLISECONDS = 30_000;

/**
 * All repairs of one organization, side by side: each is one systemuser record on its way to the present name of its
 * account. What is to be done is decided anew before each step from what is true then; the journal only has to tell, after a
 * crash, which records to look at and on which account they may be parked.
 */
export class Repairs {
  readonly #ce: CustomerEngagement;
  readonly #log: RepairerLog;
  readonly #pool: ParkingPool;
  readonly #own: string;
  readonly #stop: AbortSignal;
  readonly #repairs: OpenRepairs;
  readonly #schedule: Schedule;
  /** Who waits until a parking account is free, and until another record is off its parking account. */
  readonly #waiting = { account: new Set<string>(), other: new Set<string>() };
  readonly #tries = new Tries();

  /** @param own systemuserid of the service's own record @param stop lets what is under way come to a safe point, and begins nothing more */
  constructor(ce: CustomerEngagement, log: RepairerLog, pool: ParkingPool, own: string, stop: AbortSignal) {
    this.#ce = ce;
    this.#log = log;
    this.#pool = pool;
    this.#own = own;
    this.#stop = stop;
    this.#repairs = new OpenRepairs(log);
    this.#schedule = new Schedule((systemuserid) => this.#work(systemuserid), Math.max(1, pool.size));
  }

  /**
   * Goes on where the journal ended, and works until it is stopped. Emits each journal record once it is durable. Completes,
   * or errors with what the log threw, once nothing is in flight any more.
   */
  run(): Observable<Repair> {
    const work = defer(() => {
      aborted(this.#stop).subscribe(() => this.#schedule.stop());
      const open = this.#repairs.load();
      // All of them before the first begins: it must not take an account on which another record may be parked.
      for (const { systemuserid, parkingAccount } of open) {
        if (parkingAccount !== null) this.#pool.keep(parkingAccount, systemuserid);
      }
      for (const { systemuserid } of open) this.#schedule.wake(systemuserid);
      return this.#schedule.ended;
    });
    const ended = work.pipe(
      ignoreElements(),
      finalize(() => {
        this.#schedule.stop();
        this.#repairs.close();
      }),
    );
    return merge(this.#repairs.recorded, ended);
  }

  /** Takes over an event for a linked record; resolves when that is durable. @param isOut its account has left the scope since @throws FencedError @throws LogError */
  async accept(event: ChangeEvent, link: Link, isOut: boolean): Promise<void> {
    const { systemuserid } = link;
    if (this.#repairs.isTakenOver(event, systemuserid)) return;
    const { parkingAccount } = this.#repairs.add(event, link, isOut);
    this.#tries.forget(systemuserid);
    if (parkingAccount !== null) this.#pool.keep(parkingAccount, systemuserid);
    this.#schedule.wake(systemuserid);
    await this.#repairs.durable(event, systemuserid);
  }

  /** Takes over an event for a record that may be another account's: a person has to decide. Durable when it resolves. @throws FencedError @throws LogError */
  async leave(event: ChangeEvent, record: SystemUser): Promise<void> {
    if (this.#repairs.isTakenOver(event, record.systemuserid)) return;
    await this.#repairs.recordUncertain(event, this.#ce.name, record);
  }

  /** The account of a linked record left the scope: whatever is still to be done for it ends as that. @throws FencedError @throws LogError */
  async out(link: Link): Promise<void> {
    await this.#repairs.recordLeft(link.systemuserid);
  }

  /** Those that have not ended, as far as is known now. */
  get open(): Repair[] {
    return this.#repairs.all;
  }

  /**
   * Looks again after a record that is on a parking account although its repair has ended, or that is on none any more although its
   * repair ended on one.
   *
   * @param parkingAccount on which it is
   */
  rescue(systemuserid: string, parkingAccount: string | null): void {
    // Another repair has the account by now: what was read of this record is old.
    if (parkingAccount !== null && this.#pool.isKeptForAnother(parkingAccount, systemuserid)) return;
    if (!this.#repairs.reopen(systemuserid, parkingAccount)) return;
    if (parkingAccount === null) this.#release(systemuserid);
    else this.#pool.keep(parkingAccount, systemuserid);
    this.#schedule.wake(systemuserid);
  }

  /** A name was given up: a repair that ended because two accounts had it can go on. */
  unshare(systemuserid: string): void {
    if (this.#repairs.unshare(systemuserid)) this.#schedule.wake(systemuserid);
  }

  /** One record, step after step, until its repair ends or has to wait. */
  async #work(systemuserid: string): Promise<void> {
    let goOn = true;
    while (goOn) goOn = await this.#step(systemuserid);
  }

  /** @returns whether the next step can be taken at once */
  async #step(systemuserid: string): Promise<boolean> {
    const repair = this.#repairs.find(systemuserid);
    if (repair === undefined) return false;
    const early = repair.notBefore === null ? 0 : Date.parse(repair.notBefore) - Date.now();
    if (early > 0) {
      this.#schedule.wake(systemuserid, early);
      return false;
    }
    this.#waiting.account.delete(systemuserid);
    this.#waiting.other.delete(systemuserid);
    const parkingAccount = this.#pool.take(repair);
    if (parkingAccount === undefined && repair.parkingAccount === null) {
      await this.#wait(systemuserid, 'no-parking-account-free', null);
      return false;
    }
    try {
      const target = this.#target(systemuserid);
      const domainNames = parkingAccount === undefined ? [target] : [target, parkingAccount];
      const records = await this.#ce.find({ systemuserid, domainNames }, this.#stop);
      if (parkingAccount !== undefined && this.#isTaken(parkingAccount, systemuserid, records)) return true;
      const record = records.find((found) => found.systemuserid === systemuserid);
      if (record !== undefined) this.#note(systemuserid, record.domainname);
      // From here to the first write to the journal nothing else can come in between.
      return await this.#take(systemuserid, decide(this.#situation(systemuserid, parkingAccount, records)), record);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      await this.#failed(systemuserid, error);
      return false;
    }
  }

  async #take(systemuserid: string, decision: Decision, record: SystemUser | undefined): Promise<boolean> {
    switch (decision.step) {
      case 'end':
        await this.#end(systemuserid, decision, record);
        return false;
      case 'wait':
        // Not on it, as was just read: nobody has to wait for this one.
        this.#repairs.update(systemuserid, { parkingAccount: null });
        await this.#wait(systemuserid, decision.reason, decision.message ?? null);
        return false;
      case 'park':
        return !this.#stop.aborted && (await this.#park(systemuserid, decision, record?.domainname ?? ''));
      case 'name':
        return await this.#name(systemuserid, decision.to);
    }
  }

  #situation(systemuserid: string, parkingAccount: string | undefined, records: readonly SystemUser[]): Situation {
    const parked = this.#pool.users().flatMap((user) => this.#repairs.find(user) ?? []);
    const place = { log: this.#log, own: this.#own, parked, parkingAccount };
    return situationOf(this.#repairs.get(systemuserid), this.#target(systemuserid), records, place);
  }

  /** Somebody else's record is on this parking account: another one may serve. */
  #isTaken(parkingAccount: string, systemuserid: string, records: readonly SystemUser[]): boolean {
    const users = records.filter(({ domainname }) => sameName(domainname, parkingAccount));
    if (users.length === 0 || users.some((user) => user.systemuserid === systemuserid)) return false;
    this.#pool.avoid(parkingAccount, AVOID_MILLISECONDS);
    this.#release(systemuserid);
    return true;
  }

  /** What the journal could not know: an answer was lost, or the account was renamed again meanwhile. */
  #note(systemuserid: string, shown: string): void {
    const { parkingAccount, to } = this.#repairs.get(systemuserid);
    const account = this.#pool.find(shown);
    if (account !== undefined) {
      this.#pool.keep(account, systemuserid);
      this.#repairs.update(systemuserid, { parkingAccount: account });
    } else if (parkingAccount !== null && sameName(shown, to) && !sameName(shown, this.#target(systemuserid))) {
      // Named for a goal that has changed since: whoever has that name now, it was not given by somebody's hand.
      this.#repairs.update(systemuserid, { from: shown });
    }
  }

  async #park(systemuserid: string, { account, to }: { account: string; to: string }, shown: string): Promise<boolean> {
    const { parked: _, ...times } = this.#repairs.get(systemuserid).times;
    await this.#repairs.record(systemuserid, {
      state: 'repairing',
      reason: null,
      message: null,
      from: shown,
      to,
      parkingAccount: account,
      notBefore: null,
      times,
    });
    const mayWrite = await this.#mayWrite();
    if (!mayWrite || this.#stop.aborted) return false;
    if (this.#target(systemuserid) !== to) return true;
    try {
      await this.#write(systemuserid, account);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError) || error.failure === 'unknown-outcome') throw error;
      // Certainly nothing was written.
      this.#repairs.update(systemuserid, { state: 'waiting', parkingAccount: null });
      if (error.failure !== 'held' && error.failure !== 'not-in-directory') throw error;
      // The account cannot serve now: another one may.
      this.#pool.avoid(account, AVOID_MILLISECONDS);
      this.#release(systemuserid);
      return true;
    }
    const repair = this.#repairs.get(systemuserid);
    this.#tries.forget(systemuserid);
    this.#repairs.update(systemuserid, { attempts: 0, times: { ...repair.times, parked: new Date().toISOString() } });
    return this.#target(systemuserid) === to ? await this.#name(systemuserid, to) : true;
  }

  async #name(systemuserid: string, to: string): Promise<boolean> {
    const before = this.#repairs.get(systemuserid);
    if (before.state !== 'repairing' || before.to !== to) {
      await this.#repairs.record(systemuserid, { state: 'repairing', reason: null, message: null, to, notBefore: null });
    }
    if (!(await this.#mayWrite())) return false;
    if (this.#target(systemuserid) !== to) return true;
    try {
      await this.#write(systemuserid, to);
    } catch (error) {
      const nothingWritten = error instanceof CustomerEngagementError && error.failure !== 'unknown-outcome';
      // Renamed again meanwhile: no wonder that the name was refused.
      if (nothingWritten && this.#target(systemuserid) !== to) return true;
      throw error;
    }
    const repair = this.#repairs.get(systemuserid);
    this.#tries.forget(systemuserid);
    this.#repairs.update(systemuserid, { attempts: 0, times: { ...repair.times, named: new Date().toISOString() } });
    // Renamed again meanwhile.
    if (this.#target(systemuserid) !== to) return true;
    await this.#end(systemuserid, { state: 'repaired', reason: null }, { systemuserid, domainname: to });
    return false;
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

  /** @throws CustomerEngagementError of kind 'unknown-outcome' also when the server's answer shows another name */
  async #write(systemuserid: string, name: string): Promise<void> {
    const shown = await this.#ce.setDomainName(systemuserid, name);
    this.#tries.accepted();
    if (!sameName(shown, name)) {
      throw new CustomerEngagementError('unknown-outcome', `${this.#ce.name}: the record shows ${shown} after ${name} was written`);
    }
  }

  async #end(
    systemuserid: string,
    { state, reason, message }: { state: 'repaired' | 'unneeded' | 'needs-person'; reason: RepairReason | null; message?: string },
    record: Pick<SystemUser, 'systemuserid' | 'domainname'> | undefined,
  ): Promise<void> {
    const repair = this.#repairs.get(systemuserid);
    const stillParked = record !== undefined && repair.parkingAccount !== null && sameName(record.domainname, repair.parkingAccount);
    const links = state !== 'needs-person' && record !== undefined ? [linkOf(this.#ce.name, repair.objectGUID, record)] : [];
    const parkingAccount = stillParked ? repair.parkingAccount : null;
    this.#tries.forget(systemuserid);
    await this.#repairs.record(systemuserid, { state, reason, message: message ?? null, parkingAccount, notBefore: null }, links);
    if (!stillParked) this.#release(systemuserid);
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
    const milliseconds = reason === 'credentials-refused' ? this.#pause() : this.#tries.delay(reason, attempts, retryAfter);
    const mayBeParked = repair.parkingAccount !== null;
    if (reason === 'no-parking-account-free') this.#waiting.account.add(systemuserid);
    if (reason === 'names-exchanged') this.#waiting.other.add(systemuserid);
    const notBefore = new Date(Date.now() + milliseconds).toISOString();
    const to = mayBeParked ? repair.to : this.#target(systemuserid);
    const recorded = this.#repairs.record(systemuserid, { state: 'waiting', reason, message, attempts, notBefore, to });
    // Nothing is parked, and another repair may have the account meanwhile.
    if (!mayBeParked) this.#release(systemuserid);
    this.#schedule.wake(systemuserid, milliseconds);
    await recorded;
  }

  /**
   * Everybody waits: each person's try would count towards a lock-out of the service. What was under way side by side when the
   * credentials were refused is one refusal.
   *
   * @returns for how many milliseconds
   */
  #pause(): number {
    const left = this.#schedule.pausedFor;
    if (left > 0) return left;
    const milliseconds = this.#tries.delayAfterRefusal();
    this.#schedule.pause(milliseconds);
    return milliseconds;
  }

  async #failed(systemuserid: string, error: CustomerEngagementError): Promise<void> {
    const repair = this.#repairs.get(systemuserid);
    const attempts = this.#tries.times(systemuserid, error.failure);
    const meaning = meaningOf(error, { attempts, formerHolder: repair.formerHolder });
    if (meaning.step === 'wait') {
      await this.#wait(systemuserid, meaning.reason, error.message, { obstacle: error.failure, retryAfter: error.retryAfter });
      return;
    }
    const { parkingAccount } = repair;
    const gone = error.failure === 'missing' || parkingAccount === null;
    const record = gone ? undefined : { systemuserid, domainname: parkingAccount };
    await this.#end(systemuserid, { state: 'needs-person', reason: meaning.reason, message: error.message }, record);
  }

  #release(systemuserid: string): void {
    if (this.#pool.release(systemuserid)) this.#wakeWaiting(this.#waiting.account, 1);
  }

  /** Those who have waited longest look again. */
  #wakeWaiting(waiting: Set<string>, howMany: number): void {
    for (const systemuserid of [...waiting].slice(0, howMany)) {
      waiting.delete(systemuserid);
      this.#repairs.update(systemuserid, { notBefore: null });
      this.#schedule.wake(systemuserid);
    }
  }

  /** The name that the record is to get. */
  #target(systemuserid: string): string {
    const { objectGUID, to } = this.#repairs.get(systemuserid);
    const identity = this.#log.identity(objectGUID);
    return identity === undefined ? to : domainName(identity);
  }
}
