import type { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import type { RepairerLog } from '../../../streams/change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, type SystemUser } from '../../../streams/customer-engagement.ts';
import { domainNameParts } from '../../../streams/identity.ts';
import { checkParkingAccounts } from '../../../streams/repairer/parking.ts';
import type { Configuration } from '../../config/schema.ts';
import { accountOf, freeParkingAccounts, UNLINKED, whyNotProbed, whyNotWritten } from '../../customer-engagement/probe/fitness.ts';
import { probe } from '../../customer-engagement/probe/probe.ts';
import { QUESTIONS, type Writing } from '../../customer-engagement/probe/questions.ts';
import type { ProbedServer } from '../../customer-engagement/probe/server.ts';
import { TestRecord, USUAL_PATIENCE } from '../../customer-engagement/probe/test-record.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { changeLog, desk, probedServer, repairerSettings } from '../../runtime/parts.ts';
import { printable } from '../../runtime/printable.ts';
import { ask } from '../ask.ts';
import { CommandError, type Context, lookAtLog, openOrganizations, organizationNamed, quietLogger, recordOf } from '../context.ts';
import { describeProbe, probeReport } from '../probe-report.ts';

interface Options {
  readonly organization?: string;
  readonly user: string;
  readonly write?: true;
  readonly yes?: true;
  readonly json?: true;
}

/** What cannot be known without a real server, asked of one. */
export function addProbe(program: Command, { load, exitWith }: Context): void {
  program
    .command('probe')
    .description('ask a Customer Engagement server what Namesake assumes of it, with a user who was made for tests')
    .requiredOption('--user <name>', 'the test user: a systemuserid, or the user name that the record shows')
    .option('--organization <name>', 'which organization, where there are several')
    .option('--write', 'also ask what takes writing to the record of that user; what is written is told and put back')
    .option('--yes', 'with --write: do not ask whether to go on')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(async (options: Options) => {
      const { configuration } = load();
      const organization = organizationNamed(configuration, options.organization);
      if (options.yes && !options.write) throw new CommandError('--yes goes with --write: without it nothing is written anyway');
      await using organizations = await openOrganizations(configuration, [organization]);
      const [ce] = organizations.all;
      if (ce === undefined) throw new CommandError(`There is no organization ${organization}`);
      const server = await probedServer(configuration, organization, quietLogger());
      try {
        if (!(await run({ configuration, ce, server, options }))) exitWith(EXIT.failed);
      } finally {
        await server.close();
      }
    });
}

const HELP = `
The report goes to standard output and can be shown to others: it holds no secrets, and of people only the name of the test user. Without --write
nothing is written. With it the user name of the test user's record is set to parking accounts, to names that are to be refused, and back. For that
no repairer may be at work for the organization (stop it, and start it again afterwards), and the record has to be in step with its account. Whatever
goes wrong, and at Ctrl-C, the record is put back first, for which it takes a minute at most; a second Ctrl-C ends it at once. What the log says is
then finished by the next repairer. Exit code 1 where the record could not be put back; what was refuted changes it not.`;

interface Probe {
  readonly configuration: Configuration;
  readonly ce: CustomerEngagement;
  readonly server: ProbedServer;
  readonly options: Options;
}

/** @returns whether everything is as it was */
async function run(place: Probe): Promise<boolean> {
  const { ce, options } = place;
  const own = await ce.whoAmI();
  const user = await recordOf(ce, options.user);
  const why = whyNotProbed(user, own);
  if (why !== undefined) throw refusal(user, why);
  if (!options.write) return await report(place, own, user, undefined, new AbortController().signal);
  return await withRepairerLog(place, user, async (log) => {
    const writing = await prepare(place, user, log);
    tell('The user name of this record will be set, and put back each time:', `  ${user.domainname} (${user.systemuserid})`);
    for (const { number, writes } of QUESTIONS) for (const text of writes(writing)) tell(`  ${number}  ${text}`);
    tell('Nothing else is written. While it is on a parking account the test user cannot log on.');
    if (!options.yes && !/^y(es)?$/i.test((await ask('Write this? (yes/no) ')).trim())) throw new CommandError('nothing was written');
    return await stoppable((stop) => report(place, own, user, writing, stop));
  });
}

/** With the place of the organization's repairer, so that nobody else can be at work meanwhile. */
async function withRepairerLog<T>({ configuration, ce }: Probe, user: SystemUser, work: (log: RepairerLog) => Promise<T>): Promise<T> {
  // A look first: a log that does not know the record need not be made.
  await using looked = await lookAtLog(configuration);
  {
    await using look = await looked.look();
    if (look.organization(ce.name).linkOfRecord(user.systemuserid) === undefined) throw refusal(user, UNLINKED);
  }
  await using changes = await changeLog(configuration, quietLogger(), { guest: true });
  const taken = new AbortController();
  const busy = new CommandError(
    `a repairer is at work for ${ce.name}: stop it, so that it does not repair what the probe writes, and start it again afterwards`,
  );
  await using log = await changes.openRepairer(ce.name, taken.signal, () => taken.abort(busy));
  return await work(log);
}

/** @throws CommandError when it must not be written to */
async function prepare({ configuration, ce, server }: Probe, user: SystemUser, log: RepairerLog): Promise<Writing> {
  await log.refresh();
  const settings = repairerSettings(configuration, ce.name);
  const why = await whyNotWritten(user, log, settings);
  if (why !== undefined) throw refusal(user, why);
  const { parkingAccounts, parkingOu: ou } = settings;
  const accounts = await desk(configuration);
  const names = parkingAccounts.map((account) => domainNameParts(account).sAMAccountName);
  const facts = await accounts.facts(names).catch(() => undefined);
  await accounts.close();
  const check = await checkParkingAccounts(parkingAccounts, ce, log, { ou, facts }, new AbortController().signal);
  const free = freeParkingAccounts(check, log);
  if (free.length === 0) {
    const reasons = check.refused.map(({ account, why }) => `${account}: ${why}`);
    throw new CommandError(['no parking account is free', ...reasons].join('; '));
  }
  const place = { ce, server, log, user, identity: accountOf(user, log), patience: USUAL_PATIENCE };
  return { record: new TestRecord({ ...place, parkingAccounts: free.map(({ name }) => name) }), parkingAccounts: free };
}

async function report(place: Probe, own: string, user: SystemUser, writing: Writing | undefined, stop: AbortSignal): Promise<boolean> {
  const { configuration, ce, server, options } = place;
  const organization = configuration.organizations.find(({ name }) => name === ce.name);
  if (organization === undefined) throw new CommandError(`There is no organization ${ce.name}`);
  const date = new Date().toISOString();
  const version = await server.version().catch((error: unknown) => {
    if (error instanceof CustomerEngagementError) return '(not told)';
    throw error;
  });
  const probed = await probe({ ce, server, own, writing, shared: { bounces: new Map() } }, stop, ({ number, assumption }) =>
    tell(`${number}  ${assumption}`),
  );
  const shown = probeReport({
    namesake: packageJson.version,
    date,
    customerEngagement: { version, apiVersion: server.apiVersion, logon: server.logon },
    mode: writing === undefined ? 'read only' : 'with writing',
    user: { ...user, userPrincipalName: writing?.record.identity.userPrincipalName },
    organization,
    probed,
  });
  console.log(options.json ? JSON.stringify(shown, null, 2) : describeProbe(shown));
  return probed.putBack !== 'not put back';
}

/** SIGINT and SIGTERM end the questions; the second one ends the process. */
async function stoppable<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) {
      tell(`${signal} again: ending at once. The record may not be as it was: start namesake repair, which puts it back.`);
      process.exit(EXIT.stopTimeout);
    }
    tell(`${signal}: putting the record back`);
    stop.abort(new Error(signal));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await work(stop.signal);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}

function refusal({ domainname, systemuserid }: SystemUser, why: string): CommandError {
  return new CommandError(`${domainname} (${systemuserid}) cannot be probed: ${why}`);
}

/** What is no part of the report. */
function tell(...lines: readonly string[]): void {
  for (const line of lines) console.error(printable(line));
}
