import {
  catchError,
  concat,
  concatMap,
  defer,
  EMPTY,
  exhaustMap,
  from,
  ignoreElements,
  interval,
  map,
  type Observable,
  of,
  takeUntil,
  tap,
} from 'rxjs';
import { backoff } from '../backoff.ts';
import type { ChangeEvent } from '../change.ts';
import { type ChangeLog, type ChangePage, FencedError, LogError, type RepairerLog } from '../change-log.ts';
import { type CustomerEngagement, CustomerEngagementError } from '../customer-engagement.ts';
import { aborted, failWhenAborted, type RetryPlan, retryWithReports, sideBySide, withResource, withTold } from '../operators.ts';
import type { Repair } from '../repair.ts';
import { type Astray, type Found, Linker } from './links.ts';
import { checkParkingAccounts, type ParkingCheck, ParkingPool } from './parking.ts';
import { Repairs } from './repairs.ts';

/** Before another instance is waited for that took over; milliseconds. */
const FENCED_DELAY = 1_000;

export interface RepairerSettings {
  readonly parkingAccounts: readonly string[];
  /** Milliseconds from one look at all user records to the next. */
  readonly linkEvery: number;
}

/** What a repairer tells of its work; the runtime turns it into log lines. */
export type RepairerReport =
  /** Another instance repairs this organization. */
  | { readonly type: 'standing-by'; readonly organization: string }
  | { readonly type: 'repairing'; readonly organization: string; readonly parking: ParkingCheck }
  | { readonly type: 'linked'; readonly organization: string; readonly links: number }
  | { readonly type: 'not-a-user'; readonly organization: string; readonly event: ChangeEvent }
  | { readonly type: 'repair'; readonly repair: Repair }
  | { readonly type: 'waiting'; readonly on: string; readonly error: Error; readonly milliseconds: number };

/** No configured parking account may be used: nothing can be repaired until a person mends that. */
export class ParkingError extends Error {
  override readonly name = 'ParkingError';
}

/** A person has provided one since: everything is begun anew, at once. */
class ParkingProvided extends Error {
  override readonly name = 'ParkingProvided';
}

const DELAY = { first: 500, longest: 60_000 };
/** Credentials that were refused are not tried often: each try may count towards a lock-out. */
const REFUSED_DELAY = { first: 30_000, longest: 900_000 };
/** Milliseconds between two looks whether a listener has read the directory by now. */
const BASELINE_POLL = 500;

/** Kinds of change after which an account can have another user name than its record. */
const RENAMING: readonly ChangeEvent['kind'][] = ['renamed', 'moved-domain', 'restored', 'entered-scope'];

/**
 * Repairs the user records of one organization whose accounts were renamed. Completes when the signal aborts, once what is
 * under way has come to a safe point.
 *
 * @returns reports. What a person has to mend is tried again late, so that an organization that cannot be repaired stops neither the
 *   others nor the listener. When another repairer took over it stands by again.
 */
export function repair(
  ce: CustomerEngagement,
  log: ChangeLog,
  settings: RepairerSettings,
  signal: AbortSignal,
): Observable<RepairerReport> {
  let failures = 0;
  const plan: RetryPlan<RepairerReport> = (error) => {
    if (error instanceof LogError) return waiting(log.name, error, backoff(++failures, DELAY));
    if (error instanceof FencedError) return waiting(log.name, error, FENCED_DELAY);
    if (error instanceof ParkingProvided) return waiting(ce.name, error, 0);
    if (error instanceof ParkingError) return waiting(ce.name, error, backoff(++failures, REFUSED_DELAY));
    return error instanceof CustomerEngagementError ? waiting(ce.name, error, backoff(++failures, delayAfter(error))) : undefined;
  };
  // Only something done shows that the log works again: it can be opened and refuse every record.
  const onProgress = () => {
    failures = 0;
  };
  const perform = (repairerLog: RepairerLog) =>
    sideBySide(
      (stop) => [
        failWhenAborted(repairerLog.lost, stop),
        defer(() => start(ce, repairerLog, settings, stop)).pipe(
          concatMap((started) => (started === undefined ? EMPTY : work(started, ce, repairerLog, settings, stop))),
          tap((report) => {
            if (report.type === 'repair') onProgress();
          }),
        ),
      ],
      signal,
    );
  const once = withTold<RepairerReport>((tell) =>
    withResource(() => log.openRepairer(ce.name, signal, () => tell({ type: 'standing-by', organization: ce.name })), perform),
  );
  return retryWithReports(once, plan, signal);
}

interface Started {
  /** systemuserid of the service's own record. */
  readonly own: string;
  readonly pool: ParkingPool;
  readonly linker: Linker;
  readonly astray: readonly Astray[];
  readonly reports: readonly RepairerReport[];
}

/**
 * What has to be true before anything is written. Undefined when it was stopped first.
 *
 * @throws ParkingError when there is neither a parking account nor a record that was left on one
 */
async function start(
  ce: CustomerEngagement,
  log: RepairerLog,
  settings: RepairerSettings,
  stop: AbortSignal,
): Promise<Started | undefined> {
  await log.refresh();
  while (!log.baselined && !stop.aborted) {
    await new Promise((resolve) => setTimeout(resolve, BASELINE_POLL));
    await log.refresh();
  }
  if (stop.aborted) return undefined;
  const own = await ce.whoAmI(stop);
  const parking = await checkParkingAccounts(settings.parkingAccounts, ce, log, stop);
  const linker = new Linker(ce, log, settings.parkingAccounts);
  const astray: Astray[] = [];
  const links = await linker.learn(stop, (record) => astray.push(record));
  const pool = new ParkingPool(parking.usable);
  if (pool.size === 0 && astray.length === 0 && !log.openRepairs().some(mayBeParked)) throw withoutParking(parking);
  return {
    own,
    pool,
    linker,
    astray,
    reports: [
      { type: 'repairing', organization: ce.name, parking },
      { type: 'linked', organization: ce.name, links },
      ...(pool.size > 0 ? [] : [waiting(ce.name, withoutParking(parking), REFUSED_DELAY.first).report]),
    ],
  };
}

function withoutParking({ refused }: ParkingCheck): ParkingError {
  const reasons = refused.map(({ account, why }) => `${account}: ${why}`).join('; ');
  return new ParkingError(`there is no parking account that can be used. ${reasons}`);
}

function mayBeParked({ parkingAccount }: Repair): boolean {
  return parkingAccount !== null;
}

function work(
  { own, pool, linker, astray, reports }: Started,
  ce: CustomerEngagement,
  log: RepairerLog,
  settings: RepairerSettings,
  signal: AbortSignal,
): Observable<RepairerReport> {
  const streams = (stop: AbortSignal) => {
    const repairs = new Repairs(ce, log, pool, own, stop);
    const journal = repairs.run().pipe(map((done): RepairerReport => ({ type: 'repair', repair: done })));
    // A page is acknowledged once each of its repairs is in the journal; only then does the next page come.
    const intake = log.changes.pipe(
      takeUntil(aborted(stop)),
      concatMap((page) => {
        let failures = 0;
        const taken = defer(() => takeOver(page, ce, log, linker, repairs, stop)).pipe(concatMap((told) => told));
        // A log that failed has to be opened anew; Customer Engagement only has to be asked again.
        const plan: RetryPlan<RepairerReport> = (error) =>
          error instanceof CustomerEngagementError ? waiting(ce.name, error, backoff(++failures, delayAfter(error))) : undefined;
        return retryWithReports(taken, plan, stop);
      }),
    );
    const left = defer(() => {
      for (const { systemuserid, parkingAccount } of astray) repairs.rescue(systemuserid, parkingAccount);
      return EMPTY;
    });
    const streams = [journal, left, intake, relinking(linker, repairs, ce, log, settings, stop)];
    // Records that were left on parking accounts need none of their own to be named. Nothing else can be begun.
    return pool.size > 0 ? streams : [...streams, untilThereIsParking(repairs, ce, log, settings, stop)];
  };
  return concat(from(reports), sideBySide<RepairerReport>(streams, signal));
}

/** Fails, so that everything is begun anew, once a person has provided a parking account or no record is on one any more. */
function untilThereIsParking(
  repairs: Repairs,
  ce: CustomerEngagement,
  log: RepairerLog,
  { parkingAccounts }: RepairerSettings,
  stop: AbortSignal,
): Observable<never> {
  const look = async (): Promise<void> => {
    await log.refresh();
    const parking = await checkParkingAccounts(parkingAccounts, ce, log, stop);
    if (parking.usable.length > 0) throw new ParkingProvided(`${parking.usable.join(', ')} can be used for parking by now`);
    if (!repairs.open.some(mayBeParked)) throw withoutParking(parking);
  };
  return interval(REFUSED_DELAY.first).pipe(
    takeUntil(aborted(stop)),
    exhaustMap(() => defer(look).pipe(ignoreElements(), catchError(unlessCustomerEngagementFailed))),
  );
}

/** What only concerns a look is tried again with the next one. */
function unlessCustomerEngagementFailed(error: unknown): Observable<never> {
  if (!(error instanceof CustomerEngagementError)) throw error;
  return EMPTY;
}

/** Looks at all user records from time to time, for links that could not be learned before, and for records that were left behind. */
function relinking(
  linker: Linker,
  repairs: Repairs,
  ce: CustomerEngagement,
  log: RepairerLog,
  { linkEvery }: RepairerSettings,
  stop: AbortSignal,
): Observable<RepairerReport> {
  const look = async (): Promise<RepairerReport> => {
    await log.refresh();
    const rescue = ({ systemuserid, parkingAccount }: Astray) => repairs.rescue(systemuserid, parkingAccount);
    return { type: 'linked', organization: ce.name, links: await linker.learn(stop, rescue) };
  };
  return interval(linkEvery).pipe(
    takeUntil(aborted(stop)),
    exhaustMap(() =>
      defer(look).pipe(
        catchError((error: unknown) => {
          if (stop.aborted) return EMPTY;
          if (!(error instanceof CustomerEngagementError)) throw error;
          return of<RepairerReport>({ type: 'waiting', on: ce.name, error, milliseconds: linkEvery });
        }),
      ),
    ),
  );
}

async function takeOver(
  page: ChangePage,
  ce: CustomerEngagement,
  log: RepairerLog,
  linker: Linker,
  repairs: Repairs,
  stop: AbortSignal,
): Promise<RepairerReport[]> {
  const reports: RepairerReport[] = [];
  const byAccount = Map.groupBy(
    page.changes.filter(({ kind }) => RENAMING.includes(kind)),
    ({ objectGUID }) => objectGUID,
  );
  const lastKinds = new Map(page.changes.map(({ objectGUID, kind }) => [objectGUID, kind]));
  const isOut = (objectGUID: string) => lastKinds.get(objectGUID) === 'left-scope';
  for (const objectGUID of lastKinds.keys()) {
    const link = isOut(objectGUID) ? log.link(objectGUID) : undefined;
    if (link !== undefined) await repairs.out(link);
  }
  const newest = page.changes.at(-1)?.sequence ?? 0;
  // Whose record it may be is asked of all that is known, also of what other pages say.
  const isUnlinked = [...byAccount.keys()].some((objectGUID) => log.link(objectGUID) === undefined);
  if (byAccount.size > 0 && (isUnlinked || newest > log.knownSequence)) await log.refresh();
  const accepted = [...byAccount.values()].map(async (events) => {
    const last = events.at(-1);
    if (last === undefined) return;
    const known = log.link(last.objectGUID);
    const found = known === undefined ? await firstFound(events, linker, stop) : { link: known };
    if (found === undefined) reports.push({ type: 'not-a-user', organization: ce.name, event: last });
    else if ('link' in found) await repairs.accept(last, found.link, isOut(last.objectGUID));
    else await repairs.leave(last, found.uncertain);
  });
  // All of them, before the page is tried again: none may still be at it then.
  const failed = (await Promise.allSettled(accepted)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  for (const { before } of page.changes) {
    const other = before === null ? undefined : log.holder(before.domain, before.sAMAccountName);
    const link = other === undefined ? undefined : log.link(other);
    if (link !== undefined) repairs.unshare(link.systemuserid);
  }
  await page.ack();
  return reports;
}

/** The record may show any of the names that the account had meanwhile. */
async function firstFound(events: readonly ChangeEvent[], linker: Linker, stop: AbortSignal): Promise<Found | undefined> {
  for (const event of events) {
    const found = await linker.byFormerName(event, stop);
    if (found !== undefined) return found;
  }
  return undefined;
}

function delayAfter({ failure }: CustomerEngagementError): { first: number; longest: number } {
  return failure === 'credentials' || failure === 'privilege' ? REFUSED_DELAY : DELAY;
}

function waiting(on: string, error: Error, milliseconds: number): { milliseconds: number; report: RepairerReport & { type: 'waiting' } } {
  return { milliseconds, report: { type: 'waiting', on, error, milliseconds } };
}
