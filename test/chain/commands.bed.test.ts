import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Attribute, Change, Client, EqualityFilter } from 'ldapts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { configurationOf } from '../../infra/testbed/namesake.ts';
import { Command, namesake } from '../support/chain-cli.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

const SECRET = 'N0t-to-be-shown';
/** Documented in the README. */
const [OK, FAILED, USAGE, CONFIGURATION] = [0, 1, 2, 3];

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, users: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

interface FileContent {
  [key: string]: unknown;
  directories: Record<string, unknown>[];
  organizations: Record<string, unknown>[];
}

/** A configuration file as the bed would have it, changed. */
async function configuration(name: string, change: (content: FileContent) => void): Promise<string> {
  const path = join(bed.path, name);
  const content = JSON.parse(JSON.stringify(configurationOf({ bed, path, engine: 'sqlite' }))) as FileContent;
  change(content);
  await writeFile(`${path}.yaml`, stringify(content));
  return `${path}.yaml`;
}

describe('what a command line, a file or a variable says wrongly is refused', () => {
  it.each([
    ['an unknown command', ['frobnicate']],
    ['an unknown flag', ['run', '--nonsense']],
    ['too many words', ['status', 'now']],
  ])('%s: exit code 2', async (_, args) => {
    const { code, stderr } = await namesake(args);
    expect(code).toBe(USAGE);
    expect(stderr).toMatch(/--help/);
  });

  it.each([
    ['an unknown setting', (content: FileContent) => Object.assign(content, { directorys: [] }), /directorys/],
    [
      'a wrong address',
      ({ directories: [first] }: FileContent) => Object.assign(first ?? {}, { urls: ['dc1'] }),
      /directories\.0\.urls\.0: expected ldaps/,
    ],
    [
      'a wrong duration',
      (content: FileContent) => Object.assign(content, { listener: { readEvery: 'soon' } }),
      /listener\.readEvery: expected a duration/,
    ],
    ['no directory', (content: FileContent) => Object.assign(content, { directories: [] }), /directories/],
    [
      'a password in the file',
      ({ directories: [first] }: FileContent) => Object.assign(first ?? {}, { password: SECRET }),
      /directories\.0\.password: a secret does not belong here/,
    ],
  ])('%s in the file: exit code 3, with the path', async (name, change, message) => {
    const file = await configuration(name.replaceAll(' ', '-'), change);
    const { code, stdout, stderr } = await namesake(['run', '--config', file]);
    expect(code).toBe(CONFIGURATION);
    expect(stderr).toMatch(message);
    expect(stdout + stderr).not.toContain(SECRET);
  });

  it('a file that is not there, a file that is no YAML, an unknown variable: exit code 3', async () => {
    const broken = join(bed.path, 'broken.yaml');
    await writeFile(broken, 'directories: [');
    const none = join(bed.path, 'none.yaml');
    for (const [args, env, message] of [
      [['config', '--config', none], {}, none],
      [['config', '--config', broken], {}, broken],
      [['config'], { NAMESAKE_DIRECTORIS: 'x' }, 'NAMESAKE_DIRECTORIS'],
    ] as const) {
      const { code, stderr } = await namesake(args, { env, cwd: bed.path });
      expect(code).toBe(CONFIGURATION);
      expect(stderr).toContain(message);
    }
  });

  it.each(['directories.0.password', 'organizations.0.auth.token', 'log.kafka.sasl.password'])(
    '--%s: a secret on the command line, which is not repeated',
    async (path) => {
      const file = await configuration('plain', () => {});
      for (const args of [[`--${path}=${SECRET}`], [`--${path}`, SECRET]]) {
        const { code, stdout, stderr } = await namesake(['run', '--config', file, ...args]);
        expect(code).toBe(CONFIGURATION);
        expect(stderr).toMatch(/a secret on the command line/);
        expect(stdout + stderr).not.toContain(SECRET);
      }
    },
  );
});

describe('what it tells of itself', () => {
  it('--help, --version', async () => {
    const help = await namesake(['--help']);
    expect([help.code, help.stdout]).toEqual([OK, expect.stringMatching(/run[\s\S]*listen[\s\S]*repair[\s\S]*status[\s\S]*config/)]);
    const version = await namesake(['--version']);
    expect([version.code, version.stdout]).toEqual([OK, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
    const settings = await namesake(['run', '--help']);
    expect([settings.code, settings.stdout]).toEqual([OK, expect.stringContaining('--organizations.N.parkingAccounts')]);
    expect(settings.stdout).not.toContain('--directories.N.password\n');
    expect(settings.stdout).toContain('NAMESAKE_DIRECTORIES_N_PASSWORD\n');
  });

  it('config shows what is in effect and masks secrets', async () => {
    const file = await configuration('masked', ({ directories: [directory], organizations: [organization] }) => {
      delete directory?.passwordFile;
      Object.assign(organization ?? {}, { auth: { method: 'bearer' } });
    });
    const env = { NAMESAKE_DIRECTORIES_0_PASSWORD: SECRET, NAMESAKE_ORGANIZATIONS_0_AUTH_TOKEN: SECRET };
    const { code, stdout, stderr } = await namesake(['config', '--config', file, '--listener.readEvery', '7s'], { env });
    expect(code).toBe(OK);
    expect(stdout).toContain('password: "***"');
    expect(stdout).toContain('token: "***"');
    expect(stdout).toContain('readEvery: 7s');
    expect(stdout).toContain('readGap: 10ms');
    expect(stdout + stderr).not.toContain(SECRET);
  });

  it('status before the first start says that there is nothing, and leaves nothing behind', async () => {
    const file = await configuration('fresh', () => {});
    const { code, stdout } = await namesake(['status', '--config', file]);
    expect(code).toBe(OK);
    expect(stdout).toMatch(/none has read a directory/);
    expect(existsSync(join(bed.path, 'fresh', 'namesake.db'))).toBe(false);
  });

  it('status for a person names who is out of step and why', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await stage.start();
    await stage.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'html', status: 503 } }]);
    await stage.rename('user00003', 'stuck');
    await until('status shows it', async () => {
      const { stdout } = await namesake(['status', '--config', stage.product.configFile]);
      return /1 open[\s\S]*contoso {2}CORP\\user00003 → CORP\\stuck {2}waiting \(unavailable: .*503/.test(stdout);
    });
    await stage.control.clearFaults();
    await stage.canLogOn('stuck');
  });
});

describe('a wrong password', () => {
  it('is tried once and told clearly; SIGTERM does not wait for the next try (15 min)', async () => {
    const passwordFile = join(bed.path, 'wrong-password');
    await writeFile(passwordFile, SECRET);
    const file = await configuration('refused', ({ directories: [first] }) => Object.assign(first ?? {}, { passwordFile }));
    await using guard = await CountedLogons.begin();
    await using command = new Command(['run', '--config', file]);
    await command.says(/trying again in/);
    const [line = ''] = command.stdout.split('\n').filter((text) => text.includes('trying again in'));
    expect(line).toMatch(/password|credentials/i);
    const [, minutes] = /trying again in (\d+) min/.exec(line) ?? [];
    expect(Number(minutes)).toBeGreaterThanOrEqual(7);
    const { code, milliseconds } = await command.terminate();
    expect([code, milliseconds < 5_000]).toEqual([OK, true]);
    expect(command.stdout).not.toContain(SECRET);
    expect(await guard.refused()).toBe(1);
  });
});

describe('a directory that can never work', () => {
  it('ends the start with exit code 3: a file of certificates that is not there', async () => {
    const file = await configuration('no-ca', ({ directories: [first] }) => Object.assign(first ?? {}, { caFile: '/nowhere/ca.pem' }));
    const { code, stderr } = await namesake(['run', '--config', file]);
    expect(code).toBe(CONFIGURATION);
    expect(stderr).toMatch(/directories\.0\.caFile: .*\/nowhere\/ca\.pem/);
  });

  it('ends the start with exit code 3: a file with the password that is not there', async () => {
    const file = await configuration('no-password', ({ directories: [first] }) =>
      Object.assign(first ?? {}, { passwordFile: '/nowhere/it' }),
    );
    const { code, stdout } = await namesake(['run', '--config', file]);
    expect(code).toBe(CONFIGURATION);
    expect(stdout).toContain('/nowhere/it');
  });
});

describe('a log that cannot be used', () => {
  it('status ends with exit code 1 and says why', async () => {
    const file = await configuration('no-broker', (content) =>
      Object.assign(content, { log: { kafka: { brokers: [`${bed.address}:1`] } } }),
    );
    const { code, stderr } = await namesake(['status', '--config', file]);
    expect(code).toBe(FAILED);
    expect(stderr).toContain(`${bed.address}:1`);
  });
});

/** The domain controller counts refused logons of the service's account, which it does only where accounts are locked out. */
class CountedLogons implements AsyncDisposable {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  static async begin(): Promise<CountedLogons> {
    const { url, admin } = bed.directory;
    const client = new Client({ url, tlsOptions: { rejectUnauthorized: false } });
    await client.bind(admin.bindDn, admin.password);
    const counted = new CountedLogons(client);
    await counted.#lockOutAfter(10);
    return counted;
  }

  async refused(): Promise<number> {
    const filter = new EqualityFilter({ attribute: 'userPrincipalName', value: bed.directory.service.bindDn });
    const { searchEntries } = await this.#client.search(bed.directory.namingContext, { filter, attributes: ['badPwdCount'] });
    return Number(searchEntries[0]?.badPwdCount ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lockOutAfter(0);
    await this.#client.unbind();
  }

  async #lockOutAfter(refusals: number): Promise<void> {
    const modification = new Attribute({ type: 'lockoutThreshold', values: [String(refusals)] });
    await this.#client.modify(bed.directory.namingContext, new Change({ operation: 'replace', modification }));
  }
}
