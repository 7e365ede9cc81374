import { concatMap, defer, EMPTY, filter, firstValueFrom, merge, type Observable, Subject, timer } from 'rxjs';
import { type ChangeEvent, eventId } from '../change.ts';
import type { RepairerLog } from '../change-log.ts';
import type { SystemUser } from '../customer-engagement.ts';
import { domainName } from '../identity.ts';
import { isOpen, type Link, type Repair } from '../repair.ts';

/** How long an event waits for the first journal record of its repair before one is written for it. */
const LATEST_MILLISECONDS = 250;

/** A name that was written so many milliseconds or less before the listener saw it lost may have been lost before it was written. */
const DOUBT_MILLISECONDS = 60_000;

/** The repairs that have not ended, as they are known and as the journal knows them. */
export class OpenRepairs {
  readonly #log: RepairerLog;
  readonly #open = new Map<string, Repair>();
  readonly #recorded = new Subject<Repair>();

  constructor(log: RepairerLog) {
    this.#log = log;
  }

  /** Each journal record once it is durable. */
  get recorded(): Observable<Repair> {
    return this.#recorded;
  }

  /** Everything that the journal says has not ended. */
  load(): Repair[] {
    const repairs = this.#log.openRepairs();
    for (const repair of repairs) this.#open.set(repair.systemuserid, repair);
    return repairs;
  }

  get all(): Repair[] {
    return [...this.#open.values()];
  }

  find(systemuserid: string): Repair | undefined {
    return this.#open.get(systemuserid);
  }

  get(systemuserid: string): Repair {
    const repair = this.#open.get(systemuserid);
    if (repair === undefined) throw new Error(`no open repair of ${systemuserid}`);
    return repair;
  }

  /** Whether the journal knows of this event's repair, or of a later one, whatever became of it: events can come twice. */
  isTakenOver(event: ChangeEvent, systemuserid: string): boolean {
    return (this.#log.repair(systemuserid)?.sequence ?? 0) >= event.sequence;
  }

  /** Begins a repair for an event, or gives an open one its new goal. */
  add(event: ChangeEvent, link: Link, isOut: boolean): Repair {
    const { systemuserid } = link;
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    const known = last !== undefined && isOpen(last) ? last : newRepair(event, link, last);
    const to = event.after ? domainName(event.after) : '';
    const repair: Repair = {
      ...known,
      eventId: eventId(event),
      sequence: event.sequence,
      formerHolder: event.formerHolder,
      sharedWith: event.sharedWith ?? null,
      leftScope: isOut,
      doubtful: isDoubtful(event, last),
      attempts: 0,
      notBefore: null,
      // Once the record may be parked, this is the name that it may have been given: whether it has it has to be asked first.
      to: known.parkingAccount === null ? to : known.to,
    };
    this.#open.set(systemuserid, repair);
    return repair;
  }

  /**
   * Takes up a repair again that has ended. One whose record is on a parking account: a write that was given up can be carried out
   * late; but one that was left there for a person to decide stays as it is. And one that was left there and is on none any more:
   * a person has decided.
   *
   * @param parkingAccount on which the record is
   * @returns whether it was
   */
  reopen(systemuserid: string, parkingAccount: string | null): boolean {
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    if (last === undefined || isOpen(last) || (last.parkingAccount === null) === (parkingAccount === null)) return false;
    // Nobody has said yet whose record it is; it may be parked by the person who is about to.
    if (last.reason === 'link-uncertain') return false;
    // What it did before a person decided is not what it has done since.
    const times = parkingAccount === null ? { observed: last.times.observed } : last.times;
    const again = { state: 'waiting', reason: null, message: null, parkingAccount, attempts: 0, notBefore: null, times } as const;
    this.#open.set(systemuserid, { ...last, ...again });
    return true;
  }

  /**
   * Takes up a repair again that ended because another account had the same name.
   *
   * @returns whether it was
   */
  unshare(systemuserid: string): boolean {
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    if (last?.reason !== 'name-shared' || isOpen(last)) return false;
    this.#open.set(systemuserid, { ...last, state: 'waiting', reason: null, message: null, attempts: 0, notBefore: null });
    return true;
  }

  /** The account of an open repair left the scope. Durable when it resolves. @throws FencedError @throws LogError */
  async recordLeft(systemuserid: string): Promise<void> {
    if (this.#open.has(systemuserid)) await this.record(systemuserid, { leftScope: true });
  }

  /** The record may be another account's: nothing is begun, and a person has to decide. Durable when it resolves. @throws FencedError @throws LogError */
  async recordUncertain(event: ChangeEvent, organization: string, { systemuserid, domainname }: SystemUser): Promise<void> {
    const link = { organization, objectGUID: event.objectGUID, systemuserid, domainname, learned: event.observed.time };
    this.#open.set(systemuserid, {
      ...newRepair(event, link, undefined),
      from: domainname,
      to: event.after ? domainName(event.after) : '',
    });
    const message = `the record shows ${domainname}, which another account without a record has or had too`;
    await this.record(systemuserid, { state: 'needs-person', reason: 'link-uncertain', message });
  }

  /** Known from now on, not yet in the journal. */
  update(systemuserid: string, patch: Partial<Repair>): void {
    this.#open.set(systemuserid, { ...this.get(systemuserid), ...patch });
  }

  /** Known from now on, and durable once it resolves. @throws FencedError @throws LogError */
  async record(systemuserid: string, patch: Partial<Repair>, links: readonly Link[] = []): Promise<void> {
    this.update(systemuserid, { ...patch, at: new Date().toISOString() });
    const repair = this.get(systemuserid);
    await this.#log.record({ repairs: [repair], links });
    // An event may have begun another repair meanwhile.
    if (!isOpen(repair) && this.#open.get(systemuserid)?.sequence === repair.sequence) this.#open.delete(systemuserid);
    this.#recorded.next(repair);
  }

  /** Resolves when the repair that this event asked for is in the journal. @throws FencedError @throws LogError */
  async durable({ sequence }: ChangeEvent, systemuserid: string): Promise<void> {
    const written = this.#recorded.pipe(filter((repair) => repair.systemuserid === systemuserid && repair.sequence >= sequence));
    const late = timer(LATEST_MILLISECONDS).pipe(
      concatMap(() => {
        const repair = this.#open.get(systemuserid);
        // An end that is on its way to the journal says more than another record would.
        return repair !== undefined && repair.sequence >= sequence && isOpen(repair) ? defer(() => this.record(systemuserid, {})) : EMPTY;
      }),
    );
    const done = await firstValueFrom(merge(written, late), { defaultValue: 'closed' as const });
    if (done === 'closed' && (this.#open.get(systemuserid)?.sequence ?? 0) >= sequence) await this.record(systemuserid, {});
  }

  /** Nothing more will be done about any of them. */
  close(): void {
    this.#recorded.complete();
  }
}

function isDoubtful({ observed }: ChangeEvent, last: Repair | undefined): boolean {
  if (last === undefined) return false;
  if (isOpen(last)) return last.doubtful === true || last.parkingAccount !== null;
  return last.state === 'repaired' && Date.parse(observed.time) - Date.parse(last.at) <= DOUBT_MILLISECONDS;
}

function newRepair(event: ChangeEvent, link: Link, last: Repair | undefined): Repair {
  const from = event.before ? domainName(event.before) : link.domainname;
  // The last repair may have ended on a parking account, for a person to decide.
  const parkingAccount = last?.parkingAccount ?? null;
  return {
    organization: link.organization,
    systemuserid: link.systemuserid,
    objectGUID: event.objectGUID,
    state: 'waiting',
    reason: null,
    message: null,
    from: parkingAccount === null ? from : (last?.from ?? from),
    to: parkingAccount === null ? '' : (last?.to ?? ''),
    parkingAccount,
    attempts: 0,
    notBefore: null,
    eventId: eventId(event),
    sequence: event.sequence,
    times: { observed: event.observed.time },
    at: event.observed.time,
  };
}
