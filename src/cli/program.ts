import { Command, CommanderError } from 'commander';
import { stringify } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { ConfigurationError, DEFAULT_FILES, FILE_VARIABLE, type Loaded, load } from '../config/load.ts';
import { flagOf, OPTIONS, variableOf } from '../config/options.ts';
import { EXIT } from '../runtime/exit-codes.ts';
import { createLogger } from '../runtime/logger.ts';
import { changeLog } from '../runtime/parts.ts';
import { printable } from '../runtime/printable.ts';
import { exitCodeOf, type Roles, serve } from '../runtime/service.ts';
import { acceptDeletions, compare, printDifferences } from './requests.ts';
import { describeAsJson, describeStatus } from './status.ts';

/** @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const { rest, flags, withoutValue } = takeSettings(args);
  let code: number = EXIT.ok;
  const program = new Command('namesake')
    .description(
      'Listens to Active Directory, keeps every identity change in a log, and repairs the linked Dynamics 365 Customer Engagement users.',
    )
    .version(packageJson.version)
    .option('-c, --config <file>', `configuration file (default: $${FILE_VARIABLE}, or the first of ${DEFAULT_FILES.join(', ')})`)
    .exitOverride()
    .showHelpAfterError('(add --help for what there is)')
    // A setting whose path is misspelt may be a secret.
    .configureOutput({ outputError: (text, write) => write(text.replaceAll(/(--[\w.]+)=[^\n]*/g, "$1'")) });
  const loaded = (): Loaded => load({ file: program.opts<{ config?: string }>().config, environment: process.env, flags });
  const service = (name: string, description: string, roles: Roles) => {
    const command = program.command(name).description(description).addHelpText('after', settingsHelp());
    if (roles.repair) command.option('--dry-run', 'do everything but write to Customer Engagement, and record what would be written');
    command.action(async ({ dryRun = false }: { dryRun?: boolean }) => {
      const { configuration } = loaded();
      code = await serve(configuration, { ...roles, dryRun }, createLogger(configuration.logging));
    });
  };
  service('run', 'listen and repair in one process', { listen: true, repair: true });
  service('listen', 'watch the directories and write every change to the log', { listen: true, repair: false });
  service('repair', 'repair user records as the log says', { listen: false, repair: true });
  program
    .command('status')
    .description('show where the listeners stand and which repairs are open')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: true }) => {
      const { configuration } = loaded();
      await using log = await changeLog(configuration, createLogger({ level: 'error', format: 'auto' }), { look: true });
      const status = await log.status();
      console.log(json ? describeAsJson(status) : describeStatus(status, log.name));
    });
  program
    .command('compare')
    .description('have the listener read everything and report what differs from what is known')
    .option('--dry-run', 'only show what it would report: reads the directories itself and writes nothing')
    .option('--naming-context <dn>', 'only this one, such as DC=corp,DC=example,DC=test')
    .addHelpText('after', '\nWaits until a running listener has done it. Exit code 0, with --dry-run also where there are differences.')
    .action(async ({ dryRun, namingContext }: { dryRun?: true; namingContext?: string }) => {
      const { configuration } = loaded();
      const logger = createLogger({ level: 'error', format: 'auto' });
      await using log = await changeLog(configuration, logger, { look: true });
      if (dryRun) await printDifferences(configuration, log, logger, namingContext);
      else await compare(log, namingContext);
    });
  program
    .command('accept-deletions')
    .description('let the deletions pass that the listener withholds because there are so many')
    .option('--naming-context <dn>', 'only of this one, such as DC=corp,DC=example,DC=test')
    .action(async ({ namingContext }: { namingContext?: string }) => {
      const { configuration } = loaded();
      const logger = createLogger({ level: 'error', format: 'auto' });
      await using log = await changeLog(configuration, logger, { look: true });
      await acceptDeletions(log, namingContext);
    });
  program
    .command('config')
    .description('show the settings in effect, secrets masked, and where they come from')
    .action(() => {
      const { effective, file, origins } = loaded();
      const others = [...origins].map(([path, origin]) => `# ${path} from ${origin}`);
      console.log([`# from ${file ?? 'no file'} and defaults`, ...others, stringify(effective).trimEnd()].join('\n'));
    });
  try {
    if (withoutValue !== undefined) program.error(`error: option '${withoutValue}' needs a value`);
    await program.parseAsync(rest, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof ConfigurationError) {
      console.error(`The settings cannot be used:\n${error.message.replaceAll(/^/gm, '  ')}`);
      return EXIT.configuration;
    }
    console.error(printable(error instanceof Error ? `${error.name}: ${error.message}` : String(error)));
    return exitCodeOf(error);
  }
}

interface Arguments {
  /** Commands and their options. */
  readonly rest: string[];
  /** The settings. */
  readonly flags: Map<string, string>;
  /** The first flag that has no value. What begins with -- is the next flag, and a value only after a `=`. */
  readonly withoutValue: string | undefined;
}

/** Takes the flags that are settings (`--log.kafka.brokers …`) out of the arguments. */
function takeSettings(args: readonly string[]): Arguments {
  const heads = new Set(OPTIONS.map(({ path }) => path[0]));
  const rest: string[] = [];
  const flags = new Map<string, string>();
  let withoutValue: string | undefined;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? '';
    const [, path, , value] = /^--([A-Za-z][\w.]*)(=(.*))?$/s.exec(arg) ?? [];
    const next = args[index + 1];
    if (path === undefined || !heads.has(path.split('.')[0])) rest.push(arg);
    else if (value !== undefined) flags.set(path, value);
    else if (next === undefined || next.startsWith('--')) withoutValue ??= arg;
    else {
      flags.set(path, next);
      index++;
    }
  }
  return { rest, flags, withoutValue };
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
