import { catchError, concat, concatMap, defer, EMPTY, exhaustMap, from, interval, map, merge, type Observable, of, takeUntil } from 'rxjs';
import { backoff } from './backoff.ts';
import type { ChangeEvent } from './change.ts';
import { type ChangeLog, type ChangePage, LogError, type RepairerLog } from './change-log.ts';
import { type CustomerEngagement, CustomerEngagementError } from './customer-engagement.ts';
import { learnLinks, linkByFormerName } from './links.ts';
import { aborted, failWhenAborted, retryWithReports, withResource } from './operators.ts';
import { checkParkingAccounts, type ParkingCheck, ParkingPool } from './parking.ts';
import type { Repair } from './repair.ts';
import { Repairs } from './repairs.ts';

export interface RepairerSettings {
  readonly parkingAccounts: readonly string[];
  /** Milliseconds from one look at all user records to the next. */
  readonly linkEvery: number;
}

/** What a repairer tells of its work; the runtime turns it into log lines. */
export type RepairerReport =
  | { readonly type: 'repairing'; readonly organization: string; readonly parking: ParkingCheck }
  | { readonly type: 'linked'; readonly organization: string; readonly links: number }
  | { readonly type: 'not-a-user'; readonly organization: string; readonly event: ChangeEvent }
  | { readonly type: 'repair'; readonly repair: Repair }
  | { readonly type: 'waiting'; readonly on: string; readonly error: Error; readonly milliseconds: number };

/** No configured parking account may be used: nothing can be repaired until a person mends that. */
export class ParkingError extends Error {
  override readonly name = 'ParkingError';
}

const DELAY = { first: 500, longest: 60_000 };
/** Credentials that were refused are not tried often: each try may count towards a lock-out. */
const REFUSED_DELAY = { first: 30_000, longest: 900_000 };
/** Milliseconds between two looks whether a listener has read the directory by now. */
const BASELINE_POLL = 500;

/** Kinds of change that give an account another user name. */
const RENAMING: readonly ChangeEvent['kind'][] = ['renamed', 'moved-domain'];

/**
 * Repairs the user records of one organization whose accounts were renamed. Completes when the signal aborts, once what is
 * under way has come to a safe point.
 *
 * @returns reports; errors with a FencedError when another repairer took over, or a ParkingError
 */
export function repair(
  ce: CustomerEngagement,
  log: ChangeLog,
  settings: RepairerSettings,
  signal: AbortSignal,
): Observable<RepairerReport> {
  let failures = 0;
  const plan = (error: unknown) => {
    const known = error instanceof LogError || error instanceof CustomerEngagementError;
    if (!known) return undefined;
    const refused = error instanceof CustomerEngagementError && ['credentials', 'privilege'].includes(error.failure);
    const milliseconds = backoff(++failures, refused ? REFUSED_DELAY : DELAY);
    const report: RepairerReport = { type: 'waiting', on: error instanceof LogError ? log.name : ce.name, error, milliseconds };
    return { milliseconds, report };
  };
  const once = withResource(
    () => log.openRepairer(ce.name, signal),
    (repairerLog) =>
      defer(() => start(ce, repairerLog, settings, signal)).pipe(
        concatMap((started) => {
          failures = 0;
          return started === undefined ? EMPTY : work(started, ce, repairerLog, settings, plan, signal);
        }),
        takeUntil(failWhenAborted(repairerLog.lost)),
      ),
  );
  return retryWithReports(once, plan, signal);
}

interface Started {
  readonly repairs: Repairs;
  readonly reports: readonly RepairerReport[];
}

/** What has to be true before anything is written. Undefined when the signal aborted first. */
async function start(
  ce: CustomerEngagement,
  log: RepairerLog,
  settings: RepairerSettings,
  signal: AbortSignal,
): Promise<Started | undefined> {
  await log.refresh();
  while (!log.baselined && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, BASELINE_POLL));
    await log.refresh();
  }
  if (signal.aborted) return undefined;
  const own = await ce.whoAmI(signal);
  const parking = await checkParkingAccounts(settings.parkingAccounts, ce, log);
  if (parking.usable.length === 0) {
    const reasons = parking.refused.map(({ account, why }) => `${account}: ${why}`).join('; ');
    throw new ParkingError(`organization ${ce.name} has no parking account that can be used. ${reasons}`);
  }
  const links = await learnLinks(ce, log, settings.parkingAccounts, signal);
  return {
    repairs: new Repairs(ce, log, new ParkingPool(parking.usable), own, signal),
    reports: [
      { type: 'repairing', organization: ce.name, parking },
      { type: 'linked', organization: ce.name, links },
    ],
  };
}

type Plan = Parameters<typeof retryWithReports<RepairerReport>>[1];

function work(
  { repairs, reports }: Started,
  ce: CustomerEngagement,
  log: RepairerLog,
  settings: RepairerSettings,
  plan: Plan,
  signal: AbortSignal,
): Observable<RepairerReport> {
  const journal = repairs.run().pipe(map((done): RepairerReport => ({ type: 'repair', repair: done })));
  // A page is acknowledged once each of its repairs is in the journal; only then does the next page come.
  const intake = log.changes.pipe(
    takeUntil(aborted(signal)),
    concatMap((page) => retryWithReports(defer(() => takeOver(page, ce, log, repairs)).pipe(concatMap((told) => told)), plan, signal)),
  );
  const relink = interval(settings.linkEvery).pipe(
    takeUntil(aborted(signal)),
    exhaustMap(() =>
      defer(async (): Promise<RepairerReport> => {
        await log.refresh();
        return { type: 'linked', organization: ce.name, links: await learnLinks(ce, log, settings.parkingAccounts, signal) };
      }).pipe(
        catchError((error: unknown) => {
          if (!(error instanceof CustomerEngagementError)) throw error;
          return of<RepairerReport>({ type: 'waiting', on: ce.name, error, milliseconds: settings.linkEvery });
        }),
      ),
    ),
  );
  return concat(from(reports), merge(journal, intake, relink));
}

async function takeOver(page: ChangePage, ce: CustomerEngagement, log: RepairerLog, repairs: Repairs): Promise<RepairerReport[]> {
  const reports: RepairerReport[] = [];
  const latest = new Map<string, ChangeEvent>();
  for (const event of page.changes) {
    if (RENAMING.includes(event.kind)) latest.set(event.objectGUID, event);
  }
  const newest = page.changes.at(-1)?.sequence ?? 0;
  if (latest.size > 0 && newest > log.knownSequence) await log.refresh();
  const accepted = [...latest.values()].map(async (event) => {
    const link = log.link(event.objectGUID) ?? (await linkByFormerName(event, ce, log));
    if (link === undefined) reports.push({ type: 'not-a-user', organization: ce.name, event });
    else await repairs.accept(event, link);
  });
  await Promise.all(accepted);
  await page.ack();
  return reports;
}
