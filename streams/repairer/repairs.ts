import { defer, finalize, ignoreElements, merge, type Observable } from 'rxjs';
import { type ChangeEvent, eventId } from '../change.ts';
import type { JournalEntries, RepairerLog } from '../change-log.ts';
import type { CustomerEngagement, SystemUser } from '../customer-engagement.ts';
import { aborted } from '../operators.ts';
import { isOpen, type Link, type Repair } from '../repair.ts';
import { Breaker } from './breaker.ts';
import { OpenRepairs } from './open-repairs.ts';
import type { ParkingPool } from './parking.ts';
import { Schedule } from './schedule.ts';
import { type RepairsSettings, Steps } from './steps.ts';

/**
 * All repairs of one organization, side by side: each is one systemuser record on its way to the present name of its account.
 */
export class Repairs {
  readonly #log: RepairerLog;
  readonly #organization: string;
  readonly #pool: ParkingPool;
  readonly #stop: AbortSignal;
  readonly #repairs: OpenRepairs;
  readonly #schedule: Schedule;
  readonly #steps: Steps;

  /** @param own systemuserid of the service's own record @param stop lets what is under way come to a safe point, and begins nothing more */
  constructor(ce: CustomerEngagement, log: RepairerLog, pool: ParkingPool, own: string, settings: RepairsSettings, stop: AbortSignal) {
    this.#log = log;
    this.#organization = ce.name;
    this.#pool = pool;
    this.#stop = stop;
    const repairs = new OpenRepairs(log);
    const atOnce = Math.max(1, Math.min(settings.parallel, pool.size));
    const work = (systemuserid: string) => this.#work(systemuserid);
    const schedule = new Schedule(work, (systemuserid) => this.#urgency(systemuserid), atOnce);
    const breaker = new Breaker(schedule, atOnce);
    this.#repairs = repairs;
    this.#schedule = schedule;
    this.#steps = new Steps({ ce, log, pool, own, settings, stop, repairs, schedule, breaker });
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

  /**
   * Takes over an event for a linked record; resolves when that is durable.
   *
   * @param more what is known besides: that its account has left the scope since, or that the record is mapped to another account
   * @throws FencedError @throws LogError
   */
  async accept(event: ChangeEvent, link: Link, more: { leftScope: boolean; remap?: boolean }): Promise<void> {
    const { systemuserid } = link;
    if (this.#repairs.isTakenOver(event, systemuserid)) return;
    this.#begin(this.#repairs.add(event, link, more));
    await this.#repairs.durable(event, systemuserid);
  }

  /**
   * Begins the repair of a linked record without an event, or takes it up again at once: a person asked for it.
   *
   * @param remap the record is mapped to another account, whatever name it shows
   * @param entries what is recorded together with it
   * @throws FencedError @throws LogError
   */
  async request(link: Link, record: SystemUser, remap: boolean, entries: JournalEntries): Promise<void> {
    const repair = this.#repairs.addRequested(link, record, this.#log.knownSequence, remap);
    await this.#log.record({ ...entries, repairs: [repair] });
    this.#begin(repair);
  }

  /** Ends a repair, or the need of one, because a person said so. Durable when it resolves. @returns why not, if it cannot be ended now @throws FencedError @throws LogError */
  async skip(systemuserid: string): Promise<string | undefined> {
    const repair = this.#repairs.find(systemuserid) ?? this.#log.repair(systemuserid);
    if (repair === undefined) return 'it has no repair';
    if (repair.parkingAccount !== null)
      return `it is on the parking account ${repair.parkingAccount}, or about to be: its repair has to be finished`;
    if (repair.state === 'repaired' || repair.state === 'unneeded') return 'its repair has ended already';
    if (repair.state === 'repairing') return 'it is being written right now';
    this.#repairs.reopen(systemuserid);
    await this.#steps.end(systemuserid, { state: 'unneeded', reason: 'skipped' }, undefined);
    return undefined;
  }

  /** Takes over an event for a record about which a person has to decide first. Durable when it resolves. @throws FencedError @throws LogError */
  async leave(
    event: ChangeEvent,
    record: Pick<SystemUser, 'systemuserid' | 'domainname'>,
    reason: 'link-uncertain' | 'account-recreated',
  ): Promise<void> {
    const { systemuserid } = record;
    if (this.#repairs.isTakenOver(event, systemuserid)) return;
    const open = this.#repairs.find(systemuserid);
    if (open === undefined || !isOpen(open)) {
      await this.#repairs.recordUndecided(event, this.#organization, record, reason);
    } else if (reason === 'account-recreated') {
      // What is under way ends first, and as this.
      await this.#repairs.record(systemuserid, { recreatedAs: event.objectGUID, eventId: eventId(event), sequence: event.sequence });
      this.#schedule.wake(systemuserid);
    }
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
    const takenOff = parkingAccount === null ? this.#repairs.recordTakenOff(systemuserid) : undefined;
    if (takenOff !== undefined) {
      this.#steps.release(systemuserid);
      this.#schedule.alongside(takenOff);
      return;
    }
    if (!this.#repairs.takeUp(systemuserid, parkingAccount)) return;
    if (parkingAccount === null) this.#steps.release(systemuserid);
    else this.#pool.keep(parkingAccount, systemuserid);
    this.#schedule.wake(systemuserid);
  }

  /** A name was given up: a repair that ended because two accounts had it can go on. */
  unshare(systemuserid: string): void {
    if (this.#repairs.unshare(systemuserid)) this.#schedule.wake(systemuserid);
  }

  #begin({ systemuserid, parkingAccount }: Repair): void {
    this.#steps.forget(systemuserid);
    if (parkingAccount !== null) this.#pool.keep(parkingAccount, systemuserid);
    this.#schedule.wake(systemuserid);
  }

  /** Who may be parked first, since nobody can log on as that person; then whoever was renamed last. */
  #urgency(systemuserid: string): number {
    const repair = this.#repairs.find(systemuserid);
    return repair?.parkingAccount ? Number.POSITIVE_INFINITY : (repair?.sequence ?? 0);
  }

  /** One record, step after step, until its repair ends or has to wait. */
  async #work(systemuserid: string): Promise<void> {
    let goOn = true;
    while (goOn) goOn = await this.#steps.take(systemuserid);
  }
}
