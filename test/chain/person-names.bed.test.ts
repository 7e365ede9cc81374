import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { namesake } from '../support/chain-cli.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe.each(ENGINES)('who gets another last name and another user name together, on %s', (engine) => {
  it('has both in the record after two requests, where the settings say so, and the e-mail address as it was', async () => {
    await using stage = await Stage.prepare(bed, engine, { env: { NAMESAKE_ORGANIZATIONS_0_WRITE_NAMES: 'true' } });
    const person = bed.directory.people[ENGINES.indexOf(engine)]?.sAMAccountName ?? '';
    await stage.start();
    const before = await stage.record(person);
    const account = await stage.admin.find(person);
    const news = { sAMAccountName: `${person}.new`, sn: 'Stone', mail: `${person}.stone@corp.example.test` };
    await stage.admin.set(account?.objectGUID ?? '', news);
    await stage.canLogOn(news.sAMAccountName);
    const { firstname, internalemailaddress } = before;
    expect(await stage.record(person)).toMatchObject({
      firstname,
      lastname: 'Stone',
      fullname: `${firstname} Stone`,
      internalemailaddress,
    });
    const writes = (await stage.control.requests()).filter(({ method, path }) => method === 'PATCH' && path.includes(before.systemuserid));
    expect(writes.map(({ body }) => Object.keys(JSON.parse(body ?? '{}')))).toEqual([['domainname'], ['domainname', 'lastname']]);
    expect(await stage.control.defects()).toEqual([]);
    expect(await stage.repairOf(person)).toMatchObject({ state: 'repaired', names: { lastname: 'Stone' } });
    const { stdout } = await namesake(['repairs', '--config', stage.product.configFile]);
    expect(stdout).toMatch(/repaired .*\n {2}with last name Stone\n/);
    const report = JSON.parse((await namesake(['report', '--json', '--config', stage.product.configFile])).stdout);
    expect(report).toMatchObject({ repaired: 1, parkedNow: { people: 0, since: null }, parked: { times: 1, longest: expect.any(Number) } });
    expect(report.parked.longest).toBeLessThan(10_000);
  });

  it('cannot be set while these attributes are not watched', async () => {
    await using stage = await Stage.prepare(bed, engine);
    const flags = ['--organizations.0.writeNames=true', '--listener.attributes=mail'];
    const { code, stderr } = await namesake(['config', '--config', stage.product.configFile, ...flags]);
    expect(code).toBe(3);
    expect(stderr).toContain('organizations.0.writeNames: expected givenName and sn among listener.attributes');
  });
});
