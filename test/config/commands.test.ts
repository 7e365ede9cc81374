import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type CliResult, namesake } from '../support/chain-cli.ts';

/** Documented in the README. */
const [OK, USAGE, CONFIGURATION] = [0, 2, 3];

let path: string;
let file: string;

beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), 'namesake-commands-'));
  file = join(path, 'namesake.yaml');
  await writeFile(join(path, 'empty.pem'), 'nothing\n');
  await writeFile(
    file,
    stringify({
      directories: [{ urls: ['ldaps://127.0.0.1:1'], bindDn: 'svc', passwordFile: join(path, 'password') }],
      organizations: [
        {
          name: 'contoso',
          url: 'https://127.0.0.1:1/contoso',
          auth: { method: 'bearer', tokenFile: join(path, 'token') },
          parkingAccounts: ['CORP\\p1'],
        },
      ],
      stateDirectory: path,
    }),
  );
});

afterAll(async () => {
  await rm(path, { recursive: true });
});

async function refused(command: string, settings: readonly string[], code: number): Promise<string> {
  const result: CliResult = await namesake([command, '--config', file, ...settings]);
  expect([result.code, result.stdout]).toEqual([code, '']);
  return result.stderr;
}

async function refusedByEach(commands: readonly string[], settings: readonly string[]): Promise<string[]> {
  return await Promise.all(commands.map((command) => refused(command, settings, CONFIGURATION)));
}

describe('what no start could use is refused by every command alike', () => {
  it.each([
    [
      'an organization in clear text',
      ['--organizations.0.url=http://x/y'],
      /--organizations\.0\.url: organizations\.0\.url: expected https:/,
    ],
    ['an address without a host', ['--directories.0.urls=ldap://'], /--directories\.0\.urls: directories\.0\.urls\.0: expected ldaps:/],
  ])('%s', async (_, settings, message) => {
    for (const stderr of await refusedByEach(['config', 'status', 'run'], settings)) expect(stderr).toMatch(message);
  });

  it('a log that is no database', async () => {
    const settings = ['--log.sqlite.file', join(path, 'empty.pem')];
    for (const stderr of await refusedByEach(['status', 'run'], settings)) {
      expect(stderr).toMatch(/log\.sqlite\.file: cannot open .*empty\.pem/);
    }
  });
});

describe('a CA file that cannot be used is refused at the start, by the name of its setting', () => {
  it.each([
    ['run', 'directories.0.caFile', []],
    ['repair', 'organizations.0.caFile', []],
    ['run', 'log.kafka.tls.caFile', ['--log.kafka.brokers', '127.0.0.1:1']],
    ['status', 'log.kafka.tls.caFile', ['--log.kafka.brokers', '127.0.0.1:1']],
  ])('%s: --%s', async (command, setting, more) => {
    for (const name of ['empty.pem', 'nowhere.pem']) {
      const caFile = join(path, name);
      const stderr = await refused(command, [...more, `--${setting}`, caFile], CONFIGURATION);
      expect(stderr).toContain(`  ${setting}: The CA file ${caFile} cannot be used`);
    }
    expect(existsSync(join(path, 'namesake.db'))).toBe(false);
  });
});

describe('a flag without its value is a wrong command line', () => {
  it.each([
    ['at the end', ['--log.kafka.brokers']],
    ['before another flag', ['--log.kafka.brokers', '--log.kafka.topicPrefix', 'x.']],
  ])('%s', async (_, settings) => {
    expect(await refused('config', settings, USAGE)).toMatch(/--log\.kafka\.brokers' needs a value[\s\S]*--help/);
  });

  it('but for a value that begins with one dash, or stands after an equals sign', async () => {
    const settings = ['--log.kafka.brokers=a:1', '--log.kafka.replicationFactor', '-1', '--log.kafka.topicPrefix=--x'];
    const { code, stdout } = await namesake(['config', '--config', file, ...settings]);
    expect(code).toBe(OK);
    expect(stdout).toMatch(/topicPrefix: --x\n/);
    expect(stdout).toMatch(/replicationFactor: -1\n/);
  });
});

it('report takes no time that is none', async () => {
  expect(await refused('report', ['--since', 'last week'], USAGE)).toMatch(/--since <time>.*'last week' is invalid.*Expected a date/);
});

it('config says where the settings come from', async () => {
  const env = { NAMESAKE_LOGGING_LEVEL: 'debug' };
  const { stdout } = await namesake(['config', '--config', file, '--listener.readEvery', '7s'], { env });
  const head = stdout.split('\n').filter((line) => line.startsWith('#'));
  expect(head).toEqual([
    `# from ${file} and defaults`,
    '# logging.level from NAMESAKE_LOGGING_LEVEL',
    '# listener.readEvery from --listener.readEvery',
  ]);
});

it('an unknown flag is told without its value, which may be a secret whose path is misspelt', async () => {
  const told = await refused('run', ['--directoris.0.password=S3cretPass'], USAGE);
  expect(told).toContain("unknown option '--directoris.0.password'");
  expect(told).not.toContain('S3cretPass');
});
