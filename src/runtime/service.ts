import { lastValueFrom, type Observable, tap } from 'rxjs';
import { DirectoryError } from '../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../streams/listener/listener.ts';
import { repair } from '../../streams/repairer/repairer.ts';
import { ConfigurationError } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import { EXIT } from './exit-codes.ts';
import { giveMemoryBack } from './heap.ts';
import type { Logger } from './logger.ts';
import { Narrator } from './narrator.ts';
import { changeLog, desk, directorySources, organizations, readingSettings, repairerSettings } from './parts.ts';

/** Milliseconds after which a stop is no longer waited for. */
const STOP_DEADLINE = 5_000;

export interface Roles {
  readonly listen: boolean;
  readonly repair: boolean;
  /** Whether repairs are only recorded, and nothing is written to Customer Engagement. */
  readonly dryRun?: boolean;
}

/**
 * Runs the roles until SIGTERM or SIGINT, or until one of them cannot go on. A stop lets what is in flight come to a safe
 * point; a second signal does not.
 *
 * @returns the exit code
 */
export async function serve(configuration: Configuration, roles: Roles, log: Logger): Promise<number> {
  const stop = new AbortController();
  const begun = performance.now();
  const forced = forcedExit(stop, log);
  const narrator = new Narrator(log);
  const { changes, engagements, sources, accounts } = await build(configuration, roles, log);
  const doing = [roles.listen ? 'listen' : '', roles.repair ? 'repair' : ''].filter(Boolean).join(' and ');
  const dry = roles.dryRun ? ', a dry run: nothing is written to Customer Engagement' : '';
  log.info({ log: changes.name }, `starting to ${doing}, log on ${changes.name}${dry}`);
  const onReport = (report: ListenerReport) => {
    narrator.listener(report);
    if (report.type === 'read-progress' && report.done) giveMemoryBack();
  };
  const tasks = [
    ...(roles.listen ? [finished(listen(sources, changes, readingSettings(configuration), stop.signal).pipe(tap(onReport)))] : []),
    ...engagements.map((engagement) => {
      const settings = { ...repairerSettings(configuration, engagement.name), dryRun: roles.dryRun ?? false, desk: accounts };
      return finished(repair(engagement, changes, settings, stop.signal).pipe(tap((report) => narrator.repairer(report))));
    }),
  ];
  let code: number = EXIT.ok;
  try {
    await Promise.all(tasks);
  } catch (error) {
    code = exitCodeOf(error);
    forced.code = code;
    log.fatal({ error }, error instanceof Error ? error.message : String(error));
    stop.abort(error);
    await Promise.allSettled(tasks);
  }
  await Promise.allSettled([...engagements.map((engagement) => engagement.close()), accounts?.close()]);
  await changes[Symbol.asyncDispose]();
  clearTimeout(forced.timer);
  log.info(
    { code, seconds: Math.round((performance.now() - begun) / 1000) },
    code === EXIT.ok ? 'stopped' : `stopped with exit code ${code}`,
  );
  return code;
}

/**
 * The log comes last: it makes a file, which settings that are refused do not need.
 *
 * @throws ConfigurationError for settings that only show to be wrong when a part is made of them
 */
async function build(configuration: Configuration, roles: Roles, log: Logger) {
  if (roles.repair && !roles.listen && configuration.organizations.length === 0) {
    throw new ConfigurationError(['organizations: expected at least one to repair']);
  }
  return {
    engagements: roles.repair ? await organizations(configuration, log) : [],
    accounts: roles.repair ? await desk(configuration) : undefined,
    sources: roles.listen ? directorySources(configuration, log) : [],
    changes: await changeLog(configuration, log),
  };
}

function finished(reports: Observable<unknown>): Promise<unknown> {
  return lastValueFrom(reports, { defaultValue: undefined });
}

/** SIGTERM and SIGINT ask for a stop; the second one, or the deadline, ends the process where it stands. */
function forcedExit(stop: AbortController, log: Logger): { timer: NodeJS.Timeout | undefined; code: number } {
  const state: { timer: NodeJS.Timeout | undefined; code: number } = { timer: undefined, code: EXIT.stopTimeout };
  const startTimer = () => {
    state.timer ??= setTimeout(() => {
      log.error(`did not come to a safe point within ${STOP_DEADLINE} ms; the log and the journal tell the next start where to go on`);
      process.exit(state.code);
    }, STOP_DEADLINE);
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) {
      log.warn(`${signal} again: stopping at once, with exit code ${state.code}; nothing is lost`);
      process.exit(state.code);
    }
    log.info(`${signal}: stopping`);
    stop.abort(new Error(signal));
  };
  stop.signal.addEventListener('abort', startTimer, { once: true });
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return state;
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof DirectoryError && error.failure === 'configuration') return EXIT.configuration;
  return EXIT.failed;
}
