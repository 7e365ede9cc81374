import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { DriftRow } from '../../streams/repairer/drift.ts';
import { namesake } from '../support/chain-cli.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, brokers: 1, users: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const domainName = (sAMAccountName: string) => `${bed.directory.netbios}\\${sAMAccountName}`;

/** What a person types, and what it prints. */
async function run(stage: Stage, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await namesake([...args, '--config', stage.product.configFile]);
  expect([code, stderr], `${args.join(' ')}: ${stderr}`).toEqual([0, '']);
  return stdout;
}

async function drift(stage: Stage): Promise<DriftRow[]> {
  return JSON.parse(await run(stage, 'drift', '--json')) as DriftRow[];
}

describe.each(ENGINES)('people who were broken before anything was installed, log on %s', (engine) => {
  it('are found, suggested, linked and repaired; others are repaired at a word', async () => {
    await using stage = await Stage.prepare(bed, engine);
    const person = `lost-${randomUUID().slice(0, 8)}`;
    const attributes = { givenName: 'Lotte', sn: person, mail: `${person}@corp.example.test` };
    const { objectGUID: account } = await stage.admin.create({ sAMAccountName: person, attributes });
    const systemuserid = randomUUID();
    const fullname = `Lotte ${person}`;
    const columns = { firstname: 'Lotte', lastname: person, internalemailaddress: `${person}@corp.example.test` };
    await stage.control.addRecords([
      { systemuserid, fullname, ...columns, domainname: domainName(`was-${person}`), heldAccount: domainName(person) },
    ]);
    await stage.start();
    const [row] = (await drift(stage)).filter((one) => one.systemuserid === systemuserid);
    expect(row).toMatchObject({ action: 'link', reason: 'unmatched', userName: domainName(`was-${person}`) });
    expect(row?.suggestions).toMatchObject([
      { objectGUID: account, account: domainName(person), evidence: ['email', 'names'], confidence: 'high' },
    ]);
    expect(await run(stage, 'drift', '--csv')).toContain(`${domainName(person)} (high: email, names)`);
    expect(await run(stage, 'drift', '--repair', '--user', domainName(`was-${person}`))).toContain('0 to be repaired, 1 that cannot be');
    expect(await run(stage, 'link', 'set', domainName(`was-${person}`), domainName(person))).toMatch(/they are linked.*\n.*repaired/);
    await stage.canLogOn(person);
    expect(await drift(stage)).toEqual([]);
    expect(await run(stage, 'link', 'list')).toMatch(new RegExp(`${systemuserid}.*${person}.*person`));

    // Somebody's hand, and nobody told the repairer.
    await stage.giveName(systemuserid, domainName('ns-park-08'));
    expect(await drift(stage)).toMatchObject([{ systemuserid, action: 'repair', reason: 'parked', should: domainName(person) }]);
    expect(await run(stage, 'drift', '--repair', '--dry-run')).toContain('would be repaired');
    expect(await run(stage, 'drift', '--repair')).toContain('1 of 1 repaired');
    await stage.canLogOn(person);
    expect(await run(stage, 'link', 'remove', systemuserid)).toContain('linked to no account any more');
    expect(await run(stage, 'repairs')).toContain(systemuserid);
    expect(await stage.control.defects()).toEqual([]);
  });

  it('what needs a person says why and what to do, and is tried again or ended at a word', async () => {
    await using stage = await Stage.prepare(bed, engine);
    const holder = randomUUID();
    const [user, name] = engine === 'kafka' ? ['user00001', 'wanted-k'] : ['user00002', 'wanted-s'];
    await stage.start();
    await stage.control.addRecords([{ systemuserid: holder, fullname: 'Holder', domainname: domainName(name) }]);
    await stage.rename(user, name);
    await stage.says(/needs a person \(held-by-another-record/);
    const open = await run(stage, 'repairs', '--open');
    expect(open).toMatch(/needs-person \(held-by-another-record\)/);
    expect(open).toContain('what to do: give the other record its right user name, then namesake retry');
    const refused = await namesake(['skip', 'nobody', '--config', stage.product.configFile]);
    expect([refused.code, refused.stdout, refused.stderr]).toEqual([
      1,
      '',
      expect.stringContaining('No repair has that systemuserid or name'),
    ]);
    // Its own account's, as the advice says, so that the record is right for whoever comes next.
    await stage.admin.create({ sAMAccountName: `holder-${engine}` });
    await stage.giveName(holder, domainName(`holder-${engine}`));
    expect(await run(stage, 'retry', domainName(name))).toMatch(/repaired/);
    await stage.canLogOn(name);
    expect(await run(stage, 'repairs', '--open')).toBe('none\n');
    const misspelled = await namesake(['repairs', '--organization', 'misspelled', '--config', stage.product.configFile]);
    expect(misspelled.stderr).toMatch(/There is no organization misspelled; there is contoso/);
  });
});

describe('a dry run', () => {
  it('records what would be written, writes nothing, and a run in earnest does it', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await using dry = await stage.another({ command: 'repair' });
    await using listener = await stage.another({ command: 'listen' });
    await listener.start();
    const result = namesake(['repair', '--dry-run', '--config', dry.configFile], { within: 10_000 });
    await stage.says(/read everything/, { product: listener });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await stage.rename('user00003', 'dry-run');
    const { stdout } = await result;
    expect(stdout).toMatch(/would set [^ ]+user00003 to [^ ]+dry-run/);
    expect((await stage.control.requests()).filter(({ method }) => method === 'PATCH')).toEqual([]);
    await listener.stop();
    await stage.start();
    await stage.canLogOn('dry-run');
  });
});
