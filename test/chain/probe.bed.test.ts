import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { ProbeReport } from '../../src/cli/probe-report.ts';
import { namesake } from '../support/chain-cli.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 10 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe.each(ENGINES)('a probe, on %s', (engine) => {
  it('SPEC rules 6 and 7: writes only while no repairer is at work, puts back, and leaves the repairer where it was', async () => {
    const user = engine === 'kafka' ? 'user00001' : 'user00002';
    await using stage = await Stage.prepare(bed, engine);
    const args = [
      'probe',
      '--user',
      `${bed.directory.netbios}\\${user}`,
      '--write',
      '--yes',
      '--json',
      '--config',
      stage.product.configFile,
    ];
    await stage.start();
    const before = await stage.record(user);
    const refused = await namesake(args, { within: 60_000 });
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toContain('a repairer is at work for contoso: stop it');
    await stage.product.stop();
    await stage.control.clear();
    const probed = await namesake(args, { within: 60_000 });
    expect(probed.stderr).not.toMatch(/Error/);
    const report = JSON.parse(probed.stdout) as ProbeReport;
    expect([probed.code, report.putBack, report.problems]).toEqual([0, 'put back', []]);
    const answered = report.findings.filter(({ verdict }) => verdict === 'confirmed').map(({ number }) => number);
    expect(answered).toEqual(expect.arrayContaining(['A1', 'A3', 'A5', 'A9']));
    expect(report.findings.filter(({ verdict }) => verdict === 'refuted')).toEqual([]);
    expect(await stage.record(user)).toMatchObject({ domainname: before.domainname, objectGUID: before.objectGUID });
    expect(await stage.control.defects()).toEqual([]);
    expect(await stage.repairOf(user)).toMatchObject({ state: 'unneeded', reason: 'names-agree', parkingAccount: null });
    await stage.start();
    await stage.rename(user, `renamed-${engine}`);
    await stage.canLogOn(`renamed-${engine}`);
  });
});
