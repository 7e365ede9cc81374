import type { Command } from 'commander';
import { flagOf, OPTIONS, variableOf } from '../../config/options.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { createLogger } from '../../runtime/logger.ts';
import { type Roles, serve } from '../../runtime/service.ts';
import type { Context } from '../context.ts';

/** Those that run until they are stopped. */
export function addServices(program: Command, { load, exitWith }: Context): void {
  const add = (name: string, description: string, roles: Roles) => {
    const command = program.command(name).description(description).addHelpText('after', settingsHelp());
    if (roles.repair) command.option('--dry-run', 'do everything but write to Customer Engagement, and record what would be written');
    command.action(async ({ dryRun = false }: { dryRun?: boolean }) => {
      const { configuration } = load();
      exitWith(await serve(configuration, { ...roles, dryRun }, createLogger(configuration.logging)));
    });
  };
  add('run', 'listen and repair in one process', { listen: true, repair: true });
  add('listen', 'watch the directories and write every change to the log', { listen: true, repair: false });
  add('repair', 'repair user records as the log says', { listen: false, repair: true });
}

function settingsHelp(): string {
  const lines = OPTIONS.flatMap((option) => {
    const name = option.secret ? variableOf(option.path) : flagOf(option.path);
    const usual = option.default === undefined ? '' : ` (default: ${JSON.stringify(option.default)})`;
    return [`  ${name}`, `      ${option.description}${usual}`];
  });
  return [
    '',
    'Settings, as flags; N is a place in a list, from 0, and lists of plain values are written with commas, those of DNs with semicolons.',
    `All but secrets can also stand in the file, by their path, and everything in the environment: ${flagOf(['log', 'kafka', 'topicPrefix'])} is ${variableOf(['log', 'kafka', 'topicPrefix'])}.`,
    'Flags go before the environment, that before the file.',
    '',
    ...lines,
    '',
    `Exit codes: ${Object.entries(EXIT)
      .map(([name, value]) => `${value} ${name}`)
      .join(', ')}`,
  ].join('\n');
}
