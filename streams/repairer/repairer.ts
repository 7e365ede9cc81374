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
  timer,
} from 'rxjs';
import { backoff } from '../backoff.ts';
import type { ChangeEvent } from '../change.ts';
import { type ChangeLog, FencedError, LogError, type RepairerLog } from '../change-log.ts';
import { type CustomerEngagement, CustomerEngagementError } from '../customer-engagement.ts';
import { domainNameParts } from '../identity.ts';
import { aborted, failWhenAborted, type RetryPlan, retryWithReports, sideBySide, withResource, withTold } from '../operators.ts';
import type { Repair } from '../repair.ts';
import { takeOver } from './intake.ts';
import { type Astray, Linker } from './links.ts';
import { checkParkingAccounts, type ParkingCheck, ParkingPool, parkingNames, upnOf } from './parking.ts';
import { Repairs } from './repairs.ts';
import { serve } from './requests.ts';
import type { RepairsSettings } from './steps.ts';
import type { Trait } from './traits.ts';

/** Before another instance is waited for that took over; milliseconds. */
const FENCED_DELAY = 1_000;

export interface RepairerSettings extends RepairsSettings {
  readonly parkingAccounts: readonly string[];
  /** Milliseconds from one look at all user records to the next. */
  readonly linkEvery: number;
  /** Milliseconds from one look at those that were modified to the next. */
  readonly newsEvery: number;
  /** Evidence that is enough to link a record whose name is no account's. */
  readonly trusted: readonly Trait[];
  /** What becomes of the record of an account that was deleted and made anew under its name. */
  readonly recreated: 'ask' | 'repair';
  /** DN below which parking accounts have to be. */
  readonly parkingOu?: string | undefined;
  /** Milliseconds between two looks for what people ask for. */
  readonly requestsEvery: number;
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
  const parking = await parkingNow(ce, log, settings, stop);
  const linker = new Linker(ce, log, { ...settings, parkingAccounts: parkingNames(settings.parkingAccounts, log) });
  const astray: Astray[] = [];
  const links = await linker.learn(stop, (record) => astray.push(record));
  const pool = new ParkingPool(parking.usable, upnOf(log));
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

/** What the directory cannot be asked about now is judged by what the log knows. */
async function parkingNow(
  ce: CustomerEngagement,
  log: RepairerLog,
  { parkingAccounts, parkingOu, desk }: RepairerSettings,
  stop: AbortSignal,
): Promise<ParkingCheck> {
  const names = parkingAccounts.map((account) => domainNameParts(account).sAMAccountName);
  const facts = await desk?.facts(names).catch(() => undefined);
  return await checkParkingAccounts(parkingAccounts, ce, log, { ou: parkingOu, facts }, stop);
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
    const repairs = new Repairs(ce, log, pool, own, settings, stop);
    const intakeOf = { organization: ce.name, log, linker, repairs, recreated: settings.recreated };
    const journal = repairs.run().pipe(map((done): RepairerReport => ({ type: 'repair', repair: done })));
    // A page is acknowledged once each of its repairs is in the journal; only then does the next page come.
    const intake = log.changes.pipe(
      takeUntil(aborted(stop)),
      concatMap((page) => {
        let failures = 0;
        const taken = defer(() => takeOver(page, intakeOf, stop)).pipe(
          concatMap((events) => events.map((event): RepairerReport => ({ type: 'not-a-user', organization: ce.name, event }))),
        );
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
    const asked = serving({ ce, log, repairs, own }, settings, stop);
    const streams = [journal, left, intake, asked, relinking(linker, repairs, ce, log, settings, stop)];
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
  settings: RepairerSettings,
  stop: AbortSignal,
): Observable<never> {
  const look = async (): Promise<void> => {
    await log.refresh();
    const parking = await parkingNow(ce, log, settings, stop);
    if (parking.usable.length > 0) throw new ParkingProvided(`${parking.usable.join(', ')} can be used for parking by now`);
    if (!repairs.open.some(mayBeParked)) throw withoutParking(parking);
  };
  return interval(REFUSED_DELAY.first).pipe(
    takeUntil(aborted(stop)),
    exhaustMap(() => defer(look).pipe(ignoreElements(), catchError(unlessCustomerEngagementFailed))),
  );
}

/** Does what people ask for, one after the other. What Customer Engagement could not be asked about is looked at again the next time. */
function serving(place: Parameters<typeof serve>[1], { requestsEvery }: RepairerSettings, stop: AbortSignal): Observable<never> {
  const look = async (): Promise<void> => {
    for (const request of await place.log.requests()) {
      if (stop.aborted) return;
      await serve(request, place, stop);
    }
  };
  return timer(0, requestsEvery).pipe(
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
  { linkEvery, newsEvery }: RepairerSettings,
  stop: AbortSignal,
): Observable<RepairerReport> {
  let lookedAtAll = Date.now();
  const look = async (): Promise<RepairerReport> => {
    await log.refresh();
    const rescue = ({ systemuserid, parkingAccount }: Astray) => repairs.rescue(systemuserid, parkingAccount);
    const isDue = Date.now() - lookedAtAll >= linkEvery;
    const links = isDue ? await linker.learn(stop, rescue) : await linker.learnNews(stop, rescue);
    if (isDue) lookedAtAll = Date.now();
    return { type: 'linked', organization: ce.name, links };
  };
  const every = Math.min(newsEvery, linkEvery);
  return interval(every).pipe(
    takeUntil(aborted(stop)),
    exhaustMap(() =>
      defer(look).pipe(
        catchError((error: unknown) => {
          if (stop.aborted) return EMPTY;
          if (!(error instanceof CustomerEngagementError)) throw error;
          return of<RepairerReport>({ type: 'waiting', on: ce.name, error, milliseconds: every });
        }),
      ),
    ),
  );
}

function delayAfter({ failure }: CustomerEngagementError): { first: number; longest: number } {
  return failure === 'credentials' || failure === 'privilege' ? REFUSED_DELAY : DELAY;
}

function waiting(on: string, error: Error, milliseconds: number): { milliseconds: number; report: RepairerReport & { type: 'waiting' } } {
  return { milliseconds, report: { type: 'waiting', on, error, milliseconds } };
}
