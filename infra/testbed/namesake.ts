import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Bed } from './bed.ts';
import { ManagedProcess } from './process.ts';

export interface NamesakeOptions {
  readonly bed: Bed;
  /** Its own directory: configuration, state and log. */
  readonly path: string;
  readonly command?: 'run' | 'listen' | 'repair';
  readonly engine: 'kafka' | 'sqlite';
  /** Default: the path; two instances on one SQLite log share its file. */
  readonly logFile?: string;
  readonly topicPrefix?: string;
  /** The first N parking accounts of the bed. Default: all. */
  readonly parkingAccounts?: number;
  /** Laid over the configuration, top keys whole; what they replace the bed need not have. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the sources, as they are. */
  readonly program?: string;
}

/** A line of the product's JSON log. */
export interface LogLine {
  readonly level: number;
  readonly time: string;
  readonly msg: string;
  readonly [key: string]: unknown;
}

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The product as an operator runs it: a process with a configuration file, known from outside by its log and what it does. */
export class Namesake extends ManagedProcess {
  readonly configFile: string;
  readonly logFile: string;

  private constructor(options: NamesakeOptions, configFile: string) {
    const { path, command = 'run', env = {}, program = PROGRAM } = options;
    const logFile = join(path, 'namesake.log');
    super({
      name: `namesake ${command}`,
      command: process.execPath,
      args: [program, command, '--config', configFile],
      cwd: path,
      env,
      log: logFile,
      ready: async (output) => {
        const ready = command === 'repair' ? /"msg":"[^"]*: repairing with/ : /"msg":"listening, log on/;
        if (!ready.test(await output())) throw new Error('it has not said that it is at work');
      },
      startWithin: 60_000,
      stopWithin: 8_000,
    });
    this.configFile = configFile;
    this.logFile = logFile;
  }

  static async prepare(options: NamesakeOptions): Promise<Namesake> {
    await mkdir(options.path, { recursive: true, mode: 0o700 });
    const configFile = join(options.path, 'namesake.yaml');
    await writeFile(configFile, stringify(configurationOf(options)));
    return new Namesake(options, configFile);
  }

  /** What it has logged so far, lines that are not JSON left out. */
  async lines(): Promise<LogLine[]> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as LogLine];
      } catch {
        return [];
      }
    });
  }
}

/** As the README describes it, filled with what the bed has. */
export function configurationOf({ bed, path, engine, logFile, topicPrefix = '', parkingAccounts, settings }: NamesakeOptions): unknown {
  return {
    directories: settings?.directories ?? [directoryOf(bed)],
    log:
      engine === 'kafka'
        ? { kafka: { brokers: bed.broker.bootstrap, topicPrefix } }
        : { sqlite: { file: logFile ?? join(path, 'namesake.db') } },
    organizations: settings?.organizations ?? [organizationOf(bed, parkingAccounts)],
    stateDirectory: path,
    // The stand-in asks the directory itself: it has heard of everything.
    repairer: { nameLag: '0s' },
    ...settings,
  };
}

function directoryOf({ directory: { url, service, caFile } }: Bed): unknown {
  return { urls: [url], bindDn: service.bindDn, passwordFile: service.passwordFile, caFile };
}

function organizationOf({ directory, crm }: Bed, parkingAccounts: number | undefined): unknown {
  return {
    name: 'contoso',
    url: crm.url,
    caFile: crm.caFile,
    auth: { method: 'bearer', tokenFile: crm.tokenFile },
    parkingAccounts: directory.parkingAccounts.slice(0, parkingAccounts),
  };
}
