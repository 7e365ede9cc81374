import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import type { Repair } from '../../../streams/repair.ts';
import { parkedNow, type Stay, Stays } from '../../../streams/repairer/stays.ts';
import { type Context, lookAtLog } from '../context.ts';

/** How well it works: how many people were repaired before they logged on next. */
export function addReport(program: Command, { load }: Context): void {
  program
    .command('report')
    .description('say how many people were repaired, how fast, how many before their next logon, and how long they were parked')
    .option('--since <time>', 'only what ended at or after this time: 2026-11-01, or 2026-11-01T08:00:00Z', milliseconds)
    .option('--json', 'as JSON')
    .addHelpText('after', `\n${LIMITS.join('\n')}`)
    .action(async ({ since, json }: { since?: number; json?: true }) => {
      await using log = await lookAtLog(load().configuration);
      const { repairs } = await log.status();
      const stays = new Stays();
      await log.replayRepairs((read) => {
        for (const repair of read) stays.add(repair);
      });
      const report = reportOf(repairs, stays.all, since);
      console.log(json ? JSON.stringify(report, null, 2) : describe(report));
    });
}

const Time = z.union([z.iso.date(), z.iso.datetime({ offset: true })]);

function milliseconds(text: string): number {
  if (!Time.safeParse(text).success) throw new InvalidArgumentError('Expected a date, or a time with its zone.');
  return Date.parse(text);
}

const LIMITS = [
  'A logon between the change and the repair is seen where the domain controller that was asked has seen it itself (lastLogon), or where it has',
  'been replicated (lastLogonTimestamp, up to 14 days late). One on another domain controller can be missed, so the figure is an upper bound.',
  'The last repair of each record counts. Times on a parking account are those of all repairs; of one that was interrupted, from when it was about to be parked.',
];

export interface Report {
  readonly repaired: number;
  /** No logon was seen between the change and the new name. */
  readonly beforeNextLogon: number;
  /** One was: that person may have been refused. */
  readonly afterALogon: number;
  /** The directory did not say when the change was made, or when the person logged on. */
  readonly unknown: number;
  readonly needsPerson: number;
  /** Milliseconds from the change in the directory to the new name, of those that tell. */
  readonly milliseconds: { readonly median: number; readonly p95: number; readonly longest: number } | null;
  /** Who is on a parking account now, or about to be, whenever that began. */
  readonly parkedNow: {
    readonly people: number;
    /** When the one who has been there for longest came there, ISO 8601. */
    readonly since: string | null;
  };
  /** Milliseconds on a parking account, each time; those of now count for the longest. */
  readonly parked: { readonly times: number; readonly median: number; readonly longest: number } | null;
}

/**
 * @param all the last repair of each record
 * @param stays on parking accounts
 * @param since only what ended at or after this time, milliseconds since 1970
 */
export function reportOf(all: readonly Repair[], stays: readonly Stay[], since = Number.NEGATIVE_INFINITY): Report {
  const repairs = all.filter(({ at }) => Date.parse(at) >= since);
  const repaired = repairs.filter(({ state }) => state === 'repaired');
  const verdicts = repaired.map(verdictOf);
  const count = (verdict: string) => verdicts.filter((one) => one === verdict).length;
  const times = repaired.flatMap(({ times: { changed, named } }) => (changed && named ? [Date.parse(named) - Date.parse(changed)] : []));
  const now = Date.now();
  const parked = stays.filter(({ until = now }) => until >= since).map(({ from, until = now }) => until - from);
  return {
    repaired: repaired.length,
    beforeNextLogon: count('before'),
    afterALogon: count('after'),
    unknown: count('unknown'),
    needsPerson: repairs.filter(({ state }) => state === 'needs-person').length,
    milliseconds: times.length === 0 ? null : { median: quantile(times, 0.5), p95: quantile(times, 0.95), longest: quantile(times, 1) },
    parkedNow: parkedNow(all),
    parked: parked.length === 0 ? null : { times: parked.length, median: quantile(parked, 0.5), longest: quantile(parked, 1) },
  };
}

function verdictOf({ times: { changed, named }, lastLogon }: Repair): 'before' | 'after' | 'unknown' {
  if (changed === undefined || named === undefined || lastLogon === undefined) return 'unknown';
  const logons = [lastLogon.seen, lastLogon.replicated].filter((time) => time !== null);
  return logons.some((time) => time > changed && time < named) ? 'after' : 'before';
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

function describe(report: Report): string {
  const { repaired, beforeNextLogon, afterALogon, unknown, needsPerson, milliseconds, parkedNow: there, parked } = report;
  const lines = [
    `Repaired              ${repaired}`,
    `  before next logon   ${beforeNextLogon}`,
    `  after a logon       ${afterALogon}`,
    `  not known           ${unknown}`,
    `Need a person         ${needsPerson}`,
    `Parked now            ${there.people}${there.since === null ? '' : `, the longest since ${there.since}`}`,
  ];
  if (milliseconds !== null) {
    const { median, p95, longest } = milliseconds;
    lines.push(`Change to new name    median ${median} ms, 95 of 100 within ${p95} ms, longest ${longest} ms`);
  }
  if (parked !== null) lines.push(`On a parking account  ${parked.times} times, median ${parked.median} ms, longest ${parked.longest} ms`);
  return [...lines, '', ...LIMITS].join('\n');
}
