import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigurationError, load } from '../../src/config/load.ts';
import { flagOf, OPTIONS, variableOf } from '../../src/config/options.ts';

const MINIMAL = `
directories:
  - urls: ['ldaps://dc1.corp.example.test']
    bindDn: svc-namesake@corp.example.test
    passwordFile: /etc/namesake/ad-password
organizations:
  - name: contoso
    url: https://crm.example.test/contoso
    auth: { method: bearer, tokenFile: /etc/namesake/token }
    parkingAccounts: ['CORP\\ns-park-01', 'CORP\\ns-park-02']
`;

function read(
  text: string,
  { environment = {}, flags = {} }: { environment?: Record<string, string>; flags?: Record<string, string> } = {},
) {
  const file = join(mkdtempSync(join(tmpdir(), 'namesake-config-')), 'namesake.yaml');
  writeFileSync(file, text);
  return load({ file, environment, flags: new Map(Object.entries(flags)) });
}

function problemsOf(text: string, sources: Parameters<typeof read>[1] = {}): string {
  try {
    read(text, sources);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  }
  throw new Error('these settings were accepted');
}

describe('settings', () => {
  it('have defaults for everything that need not be said', () => {
    const { configuration } = read(MINIMAL);
    expect(configuration.listener).toEqual({ readEvery: 30_000, readGap: 10, positionEvery: 60_000 });
    expect(configuration.directories[0]).toMatchObject({ allowClearText: false, deadline: 5_000 });
    expect(configuration.organizations[0]).toMatchObject({ apiVersion: 'v9.1', allowClearText: false, deadline: 30_000 });
    expect(configuration.log).toEqual({});
  });

  it('come from the file, over it the environment, over that flags', () => {
    const environment = {
      NAMESAKE_ORGANIZATIONS_0_API_VERSION: 'v9.0',
      NAMESAKE_LOG_KAFKA_BROKERS: 'one:9092, two:9092',
      NAMESAKE_LISTENER_READ_EVERY: '1m',
    };
    const flags = { 'organizations.0.apiVersion': 'v8.2', 'log.kafka.partitions': '3' };
    const { configuration } = read(MINIMAL, { environment, flags });
    expect(configuration.organizations[0]?.apiVersion).toBe('v8.2');
    expect(configuration.log.kafka).toMatchObject({ brokers: ['one:9092', 'two:9092'], partitions: 3, retention: -1 });
    expect(configuration.listener.readEvery).toBe(60_000);
  });

  it('cannot be changed once they are read', () => {
    const { configuration } = read(MINIMAL);
    expect(() => Object.assign(configuration.listener, { readEvery: 1 })).toThrow(TypeError);
  });

  it.each([
    ['an unknown key', MINIMAL.replace('bindDn', 'bindDN'), /directories\.0.*bindDN/s],
    ['a wrong value', MINIMAL.replace('auth:', 'apiVersion: v7\n    auth:'), /organizations\.0\.apiVersion: .*v8\.2/],
    ['something that is missing', MINIMAL.replace(/ +bindDn.*\n/, ''), /directories\.0\.bindDn: /],
    ['a duration without a unit', `${MINIMAL}listener: { readEvery: 30 }`, /listener\.readEvery/],
    ['a wait of no time at all', `${MINIMAL}listener: { readEvery: 0s }`, /listener\.readEvery: expected more than nothing/],
    ['a wait that no timer can wait', `${MINIMAL}repairer: { linkEvery: 30d }`, /repairer\.linkEvery: expected 24d at most/],
    ['both logs at once', `${MINIMAL}log: { kafka: { brokers: ['a:1'] }, sqlite: {} }`, /log: expected kafka or sqlite, not both/],
    [
      'a parking account without its domain',
      MINIMAL.replace('CORP\\ns-park-01', 'ns-park-01'),
      /parkingAccounts\.0: expected DOMAIN\\name/,
    ],
    ['the same organization twice', MINIMAL + MINIMAL.slice(MINIMAL.indexOf('  - name:')), /expected a name of its own/],
    ['no password at all', MINIMAL.replace(/ +passwordFile.*\n/, ''), /directories\.0\.passwordFile: expected either/],
    ['a token that comes from nowhere', MINIMAL.replace(', tokenFile: /etc/namesake/token', ''), /auth\.tokenFile: expected either/],
    ['text that is no YAML', 'directories: [', /namesake\.yaml: /],
    ['a list where settings belong', '- 1', /expected settings as/],
  ])('refuse %s and say where', (_what, text, expected) => {
    expect(problemsOf(text)).toMatch(expected);
  });

  it('name the variable or flag that a wrong value came from', () => {
    expect(problemsOf(MINIMAL, { environment: { NAMESAKE_LOGGING_LEVEL: 'loud' } })).toMatch(/^NAMESAKE_LOGGING_LEVEL: logging\.level: /);
    expect(problemsOf(MINIMAL, { flags: { 'logging.level': 'loud' } })).toMatch(/^--logging\.level: logging\.level: /);
  });

  it('refuse variables and flags that there are not', () => {
    expect(problemsOf(MINIMAL, { environment: { NAMESAKE_LOGING_LEVEL: 'info' } })).toMatch(
      /^NAMESAKE_LOGING_LEVEL: there is no such setting/,
    );
    expect(problemsOf(MINIMAL, { flags: { 'organizations.0.nam': 'x' } })).toMatch(/^--organizations\.0\.nam: there is no such setting/);
  });
});

describe('secrets (SPEC rule 10)', () => {
  const withoutFile = MINIMAL.replace(/ +passwordFile.*\n/, '');

  it('may stand in the environment', () => {
    const { configuration } = read(withoutFile, { environment: { NAMESAKE_DIRECTORIES_0_PASSWORD: 'hunter2' } });
    expect(configuration.directories[0]?.password).toBe('hunter2');
  });

  it('are refused on the command line and in the file, without being repeated', () => {
    const onCommandLine = problemsOf(withoutFile, { flags: { 'directories.0.password': 'hunter2' } });
    const inFile = problemsOf(withoutFile.replace('bindDn', 'password: hunter2\n    bindDn'));
    for (const problem of [onCommandLine, inFile]) {
      expect(problem).toMatch(/NAMESAKE_DIRECTORIES_0_PASSWORD/);
      expect(problem).not.toContain('hunter2');
    }
  });

  it.each([
    ['an address', MINIMAL.replace('https://crm', 'https://user:hunter2@crm')],
    ['the address of a domain controller', MINIMAL.replace('ldaps://dc1', 'ldaps://user:hunter2@dc1')],
    ['text that is no YAML', `${MINIMAL}password: hunter2: oops`],
  ])('are refused in %s, without being repeated', (_where, text) => {
    expect(problemsOf(text)).not.toContain('hunter2');
  });

  it('are masked where the settings are shown', () => {
    const { effective } = read(withoutFile.replace(', tokenFile: /etc/namesake/token', ''), {
      environment: { NAMESAKE_DIRECTORIES_0_PASSWORD: 'hunter2', NAMESAKE_ORGANIZATIONS_0_AUTH_TOKEN: 'hunter3' },
    });
    expect(JSON.stringify(effective)).not.toMatch(/hunter/);
    expect(effective).toMatchObject({ directories: [{ password: '***', deadline: '5s' }], organizations: [{ auth: { token: '***' } }] });
  });
});

it('the log in effect is shown when none is configured', () => {
  expect(read(MINIMAL).effective).toMatchObject({ log: { sqlite: { file: 'namesake.db' } } });
});

describe('the table of settings', () => {
  it('gives each a flag and a variable of its own', () => {
    const flags = OPTIONS.map(({ path }) => flagOf(path));
    const variables = OPTIONS.map(({ path }) => variableOf(path));
    expect(new Set(flags).size).toBe(flags.length);
    expect(new Set(variables).size).toBe(variables.length);
  });

  it('describes each', () => {
    expect(OPTIONS.filter(({ description }) => description === '').map(({ path }) => path.join('.'))).toEqual([]);
  });
});
