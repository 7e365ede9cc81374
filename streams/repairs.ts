import {
  defer,
  filter,
  finalize,
  firstValueFrom,
  ignoreElements,
  map,
  merge,
  mergeMap,
  type Observable,
  race,
  Subject,
  Subscription,
  timer,
} from 'rxjs';
import { backoff } from './backoff.ts';
import { type ChangeEvent, eventId } from './change.ts';
import type { RepairerLog } from './change-log.ts';
import {
  type CustomerEngagement,
  CustomerEngagementError,
  type CustomerEngagementFailure,
  type SystemUser,
} from './customer-engagement.ts';
import { domainName, sameName } from './identity.ts';
import { linkOf } from './links.ts';
import type { ParkingPool } from './parking.ts';
import { type Decision, decide, isOpen, type Link, type Repair, type RepairReason } from './repair.ts';

/** First and longest delay in milliseconds before a repair that has to wait is tried again. */
const DELAYS: Partial<Record<RepairReason, { first: number; longest: number }>> = {
  unavailable: { first: 200, longest: 60_000 },
  'not-in-directory-yet': { first: 2_000, longest: 300_000 },
  'credentials-refused': { first: 30_000, longest: 900_000 },
  'privilege-missing': { first: 30_000, longest: 900_000 },
};
/** Waits that end when another repair goes on; the delay is only their safety net. */
const WAITS_FOR_ANOTHER: readonly RepairReason[] = ['name-still-shown', 'no-parking-account-free'];
const UNTIL_ANOTHER_ENDS = { first: 1_000, longest: 30_000 };
/** How long a parking account is left alone that Customer Engagement would not have. */
const AVOID_MILLISECONDS = 300_000;
/** How long events wait for the first journal record of their repair before it is written for them. */
const ACCEPT_MILLISECONDS = 250;

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
  readonly #signal: AbortSignal;
  readonly #due = new Subject<string>();
  readonly #recorded = new Subject<Repair>();
  readonly #timers = new Subscription();
  readonly #open = new Map<string, Repair>();
  readonly #busy = new Set<string>();
  readonly #again = new Set<string>();
  /** Who waits for which other record. */
  readonly #waitsFor = new Map<string, string>();
  /** Counts what waiting repairs wait for. */
  #era = 0;

  constructor(ce: CustomerEngagement, log: RepairerLog, pool: ParkingPool, own: string, signal: AbortSignal) {
    this.#ce = ce;
    this.#log = log;
    this.#pool = pool;
    this.#own = own;
    this.#signal = signal;
  }

  /** Works until the signal aborts and what is under way has come to a safe point. Emits each journal record once it is durable. */
  run(): Observable<Repair> {
    return defer(() => {
      const work = this.#due.pipe(
        mergeMap((systemuserid) => this.#work(systemuserid), Math.max(1, this.#pool.size)),
        ignoreElements(),
        finalize(() => this.#recorded.complete()),
      );
      this.#signal.addEventListener('abort', () => this.#stop(), { once: true });
      queueMicrotask(() => this.#resume());
      return merge(this.#recorded, work);
    });
  }

  /** Takes over an event for a linked record; resolves when that is durable. */
  async accept(event: ChangeEvent, link: Link): Promise<void> {
    const { systemuserid } = link;
    const before = this.#open.get(systemuserid);
    const known = before !== undefined && isOpen(before) ? before : undefined;
    const cause = {
      eventId: eventId(event),
      sequence: event.sequence,
      to: event.after ? domainName(event.after) : '',
      attempts: 0,
      notBefore: null,
    };
    this.#open.set(systemuserid, known ? { ...known, ...cause } : { ...newRepair(event, link), ...cause });
    const recorded = firstValueFrom(
      race(
        this.#recorded.pipe(
          filter((repair) => repair.systemuserid === systemuserid && repair.sequence >= event.sequence),
          map(() => true),
        ),
        timer(ACCEPT_MILLISECONDS).pipe(map(() => false)),
      ),
      { defaultValue: false },
    );
    this.#due.next(systemuserid);
    if (!(await recorded) && this.#open.get(systemuserid)?.sequence === event.sequence) await this.#record(systemuserid, {});
  }

  /** Goes on where the journal ended. */
  #resume(): void {
    for (const repair of this.#log.openRepairs()) {
      this.#open.set(repair.systemuserid, repair);
      if (repair.parkingAccount !== null) this.#pool.keep(repair.parkingAccount, repair.systemuserid);
    }
    for (const systemuserid of this.#open.keys()) this.#due.next(systemuserid);
  }

  #stop(): void {
    this.#timers.unsubscribe();
    this.#due.complete();
  }

  /** One record, step after step, until its repair ends or has to wait. */
  async #work(systemuserid: string): Promise<void> {
    if (this.#busy.has(systemuserid)) {
      this.#again.add(systemuserid);
      return;
    }
    this.#busy.add(systemuserid);
    try {
      let goOn = true;
      while (goOn) {
        this.#again.delete(systemuserid);
        goOn = await this.#step(systemuserid);
        goOn ||= this.#again.has(systemuserid) && this.#open.has(systemuserid);
      }
    } finally {
      this.#busy.delete(systemuserid);
    }
  }

  /** @returns whether the next step can be taken at once */
  async #step(systemuserid: string): Promise<boolean> {
    const repair = this.#open.get(systemuserid);
    if (repair === undefined) return false;
    const early = repair.notBefore === null ? 0 : Date.parse(repair.notBefore) - Date.now();
    if (early > 0) {
      this.#wake(systemuserid, early);
      return false;
    }
    const era = this.#era;
    try {
      const [decision, record] = await this.#decide(repair);
      switch (decision.step) {
        case 'end':
          await this.#end(systemuserid, decision, record);
          return false;
        case 'wait':
          // What it would wait for happened while it was asked about.
          if (era !== this.#era && WAITS_FOR_ANOTHER.includes(decision.reason)) return true;
          await this.#wait(systemuserid, decision.reason, decision.message ?? null);
          return false;
        case 'park':
          if (this.#signal.aborted) return false;
          return await this.#park(systemuserid, decision, record);
        case 'name':
          return await this.#name(systemuserid, decision.to);
      }
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      return await this.#failed(systemuserid, error);
    }
  }

  async #decide(repair: Repair): Promise<[Decision, SystemUser | undefined]> {
    const { systemuserid } = repair;
    const identity = this.#log.identity(repair.objectGUID);
    const target = identity === undefined ? repair.to : domainName(identity);
    const kept = this.#pool.take(systemuserid);
    const records = await this.#ce.find({ systemuserid, domainNames: kept === undefined ? [target] : [target, kept] });
    const record = records.find((found) => found.systemuserid === systemuserid);
    const holder = records.find((found) => found.systemuserid !== systemuserid && sameName(found.domainname, target));
    const squatter = records.find((found) => kept !== undefined && found.systemuserid !== systemuserid && sameName(found.domainname, kept));
    const isParked = record !== undefined && kept !== undefined && sameName(record.domainname, kept);
    if (squatter !== undefined && kept !== undefined && !isParked) {
      this.#pool.release(systemuserid);
      this.#pool.avoid(kept, AVOID_MILLISECONDS);
      return this.#decide(repair);
    }
    if (holder === undefined) this.#waitsFor.delete(systemuserid);
    else this.#waitsFor.set(systemuserid, holder.systemuserid);
    const decision = decide({
      repair,
      identity,
      record,
      own: this.#own,
      holder,
      holderWillLeave: holder === undefined ? 'no' : this.#willLeave(holder, systemuserid),
      givenAway: record !== undefined && this.#isGivenAway(repair, record),
      parkingAccount: kept,
      anotherCanPark: this.#pool.hasFree(),
    });
    return [decision, record];
  }

  /** Whether the record in the way is about to get another name, because its account has one. */
  #willLeave(holder: SystemUser, systemuserid: string): 'no' | 'yes' | 'waits-for-this' {
    for (let next = this.#waitsFor.get(holder.systemuserid), steps = 0; next !== undefined && steps <= this.#open.size; steps++) {
      if (next === systemuserid) return 'waits-for-this';
      next = this.#waitsFor.get(next);
    }
    if (this.#open.has(holder.systemuserid)) return 'yes';
    const link = this.#log.linkOfRecord(holder.systemuserid);
    const identity = link === undefined ? undefined : this.#log.identity(link.objectGUID);
    return identity !== undefined && !sameName(domainName(identity), holder.domainname) ? 'yes' : 'no';
  }

  #isGivenAway(repair: Repair, record: SystemUser): boolean {
    const lastSeen = this.#log.linkOfRecord(record.systemuserid)?.domainname;
    if ([repair.from, repair.parkingAccount, lastSeen].some((name) => typeof name === 'string' && sameName(name, record.domainname)))
      return false;
    const [domain, name] = record.domainname.split('\\');
    const holder = domain === undefined || name === undefined ? undefined : this.#log.holder(domain, name);
    return holder !== undefined && holder !== repair.objectGUID;
  }

  async #park(systemuserid: string, { account, to }: { account: string; to: string }, record: SystemUser | undefined): Promise<boolean> {
    await this.#record(systemuserid, {
      state: 'repairing',
      reason: null,
      message: null,
      from: record?.domainname ?? '',
      to,
      parkingAccount: account,
      notBefore: null,
    });
    let shown: string;
    try {
      shown = await this.#ce.setDomainName(systemuserid, account);
    } catch (error) {
      if (!(error instanceof CustomerEngagementError) || !['held', 'not-in-directory'].includes(error.failure)) throw error;
      // The account cannot serve now: another one may.
      this.#pool.release(systemuserid);
      this.#pool.avoid(account, AVOID_MILLISECONDS);
      this.#update(systemuserid, { parkingAccount: null });
      return true;
    }
    if (!sameName(shown, account)) return true;
    this.#update(systemuserid, { times: { ...this.#repair(systemuserid).times, parked: new Date().toISOString() } });
    this.#wakeWaiting();
    const present = this.#log.identity(this.#repair(systemuserid).objectGUID);
    const nobodyInTheWay = !this.#waitsFor.has(systemuserid) && present !== undefined && domainName(present) === to;
    return nobodyInTheWay ? await this.#name(systemuserid, to) : true;
  }

  async #name(systemuserid: string, to: string): Promise<boolean> {
    const repair = this.#repair(systemuserid);
    if (repair.state !== 'repairing' || repair.to !== to) {
      await this.#record(systemuserid, { state: 'repairing', reason: null, message: null, to, notBefore: null });
    }
    const shown = await this.#ce.setDomainName(systemuserid, to);
    if (!sameName(shown, to)) return true;
    this.#update(systemuserid, { times: { ...this.#repair(systemuserid).times, named: new Date().toISOString() } });
    const present = this.#log.identity(repair.objectGUID);
    if (present !== undefined && domainName(present) !== to) return true;
    await this.#end(systemuserid, { state: 'repaired', reason: null }, { systemuserid, domainname: shown });
    return false;
  }

  async #end(
    systemuserid: string,
    { state, reason, message }: { state: 'repaired' | 'unneeded' | 'needs-person'; reason: RepairReason | null; message?: string },
    record: Pick<SystemUser, 'systemuserid' | 'domainname'> | undefined,
  ): Promise<void> {
    const repair = this.#repair(systemuserid);
    const stillParked = record !== undefined && repair.parkingAccount !== null && sameName(record.domainname, repair.parkingAccount);
    const links = state !== 'needs-person' && record !== undefined ? [linkOf(this.#ce.name, repair.objectGUID, record)] : [];
    const parkingAccount = stillParked ? repair.parkingAccount : null;
    await this.#record(systemuserid, { state, reason, message: message ?? null, parkingAccount, notBefore: null }, links);
    this.#waitsFor.delete(systemuserid);
    if (!stillParked) this.#pool.release(systemuserid);
    this.#wakeWaiting();
  }

  async #wait(systemuserid: string, reason: RepairReason, message: string | null, retryAfter?: number): Promise<void> {
    const repair = this.#repair(systemuserid);
    const attempts = repair.attempts + 1;
    const milliseconds = Math.max(backoff(attempts, DELAYS[reason] ?? UNTIL_ANOTHER_ENDS), retryAfter ?? 0);
    const notBefore = new Date(Date.now() + milliseconds).toISOString();
    // Before the first write nothing is parked, and another repair may have the account meanwhile.
    const mayBeParked = repair.state === 'repairing' || repair.parkingAccount !== null;
    if (!mayBeParked) this.#pool.release(systemuserid);
    await this.#record(systemuserid, { state: 'waiting', reason, message, attempts, notBefore });
    this.#wake(systemuserid, milliseconds);
  }

  /** What a refusal or failure of Customer Engagement means for the repair. */
  async #failed(systemuserid: string, error: CustomerEngagementError): Promise<boolean> {
    const waits: Partial<Record<CustomerEngagementFailure, RepairReason>> = {
      transient: 'unavailable',
      'unknown-outcome': 'unavailable',
      'not-in-directory': 'not-in-directory-yet',
      credentials: 'credentials-refused',
      privilege: 'privilege-missing',
    };
    const ends: Partial<Record<CustomerEngagementFailure, RepairReason>> = {
      held: 'held-by-another-record',
      impossible: error.code === CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME ? 'own-record' : 'special-user',
      missing: 'record-missing',
      refused: 'refused',
    };
    const reason = waits[error.failure];
    if (reason !== undefined) {
      await this.#wait(systemuserid, reason, error.message, error.retryAfter);
      return false;
    }
    const end = ends[error.failure];
    const { attempts, parkingAccount } = this.#repair(systemuserid);
    if (end === undefined || (error.failure === 'refused' && attempts === 0)) {
      await this.#wait(systemuserid, 'unavailable', error.message, error.retryAfter);
      return false;
    }
    const record = parkingAccount === null ? undefined : { systemuserid, domainname: parkingAccount };
    await this.#end(systemuserid, { state: 'needs-person', reason: end, message: error.message }, record);
    return false;
  }

  /** A record left its name, or an account was released: whoever waited for that looks again. */
  #wakeWaiting(): void {
    this.#era++;
    for (const [systemuserid, repair] of this.#open) {
      if (repair.reason === null || !WAITS_FOR_ANOTHER.includes(repair.reason)) continue;
      this.#update(systemuserid, { notBefore: null });
      this.#due.next(systemuserid);
    }
  }

  #wake(systemuserid: string, milliseconds: number): void {
    this.#timers.add(timer(milliseconds).subscribe(() => this.#due.next(systemuserid)));
  }

  #repair(systemuserid: string): Repair {
    const repair = this.#open.get(systemuserid);
    if (repair === undefined) throw new Error(`no open repair of ${systemuserid}`);
    return repair;
  }

  /** Known from now on, not yet in the journal. */
  #update(systemuserid: string, patch: Partial<Repair>): void {
    this.#open.set(systemuserid, { ...this.#repair(systemuserid), ...patch });
  }

  /** Known and durable once it resolves. */
  async #record(systemuserid: string, patch: Partial<Repair>, links: readonly Link[] = []): Promise<void> {
    this.#update(systemuserid, { ...patch, at: new Date().toISOString() });
    const repair = this.#repair(systemuserid);
    await this.#log.record({ repairs: [repair], links });
    if (!isOpen(repair) && this.#open.get(systemuserid)?.sequence === repair.sequence) this.#open.delete(systemuserid);
    this.#recorded.next(repair);
  }
}

/** The caller cannot change their own domain name (Web service error codes). */
const CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME = 0x80044161;

function newRepair(event: ChangeEvent, link: Link): Repair {
  return {
    organization: link.organization,
    systemuserid: link.systemuserid,
    objectGUID: event.objectGUID,
    state: 'waiting',
    reason: null,
    message: null,
    from: event.before ? domainName(event.before) : link.domainname,
    to: '',
    parkingAccount: null,
    attempts: 0,
    notBefore: null,
    eventId: eventId(event),
    sequence: event.sequence,
    times: { observed: event.observed.time },
    at: event.observed.time,
  };
}
