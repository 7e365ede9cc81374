import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { lastValueFrom, tap } from 'rxjs';
import type { ChangeEvent } from '../../streams/change.ts';
import { type ChangeLog, type ListenerRequest, LogError } from '../../streams/change-log.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import { DryRun } from '../../streams/listener/dry-run.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import { isTooMany } from '../../streams/listener/withheld.ts';
import type { Position } from '../../streams/position.ts';
import type { Configuration } from '../config/schema.ts';
import type { Logger } from '../runtime/logger.ts';
import { storyOf } from '../runtime/narrator.ts';
import { directorySources, readingSettings } from '../runtime/parts.ts';
import { printable } from '../runtime/printable.ts';
import { CommandError } from './context.ts';

/** Commands that ask something of whoever listens, by way of the log. */

/** Milliseconds between two looks whether a request was served. */
const LOOK_EVERY = 1_000;
/** Milliseconds without a listener after which that is said. */
const SAY_AFTER = 15_000;

/** Asks the listener to read everything and compare, and waits until it has. @throws CommandError */
export async function compare(log: ChangeLog, namingContext: string | undefined): Promise<void> {
  const { positions, sequence } = await log.status();
  const chosen = choose(positions, namingContext);
  if (chosen.length === 0) throw new CommandError('No listener has read a directory to its end yet: nothing to compare with');
  const requests = await ask(log, chosen, 'compare');
  const served = await untilServed(log, requests);
  for (const { namingContext: context, compared, held } of served) {
    console.log(`${context}: ${compared?.objects ?? 0} objects compared, ${compared?.differences ?? 0} differences reported`);
    sayWaiting(Object.keys(held).length);
  }
  const now = await log.status();
  if (now.sequence > sequence) console.log(`the events ${sequence + 1} to ${now.sequence} of the log were written meanwhile`);
}

/** Lets the deletions pass that are withheld, and waits until they are reported. @throws CommandError */
export async function acceptDeletions(log: ChangeLog, namingContext: string | undefined): Promise<void> {
  const { positions } = await log.status();
  const chosen = choose(positions, namingContext).filter(({ withheld }) => withheld !== undefined);
  if (chosen.length === 0) {
    console.log('no deletions are withheld');
    return;
  }
  if (chosen.length > 1 && namingContext === undefined) {
    throw new CommandError(`Say which with --naming-context: ${chosen.map((position) => position.namingContext).join(' or ')}`);
  }
  for (const { namingContext: context, withheld } of chosen) {
    console.log(`${context}: accepting ${withheld?.deletions} deletions, withheld since ${withheld?.since}`);
  }
  const served = await untilServed(log, await ask(log, chosen, 'accept-deletions'));
  for (const { namingContext: context, withheld } of served) {
    if (withheld === undefined) console.log(`${context}: they are reported`);
    else
      throw new CommandError(
        `${context}: there are ${withheld.deletions} by now, other ones: look again with "namesake compare --dry-run"`,
      );
  }
}

/** Prints what a comparison would report. */
export async function printDifferences(
  configuration: Configuration,
  log: ChangeLog,
  logger: Logger,
  namingContext: string | undefined,
): Promise<void> {
  await using known = await log.look();
  const settings = readingSettings(configuration);
  // Everything is shown, also what would be withheld.
  const unlimited = { ...settings, deletionLimit: { count: Number.POSITIVE_INFINITY, percent: Number.POSITIVE_INFINITY } };
  const { signal } = new AbortController();
  await using dryRun = await DryRun.open(directorySources(configuration, logger), known, unlimited, signal);
  for (const session of chosenFrom(dryRun.sessions, namingContext)) {
    const events: ChangeEvent[] = [];
    let progress: Extract<ListenerReport, { type: 'read-progress' }> | undefined;
    const reports = dryRun.compare(session, signal).pipe(
      tap((report) => {
        if (report.type === 'published') events.push(...report.events);
        else if (report.type === 'position-lost') console.log(printable(`the position is lost: ${report.reason}`));
        else if (report.type === 'set-aside') console.log(printable(`set aside ${report.objectGUID}: ${report.reason}`));
        else if (report.type === 'read-progress') progress = report;
      }),
    );
    await lastValueFrom(reports, { defaultValue: undefined });
    const left = await notReported(events, log);
    for (const event of left) console.log(printable(`${event.kind} ${storyOf(event)}  ${event.objectGUID}`));
    console.log(`${session.namingContext}: ${progress?.objects ?? 0} objects read, ${left.length} differences`);
    if (left.length < events.length) console.log(`${events.length - left.length} more were reported by the listener meanwhile`);
    sayWaiting(progress?.waiting ?? 0);
    const deletions = left.filter(({ kind }) => kind === 'deleted').length;
    if (isTooMany(deletions, known.count(session.domain), settings.deletionLimit)) {
      console.log(`${deletions} deletions are more than listener.deletionLimit: they would be withheld until they are accepted`);
    }
  }
}

/** A listener at work may have reported some of them since it was looked at what is known. */
async function notReported(events: readonly ChangeEvent[], log: ChangeLog): Promise<readonly ChangeEvent[]> {
  if (events.length === 0) return events;
  await using known = await log.look();
  const last = new Map(events.map(({ objectGUID, after }) => [objectGUID, after]));
  return events.filter(({ objectGUID }) => !isDeepStrictEqual(known.identity(objectGUID) ?? null, last.get(objectGUID)));
}

function sayWaiting(accounts: number): void {
  if (accounts === 0) return;
  console.log(
    `${accounts} more accounts differ and wait: their domain controller has not caught up, or they may turn up in another domain; see namesake status`,
  );
}

function choose(positions: readonly Position[], namingContext: string | undefined): Position[] {
  const chosen = positions.filter(isOf(namingContext));
  if (chosen.length > 0 || namingContext === undefined) return chosen;
  throw new CommandError(`No listener has read ${namingContext} yet; there is ${namesOf(positions)}`);
}

function chosenFrom(sessions: readonly DirectorySession[], namingContext: string | undefined): DirectorySession[] {
  const chosen = sessions.filter(isOf(namingContext));
  if (chosen.length > 0) return chosen;
  throw new CommandError(`None of the directories is of ${namingContext}; there is ${namesOf(sessions)}`);
}

function isOf(wanted: string | undefined): (one: { readonly namingContext: string }) => boolean {
  return ({ namingContext }) => wanted === undefined || wanted.toLowerCase() === namingContext.toLowerCase();
}

function namesOf(all: readonly { readonly namingContext: string }[]): string {
  return all.map(({ namingContext }) => namingContext).join(', ') || 'none';
}

async function ask(log: ChangeLog, positions: readonly Position[], kind: ListenerRequest['kind']): Promise<ListenerRequest[]> {
  const requests = positions.map(({ namingContext, withheld }) => {
    const request = { id: randomUUID(), kind, namingContext, time: new Date().toISOString() };
    return kind === 'accept-deletions' && withheld !== undefined ? { ...request, digest: withheld.digest } : request;
  });
  for (const request of requests) await log.request(request);
  return requests;
}

async function untilServed(log: ChangeLog, requests: readonly ListenerRequest[]): Promise<Position[]> {
  const begun = performance.now();
  let isSaid = false;
  /** By the first one, the one that is waited for: somebody may ask for the same again before it is served. */
  const wanted = new Map(requests.map((request) => [request.id, request]));
  for (;;) {
    const status = await log.status().catch((error: unknown) => {
      if (!(error instanceof LogError)) throw error;
      console.error(`${error.message}. The request stays in the log; looking again`);
      return undefined;
    });
    for (const later of status?.requests ?? []) {
      for (const [first, { kind, namingContext, time }] of wanted) {
        if (later.kind === kind && later.namingContext === namingContext && later.time > time) wanted.set(first, later);
      }
    }
    const served = [...wanted.values()].flatMap(({ id }) => status?.positions.find((position) => position.served.includes(id)) ?? []);
    if (served.length === requests.length) return served;
    if (!isSaid && performance.now() - begun > SAY_AFTER) {
      console.error('No listener has answered yet. The request stays in the log: whoever listens next serves it. Ctrl-C ends the waiting.');
      isSaid = true;
    }
    await delay(LOOK_EVERY);
  }
}
