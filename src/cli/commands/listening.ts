import type { Command } from 'commander';
import { type Context, lookAtLog, quietLogger } from '../context.ts';
import { acceptDeletions, compare, printDifferences } from '../listener-requests.ts';
import { describeAsJson, describeStatus } from '../status.ts';

/** What can be asked about the directories, and of whoever listens to them. */
export function addListening(program: Command, { load }: Context): void {
  program
    .command('status')
    .description('show where the listeners stand and which repairs are open')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: true }) => {
      const { configuration } = load();
      await using log = await lookAtLog(configuration);
      const status = await log.status();
      console.log(json ? describeAsJson(status) : describeStatus(status, log.name, configuration.listener.positionEvery));
    });
  program
    .command('compare')
    .description('have the listener read everything and report what differs from what is known')
    .option('--dry-run', 'only show what it would report: reads the directories itself and writes nothing')
    .option('--naming-context <dn>', 'only this one, such as DC=corp,DC=example,DC=test')
    .addHelpText('after', '\nWaits until a running listener has done it. Exit code 0, with --dry-run also where there are differences.')
    .action(async ({ dryRun, namingContext }: { dryRun?: true; namingContext?: string }) => {
      const { configuration } = load();
      await using log = await lookAtLog(configuration);
      if (dryRun) await printDifferences(configuration, log, quietLogger(), namingContext);
      else await compare(log, namingContext);
    });
  program
    .command('accept-deletions')
    .description('let the deletions pass that the listener withholds because there are so many')
    .option('--naming-context <dn>', 'only of this one, such as DC=corp,DC=example,DC=test')
    .action(async ({ namingContext }: { namingContext?: string }) => {
      await using log = await lookAtLog(load().configuration);
      await acceptDeletions(log, namingContext);
    });
}
