import { Command, CommanderError } from 'commander';
import { stringify } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { ConfigurationError, DEFAULT_FILES, FILE_VARIABLE, load } from '../config/load.ts';
import { OPTIONS } from '../config/options.ts';
import { EXIT } from '../runtime/exit-codes.ts';
import { printable } from '../runtime/printable.ts';
import { exitCodeOf } from '../runtime/service.ts';
import { addDrift } from './commands/drift.ts';
import { addLinks } from './commands/links.ts';
import { addListening } from './commands/listening.ts';
import { addParking } from './commands/parking.ts';
import { addProbe } from './commands/probe.ts';
import { addRepairs } from './commands/repairs.ts';
import { addReport } from './commands/report.ts';
import { addServices } from './commands/services.ts';
import type { Context } from './context.ts';

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
    .configureOutput({
      outputError: (text, write) =>
        write(text.replaceAll(/'(-[^'=\s]*)=[^\n]*/g, "'$1'").replaceAll(/'(-[A-Za-z])[^-'\n][^'\n]*'/g, "'$1'")),
    });
  const context: Context = {
    load: () => load({ file: program.opts<{ config?: string }>().config, environment: process.env, flags }),
    exitWith: (wanted) => {
      code = wanted;
    },
  };
  addServices(program, context);
  addListening(program, context);
  addDrift(program, context);
  addRepairs(program, context);
  addLinks(program, context);
  addParking(program, context);
  addReport(program, context);
  addProbe(program, context);
  program
    .command('config')
    .description('show the settings in effect, secrets masked, and where they come from')
    .action(() => {
      const { effective, file, origins } = context.load();
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
