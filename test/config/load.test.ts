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
/** In it. */
const URLS = "urls: ['ldaps://dc1.corp.example.test']";

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
    expect(configuration.listener).toEqual({
      readEvery: 30_000,
      readGap: 10,
      scopeEvery: 300_000,
      attributes: ['displayName', 'givenName', 'sn', 'mail'],
      positionEvery: 60_000,
      compareEvery: 604_800_000,
      maxLag: 3_600_000,
      movesWithin: 60_000,
      deletionLimit: { count: 50, percent: 5 },
    });
    expect(configuration.directories[0]).toMatchObject({
      allowClearText: false,
      deadline: 5_000,
      probeEvery: 30_000,
      failBackAfter: 120_000,
    });
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

  it('take DNs, which have commas of their own, with semicolons between them', () => {
    const ous = ['OU=Staff,DC=corp,DC=example,DC=test', 'OU=Guests,DC=corp,DC=example,DC=test'];
    const flags = { 'directories.0.scope.include.ous': ous.join('; '), 'listener.attributes': 'mail, title' };
    const environment = { NAMESAKE_DIRECTORIES_0_SCOPE_EXCLUDE_GROUPS: 'CN=Robots,DC=corp,DC=example,DC=test' };
    const { configuration } = read(MINIMAL, { environment, flags });
    expect(configuration.directories[0]?.scope).toEqual({
      include: { ous },
      exclude: { groups: ['CN=Robots,DC=corp,DC=example,DC=test'] },
    });
    expect(configuration.listener.attributes).toEqual(['mail', 'title']);
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
    ['a wait that no timer can wait', `${MINIMAL}listener: { readEvery: 30d }`, /listener\.readEvery: expected 24d at most/],
    [
      'looks so rare that a deletion could be missed',
      `${MINIMAL}repairer: { linkEvery: 13h }`,
      /repairer\.linkEvery: expected 12h at most/,
    ],
    ['both logs at once', `${MINIMAL}log: { kafka: { brokers: ['a:1'] }, sqlite: {} }`, /log: expected kafka or sqlite, not both/],
    [
      'a parking account without its domain',
      MINIMAL.replace('CORP\\ns-park-01', 'ns-park-01'),
      /parkingAccounts\.0: expected DOMAIN\\name/,
    ],
    ['a scope of nothing', MINIMAL.replace('bindDn', 'scope: { include: {} }\n    bindDn'), /scope\.include: expected ous or groups/],
    ['a scope of no DN', MINIMAL.replace('bindDn', 'scope: { include: { ous: [Staff] } }\n    bindDn'), /include\.ous\.0: expected a DN/],
    ['a secret to watch', `${MINIMAL}listener: { attributes: [mail, unicodePwd] }`, /attributes\.1: unicodePwd may hold a secret/],
    ['what is watched anyway', `${MINIMAL}listener: { attributes: [samAccountName] }`, /samAccountName is watched anyway/],
    ['an attribute twice', `${MINIMAL}listener: { attributes: [mail, Mail] }`, /attributes: expected each attribute once/],
    [
      'names to write that nobody watches',
      `${MINIMAL.replace('auth:', 'writeNames: true\n    auth:')}listener: { attributes: [mail, givenname] }`,
      /organizations\.0\.writeNames: expected sn among listener\.attributes.*set this to false/,
    ],
    ['the same organization twice', MINIMAL + MINIMAL.slice(MINIMAL.indexOf('  - name:')), /expected a name of its own/],
    ['no password at all', MINIMAL.replace(/ +passwordFile.*\n/, ''), /directories\.0\.passwordFile: expected either/],
    ['a token that comes from nowhere', MINIMAL.replace(', tokenFile: /etc/namesake/token', ''), /auth\.tokenFile: expected either/],
    [
      'a parking account twice, but for case',
      MINIMAL.replace('CORP\\ns-park-02', 'corp\\NS-Park-01'),
      /parkingAccounts: expected each account once/,
    ],
    ['http:// where nothing allows it', MINIMAL.replace('https:', 'http:'), /organizations\.0\.url: expected https:.*allowClearText/],
    [
      'more than the address of an organization',
      MINIMAL.replace('/contoso', '/contoso?x=1'),
      /organizations\.0\.url: expected an address that ends/,
    ],
    [
      'a domain controller without a name',
      MINIMAL.replace('ldaps://dc1.corp.example.test', 'ldap://'),
      /directories\.0\.urls\.0: expected ldaps:/,
    ],
    ['more than the address of a domain controller', MINIMAL.replace('.test', '.test/DC=corp'), /directories\.0\.urls\.0: expected ldaps:/],
    ['neither urls nor a domain', MINIMAL.replace(/urls: .*/, "caFile: 'ca.pem'"), /directories\.0\.urls: expected either urls or domain/],
    [
      'both urls and a domain',
      MINIMAL.replace('bindDn', 'domain: corp.example.test\n    bindDn'),
      /directories\.0\.urls: expected either urls or domain/,
    ],
    [
      'an address for a domain',
      MINIMAL.replace(URLS, 'domain: ldaps://corp.example.test'),
      /directories\.0\.domain: expected the DNS name/,
    ],
    [
      'a site of no domain',
      MINIMAL.replace('bindDn', 'site: Berlin\n    bindDn'),
      /directories\.0\.site: expected only together with domain/,
    ],
    ['a site that is no name', MINIMAL.replace(URLS, 'domain: a.test\n    site: a.b'), /directories\.0\.site: expected the name of/],
    [
      'a protocol beside addresses that say it',
      MINIMAL.replace('bindDn', 'protocol: ldap\n    bindDn'),
      /directories\.0\.protocol: expected only together with domain/,
    ],
    [
      'a DNS server without an address',
      MINIMAL.replace(URLS, 'domain: a.test\n    dnsServers: [ns.example.test]'),
      /directories\.0\.dnsServers\.0: expected an IP address/,
    ],
    [
      'a user with a colon, which Basic authentication cannot send',
      MINIMAL.replace('bearer, tokenFile', "basic, user: 'corp:svc', passwordFile"),
      /organizations\.0\.auth\.user: expected a name without a colon/,
    ],
    [
      'a logon to the brokers in clear text',
      `${MINIMAL}log: { kafka: { brokers: ['a:1'], sasl: { mechanism: plain, username: u, passwordFile: p } } }`,
      /log\.kafka\.sasl: expected only together with tls.*allowClearText/,
    ],
    ['text that is no YAML', 'directories: [', /namesake\.yaml: /],
    ['a list where settings belong', '- 1', /expected settings as/],
  ])('refuse %s and say where', (_what, text, expected) => {
    expect(problemsOf(text)).toMatch(expected);
  });

  it.each([
    [
      'a domain whose domain controllers DNS tells',
      MINIMAL.replace(URLS, "domain: corp.example.test\n    site: Berlin-2\n    protocol: ldap\n    dnsServers: [10.0.0.1, '[::1]:5353']"),
    ],
    ['http:// where it is allowed', MINIMAL.replace('https:', 'http:').replace('auth:', 'allowClearText: true\n    auth:')],
    [
      'a logon to the brokers with TLS',
      `${MINIMAL}log: { kafka: { brokers: ['a:1'], tls: {}, sasl: { mechanism: plain, username: u, passwordFile: p } } }`,
    ],
    [
      'a logon to the brokers in clear text where it is allowed',
      `${MINIMAL}log: { kafka: { brokers: ['a:1'], allowClearText: true, sasl: { mechanism: plain, username: u, passwordFile: p } } }`,
    ],
    ['looks at the user records twice a day', `${MINIMAL}repairer: { linkEvery: 12h }`],
  ])('take %s', (_what, text) => {
    expect(() => read(text)).not.toThrow();
  });

  it.each(['kafka1:9092', '10.0.0.1:1', 'kafka_1.example.test:65535'])('take the broker %s', (broker) => {
    const { configuration } = read(`${MINIMAL}log: { kafka: { brokers: ['${broker}'] } }`);
    expect(configuration.log.kafka?.brokers).toEqual([broker]);
  });

  it.each([
    'kafka1',
    'kafka1:',
    ':9092',
    'kafka1:0',
    'kafka1:65536',
    'kafka://kafka1:9092',
    '::1:9092',
    '[::1]:9092',
    '[kafka1]:9092',
    'kafka1:9092/',
    '',
  ])('refuse the broker "%s"', (broker) => {
    expect(problemsOf(`${MINIMAL}log: { kafka: { brokers: ['${broker}'] } }`)).toMatch(/log\.kafka\.brokers\.0: expected host:port/);
  });

  it.each([
    ['an alias of nothing', '# 1\npassword: *S3cretPass', /line 2, column 11: anchors and aliases are not allowed/],
    ['an anchor', '# 1\npassword: &S3cretPass\n  x', /line 2, column 11: anchors and aliases are not allowed/],
    ['an alias of itself', 'S3cretPass: &x [*x]', /line 1, column 13: anchors.*\n.*line 1, column 17: anchors/],
    ['a bomb', 'a: &a [S3cretPass]\nb: &b [*a, *a]\nc: &c [*b, *b]', /line 2, .*\n.*line 3, /],
    ['a key that is no text', '? { password: S3cretPass }\n: x', /line 1, column 3: not YAML \(non string key\)$/],
    ['a merge of what is no map', '%YAML 1.1\n---\n<<: S3cretPass', /namesake\.yaml: not YAML that settings can be read from$/],
  ])('refuse %s and show nothing of it', (_what, text, expected) => {
    const problems = problemsOf(text);
    expect(problems).toMatch(expected);
    expect(problems).not.toContain('S3cretPass');
  });

  it('name the variable or flag that a part of a wrong value, or something around it, came from', () => {
    const accounts = { flags: { 'organizations.0.parkingAccounts': '' } };
    expect(problemsOf(MINIMAL, accounts)).toMatch(/^--organizations\.0\.parkingAccounts: organizations\.0\.parkingAccounts\.0: /);
    const second = { environment: { NAMESAKE_DIRECTORIES_1_BIND_DN: 'x' } };
    expect(problemsOf(MINIMAL, second)).toMatch(/^NAMESAKE_DIRECTORIES_1_BIND_DN: directories\.1\.urls: /);
    const logon = { flags: { 'log.kafka.sasl.mechanism': 'plain' } };
    expect(problemsOf(`${MINIMAL}log: { kafka: { brokers: ['a:1'] } }`, logon)).toMatch(
      /^--log\.kafka\.sasl\.mechanism: log\.kafka\.sasl\./,
    );
  });

  it('make lists longer place by place, in any order of the variables', () => {
    const environment = {
      NAMESAKE_DIRECTORIES_2_BIND_DN: 'third',
      NAMESAKE_DIRECTORIES_1_BIND_DN: 'second',
      NAMESAKE_DIRECTORIES_2_URLS: 'ldaps://dc3',
      NAMESAKE_DIRECTORIES_1_URLS: 'ldaps://dc2',
      NAMESAKE_DIRECTORIES_2_PASSWORD: 'x',
      NAMESAKE_DIRECTORIES_1_PASSWORD: 'x',
    };
    const { configuration } = read(MINIMAL, { environment, flags: { 'directories.1.bindDn': 'by flag' } });
    expect(configuration.directories.map(({ bindDn }) => bindDn)).toEqual(['svc-namesake@corp.example.test', 'by flag', 'third']);
  });

  it.each(['5', '2', '4294967294', '99999999999999999999'])('refuse place %s of a list of one, and say nothing else', (place) => {
    const expected = (origin: string) => `${origin}: directories has no place ${place}; the next free one is 1`;
    const name = `NAMESAKE_DIRECTORIES_${place}_BIND_DN`;
    expect(problemsOf(MINIMAL, { environment: { [name]: 'x' } })).toBe(expected(name));
    expect(problemsOf(MINIMAL, { flags: { [`directories.${place}.bindDn`]: 'x' } })).toBe(expected(`--directories.${place}.bindDn`));
  });

  it('refuse a second name for a place', () => {
    expect(problemsOf(MINIMAL, { flags: { 'directories.00.bindDn': 'x' } })).toMatch(
      /^--directories\.00\.bindDn: there is no such setting/,
    );
    expect(problemsOf(MINIMAL, { environment: { NAMESAKE_DIRECTORIES_00_BIND_DN: 'x' } })).toMatch(/there is no such setting/);
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
    ['the address of a broker', `${MINIMAL}log: { kafka: { brokers: ['kafka://svc:hunter2@127.0.0.1:1'] } }`],
    ['the address of a broker, without a scheme', `${MINIMAL}log: { kafka: { brokers: ['svc:hunter2@127.0.0.1:1'] } }`],
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

it('what is neither from the file nor a default is told with where it comes from', () => {
  const environment = { NAMESAKE_LOGGING_LEVEL: 'debug', NAMESAKE_LISTENER_READ_EVERY: '5s' };
  const { origins } = read(MINIMAL, { environment, flags: { 'listener.readEvery': '7s' } });
  expect([...origins]).toEqual([
    ['logging.level', 'NAMESAKE_LOGGING_LEVEL'],
    ['listener.readEvery', '--listener.readEvery'],
  ]);
});

it('an empty NAMESAKE_CONFIG names no file', () => {
  const flags = new Map([['listener.readEvery', 'soon']]);
  expect(() => load({ file: undefined, environment: { NAMESAKE_CONFIG: '' }, flags })).toThrow(/^--listener\.readEvery: /m);
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

  it('says who shares the folder of files', () => {
    const { description } = OPTIONS.find(({ path }) => path.join('.') === 'stateDirectory') ?? {};
    expect(description).toMatch(/with Kafka each instance needs its own, with SQLite the instances on a machine share it/);
  });

  it('describes each', () => {
    expect(OPTIONS.filter(({ description }) => description === '').map(({ path }) => path.join('.'))).toEqual([]);
  });
});
