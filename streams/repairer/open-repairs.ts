import { concatMap, defer, EMPTY, filter, firstValueFrom, merge, type Observable, Subject, timer } from 'rxjs';
import { type ChangeEvent, eventId } from '../change.ts';
import type { RepairerLog } from '../change-log.ts';
import type { SystemUser } from '../customer-engagement.ts';
import { domainName, isUpn, nameKey, userNameLike } from '../identity.ts';
import { isOpen, type Link, type Repair } from '../repair.ts';

/** How long an event waits for the first journal record of its repair before one is written for it. */
const LATEST_MILLISECONDS = 250;

/** A name that was written so many milliseconds or less before the listener saw it lost may have been lost before it was written. */
const DOUBT_MILLISECONDS = 60_000;

/** The repairs that have not ended, as they are known and as the journal knows them. */
export class OpenRepairs {
  readonly #log: RepairerLog;
  readonly #open = new Map<string, Repair>();
  /** By the name that their records show, as far as is known. */
  readonly #byName = new Map<string, Set<string>>();
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
    // What only settings kept from being begun is looked at again under those of now.
    const repairs = this.#log.openRepairs().map((repair) => (isWithheld(repair) ? { ...repair, notBefore: null } : repair));
    for (const repair of repairs) this.#put(repair);
    return repairs;
  }

  /** Those that have not ended. */
  get all(): Repair[] {
    return [...this.#open.values()].filter(isOpen);
  }

  /** Those that have not ended whose records show this name, unless they are parked. */
  showing(name: string): Repair[] {
    return [...(this.#byName.get(nameKey(name)) ?? [])].map((systemuserid) => this.get(systemuserid)).filter(isOpen);
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
  add(event: ChangeEvent, link: Link, { leftScope, remap }: { leftScope: boolean; remap?: boolean }): Repair {
    const { systemuserid } = link;
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    const known = last !== undefined && isOpen(last) ? last : repairFor(event, link, last);
    const to = (event.after && userNameLike(known.from, event.after)) ?? '';
    const { parked, ...times } = known.times;
    const repair: Repair = {
      ...known,
      // Another account, where the record was given to one that was made anew.
      objectGUID: event.objectGUID,
      eventId: eventId(event),
      sequence: event.sequence,
      formerHolder: event.formerHolder,
      sharedWith: event.sharedWith ?? null,
      leftScope,
      ...(remap && { remap }),
      doubtful: isDoubtful(event, last),
      attempts: 0,
      notBefore: null,
      // What it did for the former account does not map the record to this one.
      times: { ...times, ...(parked !== undefined && !remap && { parked }), target: event.observed.time },
      // Once the record may be parked, this is the name that it may have been given: whether it has it has to be asked first.
      to: known.parkingAccount === null ? to : known.to,
    };
    this.#put(repair);
    return repair;
  }

  /** Begins a repair without an event, or takes up the last one again, whatever it ended with. */
  addRequested(link: Link, { domainname }: Pick<SystemUser, 'domainname'>, sequence: number, remap: boolean): Repair {
    const { systemuserid, objectGUID } = link;
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    const now = new Date().toISOString();
    const own = last?.objectGUID === objectGUID ? last : undefined;
    const parkingAccount = last?.parkingAccount ?? null;
    const begun: Repair =
      own !== undefined && isOpen(own)
        ? own
        : {
            ...stillParked(newRepair(link, { eventId: `${objectGUID}-${sequence}`, sequence, observed: now }), last),
            // What was last seen, since the record may have been given to somebody else by hand; unless it has another form now.
            ...(parkingAccount === null && { from: isUpn(domainname) ? domainname : link.domainname }),
          };
    const state = begun.state === 'repairing' ? 'repairing' : 'waiting';
    // Whoever asks answers for it that the server has heard of the change.
    const { target: _, parked, ...rest } = begun.times;
    const times = { ...rest, ...(parked !== undefined && !remap && { parked }) };
    const again = { state, reason: null, message: null, attempts: 0, notBefore: null, times, ...(remap && { remap }) } as const;
    const identity = this.#log.identity(objectGUID);
    const to = begun.parkingAccount === null ? ((identity && userNameLike(begun.from, identity)) ?? begun.to) : begun.to;
    const repair = { ...begun, to, sequence: Math.max(begun.sequence, sequence), ...again };
    this.#put(repair);
    return repair;
  }

  /** Opens the last repair of a record again as it was. */
  reopen(systemuserid: string): void {
    const last = this.#log.repair(systemuserid);
    if (!this.#open.has(systemuserid) && last !== undefined) this.#put(last);
  }

  /**
   * Takes up a repair again that has ended. One whose record is on a parking account: a write that was given up can be carried out
   * late; but one that was left there for a person to decide stays as it is. And one that was left there and is on none any more:
   * a person has decided.
   *
   * @param parkingAccount on which the record is
   * @returns whether it was
   */
  takeUp(systemuserid: string, parkingAccount: string | null): boolean {
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    if (last === undefined || isOpen(last) || (last.parkingAccount === null) === (parkingAccount === null)) return false;
    // Nobody has said yet whose record it is; it may be parked by the person who is about to.
    if (isUndecided(last)) return false;
    // What it did before a person decided is not what it has done since; nor was it there, then, where it is now.
    const { parked: _, named: __, ...before } = last.times;
    const times = parkingAccount === null ? { observed: last.times.observed } : { ...before, intended: new Date().toISOString() };
    const again = { state: 'waiting', reason: null, message: null, parkingAccount, attempts: 0, notBefore: null, times } as const;
    this.#put({ ...last, ...again });
    return true;
  }

  /**
   * A person has taken the record off its parking account, and has yet to say whose it is. Durable when it resolves.
   *
   * @returns undefined where it is not so
   * @throws FencedError @throws LogError
   */
  recordTakenOff(systemuserid: string): Promise<void> | undefined {
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    if (last === undefined || isOpen(last) || last.parkingAccount === null || !isUndecided(last)) return undefined;
    this.#put(last);
    return this.record(systemuserid, { parkingAccount: null });
  }

  /**
   * Takes up a repair again that ended because another account had the same name.
   *
   * @returns whether it was
   */
  unshare(systemuserid: string): boolean {
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    if (last?.reason !== 'name-shared' || isOpen(last)) return false;
    this.#put({ ...last, state: 'waiting', reason: null, message: null, attempts: 0, notBefore: null });
    return true;
  }

  /** The account of an open repair left the scope. Durable when it resolves. @throws FencedError @throws LogError */
  async recordLeft(systemuserid: string): Promise<void> {
    if (this.#open.has(systemuserid)) await this.record(systemuserid, { leftScope: true });
  }

  /** Nothing is begun, and a person has to decide. Durable when it resolves. @throws FencedError @throws LogError */
  async recordUndecided(
    event: ChangeEvent,
    organization: string,
    { systemuserid, domainname }: Pick<SystemUser, 'systemuserid' | 'domainname'>,
    reason: 'link-uncertain' | 'account-recreated',
  ): Promise<void> {
    const link = { organization, objectGUID: event.objectGUID, systemuserid, domainname, learned: event.observed.time };
    const last = this.#open.get(systemuserid) ?? this.#log.repair(systemuserid);
    const to = (event.after && userNameLike(domainname, event.after)) ?? '';
    this.#put(stillParked({ ...newRepair(link, causeOf(event)), from: domainname, to }, last));
    const message =
      reason === 'link-uncertain'
        ? `the record shows ${domainname}, which another account without a record has or had too`
        : `the account ${event.formerHolder ?? ''} of this record was deleted, and ${event.objectGUID} was made anew under its name`;
    await this.record(systemuserid, { state: 'needs-person', reason, message });
  }

  /** Known from now on, not yet in the journal. */
  update(systemuserid: string, patch: Partial<Repair>): void {
    this.#put({ ...this.get(systemuserid), ...patch });
  }

  /** Known from now on, and durable once it resolves. @throws FencedError @throws LogError */
  async record(systemuserid: string, patch: Partial<Repair>, links: readonly Link[] = []): Promise<void> {
    this.update(systemuserid, { ...patch, at: new Date().toISOString() });
    const repair = this.get(systemuserid);
    await this.#log.record({ repairs: [repair], links });
    // An event may have begun another repair meanwhile.
    if (!isOpen(repair) && this.#open.get(systemuserid)?.sequence === repair.sequence) this.#remove(systemuserid);
    this.#recorded.next(repair);
  }

  /**
   * Makes the end of a repair durable, as it was known then; whatever has been begun for its record since goes on.
   *
   * @throws FencedError @throws LogError
   */
  async conclude(ended: Repair, links: readonly Link[]): Promise<void> {
    const repair = { ...ended, at: new Date().toISOString() };
    await this.#log.record({ repairs: [repair], links });
    if (this.#open.get(repair.systemuserid) === ended) this.#remove(repair.systemuserid);
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

  #put(repair: Repair): void {
    const { systemuserid, from } = repair;
    this.#unname(systemuserid);
    this.#open.set(systemuserid, repair);
    const namesakes = this.#byName.get(nameKey(from)) ?? new Set();
    this.#byName.set(nameKey(from), namesakes.add(systemuserid));
  }

  #remove(systemuserid: string): void {
    this.#unname(systemuserid);
    this.#open.delete(systemuserid);
  }

  #unname(systemuserid: string): void {
    const key = nameKey(this.#open.get(systemuserid)?.from ?? '');
    const namesakes = this.#byName.get(key);
    namesakes?.delete(systemuserid);
    if (namesakes?.size === 0) this.#byName.delete(key);
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

function isWithheld({ reason }: Repair): boolean {
  return reason === 'dry-run' || reason === 'change-window';
}

/** What asked for a repair. */
interface Cause {
  readonly eventId: string;
  readonly sequence: number;
  /** When the listener saw it, and when it was made in the directory; ISO 8601. */
  readonly observed: string;
  readonly changed?: string | undefined;
}

function causeOf(event: ChangeEvent): Cause {
  return { eventId: eventId(event), sequence: event.sequence, observed: event.observed.time, changed: event.observed.origin?.time };
}

/** One that has not begun. @param link names the record and what it shows */
export function newRepair(
  { organization, systemuserid, objectGUID, domainname }: Link,
  { eventId, sequence, observed, changed }: Cause,
): Repair {
  const now = new Date().toISOString();
  return {
    organization,
    systemuserid,
    objectGUID,
    state: 'waiting',
    reason: null,
    message: null,
    from: domainname,
    to: '',
    parkingAccount: null,
    attempts: 0,
    notBefore: null,
    eventId,
    sequence,
    times: { ...(changed && { changed }), observed, planned: now },
    at: now,
  };
}

/** Nobody has said yet whose record it is. */
function isUndecided({ reason }: Repair): boolean {
  return reason === 'link-uncertain' || reason === 'account-recreated';
}

/** Begun for an event. */
function repairFor(event: ChangeEvent, link: Link, last: Repair | undefined): Repair {
  const repair = newRepair(link, causeOf(event));
  const former = event.before === null || isUpn(link.domainname) ? link.domainname : domainName(event.before);
  return stillParked({ ...repair, from: former }, last);
}

/** The last repair may have ended on a parking account, for a person to decide: then the next one begins there. */
function stillParked(repair: Repair, last: Repair | undefined): Repair {
  if (last?.parkingAccount == null) return repair;
  const { from, to, parkingAccount, times, at } = last;
  return { ...repair, from, to, parkingAccount, times: { ...repair.times, intended: times.parked ?? times.intended ?? at } };
}
