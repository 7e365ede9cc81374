import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { configurationOf } from '../../infra/testbed/namesake.ts';
import { namesake } from '../support/chain-cli.ts';
import { Stage } from '../support/chain-stage.ts';

const PROGRAM = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, users: 10 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** With lines on its standard input. */
async function typed(args: readonly string[], lines: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(`${lines.join('\n')}\n`);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

describe('parking accounts', () => {
  it('are made by a privileged account that is asked for, checked, and used; a privileged one is not', async () => {
    const ou = `OU=Staff,${bed.directory.namingContext}`;
    const { admin, netbios } = bed.directory;
    const { organizations } = configurationOf({ bed, path: bed.path, engine: 'sqlite' }) as { organizations: object[] };
    const names = ['pool-01', 'pool-02', 'administrator'].map((name) => `${netbios}\\${name}`);
    const own = organizations.map((each) => ({ ...each, parkingAccounts: [...names, bed.directory.parkingAccounts[0]], parkingOu: ou }));
    await using stage = await Stage.prepare(bed, 'sqlite', { settings: { organizations: own } });
    const config = ['--config', stage.product.configFile];
    const missing = await namesake(['parking', 'check', ...config]);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toMatch(/pool-01 {2}there is no such account: namesake parking create/);

    const create = ['parking', 'create', '2', '--ou', ou, '--prefix', 'pool-', '--enabled', ...config];
    const refused = await typed(create, [admin.bindDn, 'n0t-the-Password']);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).not.toContain('n0t-the-Password');
    expect(refused.stderr).toContain('wrong password');
    const made = await typed(create, [admin.bindDn, admin.password]);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toMatch(/made pool-01\nmade pool-02\n/);
    expect(made.stdout).toContain('Deny them any logon');
    expect(made.stdout + made.stderr).not.toContain(admin.password);

    const checked = await namesake(['parking', 'check', ...config]);
    expect(checked.code).toBe(1);
    expect(checked.stdout).toMatch(/pool-01 {2}good/);
    expect(checked.stdout).toMatch(/administrator {2}it is not below .*it is privileged \(.*Domain Admins/);
    expect(checked.stdout).toMatch(/ns-park-01 {2}it is not below/);
    expect((await namesake(['parking', 'list', ...config])).stdout).toMatch(/pool-02 +yes +none/);

    await stage.start();
    const told = (await stage.product.lines()).filter(({ msg }) => msg.includes('is not used')).map(({ msg }) => msg);
    expect(told).toEqual([
      expect.stringMatching(/administrator is not used: it is privileged/),
      expect.stringMatching(/ns-park-01 is not used: it is not below/),
    ]);
    await stage.rename('user00001', 'by-pool');
    await stage.canLogOn('by-pool');
    const report = JSON.parse((await namesake(['report', '--json', ...config])).stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ repaired: 1, beforeNextLogon: 1, afterALogon: 0, unknown: 0, needsPerson: 0 });
    const repair = await stage.repairOf('user00001');
    expect(repair?.times).toMatchObject({
      changed: expect.any(String),
      observed: expect.any(String),
      planned: expect.any(String),
      parked: expect.any(String),
      named: expect.any(String),
    });
    expect(repair?.lastLogon).toMatchObject({ seen: null, replicated: null });
  });
});
