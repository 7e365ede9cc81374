import type { Command } from 'commander';
import { nameKey } from '../../../streams/identity.ts';
import type { DriftRow } from '../../../streams/repairer/drift.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { printable } from '../../runtime/printable.ts';
import { CommandError, type Context, lookAtLog } from '../context.ts';
import { driftOf, printDrift } from '../drift-report.ts';
import { askRepairer, untilRepaired, type Wish } from '../repair-requests.ts';
import { describe } from './repairs.ts';

interface Options {
  readonly organization?: string;
  readonly user?: string;
  readonly json?: true;
  readonly csv?: true;
  readonly repair?: true;
  readonly dryRun?: true;
}

/** Who is out of step, and mending it. */
export function addDrift(program: Command, { load, exitWith }: Context): void {
  program
    .command('drift')
    .description('list the user records that do not show the name of their account, and what would be done about each')
    .option('--organization <name>', 'only of this one')
    .option('--user <name>', 'only this one: a systemuserid, the name that the record shows or should show')
    .option('--json', 'as JSON')
    .option('--csv', 'as CSV')
    .option('--repair', 'have those repaired that can be; records without a link first need "namesake link set"')
    .option('--dry-run', 'with --repair: only say which')
    .addHelpText(
      'after',
      '\nReads Customer Engagement and the log, and writes to neither; --repair asks the repairer at work. Exit code 0 also where there are some.',
    )
    .action(async (options: Options) => {
      const { configuration } = load();
      const { organization, user, json, csv, repair, dryRun } = options;
      if (dryRun && !repair) throw new CommandError('--dry-run goes with --repair: without it nothing is written anyway');
      const only = (row: DriftRow) => user === undefined || isAbout(row, user);
      if (!repair) {
        await printDrift(configuration, { organization, format: json ? 'json' : csv ? 'csv' : 'table', only });
        return;
      }
      const rows = (await driftOf(configuration, organization)).flatMap((drift) => drift.rows.filter(only));
      const wanted = rows.filter(({ action }) => action === 'repair');
      for (const row of wanted)
        console.log(
          printable(`${row.organization} ${row.systemuserid} ${row.userName} → ${row.should ?? ''}${dryRun ? ': would be repaired' : ''}`),
        );
      console.log(`${wanted.length} to be repaired, ${rows.length - wanted.length} that cannot be (see namesake drift)`);
      if (dryRun || wanted.length === 0) return;
      await using log = await lookAtLog(configuration);
      const wishes = wanted.map(({ organization, systemuserid }): Wish => ({ kind: 'retry', organization, systemuserid }));
      const since = new Date().toISOString();
      const answers = await askRepairer(log, wishes);
      for (const { organization, systemuserid, done, message } of answers) {
        if (!done) console.log(printable(`${organization} ${systemuserid}: ${message}`));
      }
      const begun = wishes.filter((_, index) => answers[index]?.done);
      const repairs = await untilRepaired(log, begun, since);
      for (const one of repairs) console.log(describe(one));
      const right = repairs.filter(({ state }) => state === 'repaired' || state === 'unneeded').length;
      console.log(`${right} of ${wanted.length} repaired`);
      if (right < wanted.length) exitWith(EXIT.failed);
    });
}

function isAbout({ systemuserid, userName, should }: DriftRow, user: string): boolean {
  return [systemuserid, userName, should ?? ''].some((name) => nameKey(name) === nameKey(user));
}
