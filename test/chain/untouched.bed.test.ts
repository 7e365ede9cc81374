import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ShownRecord } from '../../infra/customer-engagement/control-client.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { LISTENER } from '../../infra/testbed/content.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, users: 60, linked: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** Records that nobody may write, each with an account of its own. */
const SPECIAL = {
  'app.user': { applicationid: '11111111-2222-4333-8444-555555555555' },
  'support.user': { accessmode: 3 },
  'delegated.admin': { accessmode: 5 },
  'setup.user': { setupuser: true },
  'integration.user': { isintegrationuser: true },
} as const;

describe('records that are never written (rule 6)', () => {
  it('special users, application users, people without a record, and whoever only changed the case of a name', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    for (const sAMAccountName of Object.keys(SPECIAL)) await stage.admin.create({ sAMAccountName });
    await stage.control.addRecords(
      Object.entries(SPECIAL).map(([name, marks]) => ({
        systemuserid: CustomerEngagement.idOf(name),
        fullname: name,
        domainname: `${bed.directory.netbios}\\${name}`,
        ...marks,
      })),
    );
    await stage.start();
    const before = await stage.control.records();
    for (const name of [...Object.keys(SPECIAL), 'user00050']) await stage.rename(name, `${name}.2`);
    await stage.rename('user00001', 'USER00001');
    const disabled = await stage.admin.find('user00002');
    await stage.admin.disable(disabled?.objectGUID ?? '');
    await stage.admin.set(disabled?.objectGUID ?? '', { userPrincipalName: 'other@corp.example.test', displayName: 'Other' });
    // Whatever is done about those before is done before this one.
    await stage.rename('user00003', 'user00003.2');
    await stage.canLogOn('user00003.2');
    await stage.says(/^disabled /);
    const written = (await stage.control.requests()).filter(({ method }) => method === 'PATCH').map(({ path }) => path);
    expect(written.filter((path) => !path.includes(CustomerEngagement.idOf('user00003')))).toEqual([]);
    expect(withoutPerson(await stage.control.records())).toEqual(withoutPerson(before));
    expect(await stage.control.defects()).toEqual([]);

    function withoutPerson(records: readonly ShownRecord[]): ShownRecord[] {
      return records.filter(({ systemuserid }) => systemuserid !== CustomerEngagement.idOf('user00003'));
    }
  });

  it("the service's own record: a person is needed", async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await stage.start();
    await stage.rename(LISTENER, `${LISTENER}-2`);
    const repair = await until('status tells of it', async () => {
      const { repairs } = await stage.status();
      return repairs.find(({ state }) => state === 'needs-person');
    });
    expect([repair.reason, repair.systemuserid]).toEqual(['own-record', CustomerEngagement.idOf(LISTENER)]);
    await stage.rename(`${LISTENER}-2`, LISTENER);
    expect((await stage.control.requests()).filter(({ method }) => method === 'PATCH')).toEqual([]);
    expect(await stage.control.defects()).toEqual([]);
  });

  it('a record that somebody gave to another account by hand, and one whose new name another record shows', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await stage.start();
    // user00041 and user00042 have no records; the stand-in is written as an administrator would.
    await stage.giveName(CustomerEngagement.idOf('user00004'), domainName('user00041'));
    const stranger = CustomerEngagement.idOf('stranger');
    await stage.control.addRecords([{ systemuserid: stranger, fullname: 'Stranger', domainname: domainName('user00042') }]);
    await stage.admin.delete((await stage.admin.find('user00042'))?.objectGUID ?? '');
    await stage.control.clear();
    await stage.rename('user00004', 'user00004.2');
    await stage.rename('user00005', 'user00042');
    const reasons = await until('both need a person', async () => {
      const found = [await stage.repairOf('user00004'), await stage.repairOf('user00005')];
      return found.every((repair) => repair?.state === 'needs-person') && found.map((repair) => repair?.reason);
    });
    expect(reasons).toEqual(['changed-by-hand', 'held-by-another-record']);
    expect((await stage.control.requests()).filter(({ method }) => method === 'PATCH')).toEqual([]);
  });

  it('a disabled record is repaired like any other: its old name would be in the way of whoever gets it', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await stage.start();
    const left = bed.directory.people.at(-1)?.sAMAccountName ?? '';
    await stage.rename(left, `${left}.2`);
    await until('the record has its name', async () => (await stage.record(left)).domainname === domainName(`${left}.2`));
    expect((await stage.record(left)).isdisabled).toBe(true);
  });

  it('an account that is deleted while its record is parked: a person is needed, and nobody else gets that parking account', async () => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await stage.start();
    const path = `systemusers\\(${CustomerEngagement.idOf('user00006')}\\)`;
    await stage.control.setFaults([{ match: { method: 'PATCH', path, nth: 2, times: 1_000 }, fault: { kind: 'html', status: 503 } }]);
    const { objectGUID = '' } = (await stage.admin.find('user00006')) ?? {};
    await stage.admin.rename(objectGUID, 'user00006.2');
    await until('the record is parked', async () => (await stage.record('user00006')).domainname.includes('ns-park'));
    await stage.admin.delete(objectGUID);
    await until('a person is needed', async () => (await stage.repairOf('user00006'))?.state === 'needs-person');
    const repair = await stage.repairOf('user00006');
    const parked = (await stage.record('user00006')).domainname;
    expect([repair?.reason, repair?.parkingAccount]).toEqual(['account-deleted', parked]);
    await stage.rename('user00007', 'user00007.2');
    await stage.canLogOn('user00007.2');
    await until('the repair has ended', async () => (await stage.repairOf('user00007'))?.state === 'repaired');
    const parkedOn = (await stage.control.requests()).filter(({ body }) => body?.includes('ns-park')).map(({ body }) => body);
    expect(parkedOn.filter((body) => body?.includes(parked.split('\\')[1] ?? ''))).toHaveLength(1);
    expect(await stage.control.defects()).toEqual([]);
  });
});

const domainName = (sAMAccountName: string) => `${bed.directory.netbios}\\${sAMAccountName}`;
