import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { configurationOf } from '../../infra/testbed/namesake.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, users: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const domainName = (sAMAccountName: string) => `${bed.directory.netbios}\\${sAMAccountName}`;
/** Of pino. */
const ERROR = 50;
const SQUATTER = '99999999-0000-4000-8000-00000000000';

/** A record that holds a parking account of the bed. */
async function squat(stage: Stage, account: string): Promise<string> {
  const systemuserid = SQUATTER + account.at(-1);
  await stage.control.addRecords([{ systemuserid, fullname: 'Squatter', domainname: account }]);
  return systemuserid;
}

async function prepare(parkingAccounts: readonly string[]): Promise<Stage> {
  const { organizations } = configurationOf({ bed, path: bed.path, engine: 'sqlite' }) as { organizations: object[] };
  return await Stage.prepare(bed, 'sqlite', { settings: { organizations: organizations.map((each) => ({ ...each, parkingAccounts })) } });
}

describe('parking accounts (rule 7)', () => {
  it('one that does not exist, a person, one with a record, one that a record holds: each refused with its reason, the others used', async () => {
    const [first = '', second = '', third = ''] = bed.directory.parkingAccounts;
    await using stage = await prepare([domainName('ns-park-99'), domainName('bokafor'), domainName('svc-namesake'), first, second, third]);
    await squat(stage, first);
    await stage.start();
    const told = (await stage.product.lines()).filter(({ level, msg }) => level === ERROR && msg.includes('is not used'));
    expect(told.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/ns-park-99 is not used: there is no such account/),
      expect.stringMatching(/bokafor is not used: it looks like a person/),
      expect.stringMatching(/svc-namesake is not used: .*record/),
      expect.stringMatching(/ns-park-01 is not used: the record of Squatter \([0-9-]+\) holds it/),
    ]);
    await Promise.all([1, 2, 3, 4].map((number) => stage.rename(`user0000${number}`, `parked-${number}`)));
    for (const number of [1, 2, 3, 4]) await stage.canLogOn(`parked-${number}`);
    const used = (await stage.control.requests()).flatMap(({ body }) => /ns-park-\d+|bokafor|svc/.exec(body ?? '')?.[0] ?? []);
    expect(used.filter((account) => !['ns-park-02', 'ns-park-03'].includes(account))).toEqual([]);
    expect(await stage.control.defects()).toEqual([]);
  });

  it('none that can be used: told as an error, the listener goes on, and so does the repairer once there is one', async () => {
    const seventh = bed.directory.parkingAccounts[6] ?? '';
    await using stage = await prepare([domainName('ns-park-99'), domainName('bokafor'), seventh]);
    const squatter = await squat(stage, seventh);
    await stage.product.start();
    const told = await stage.says(/there is no parking account that can be used.*ns-park-99.*bokafor.*ns-park-07/);
    expect(told.level).toBe(ERROR);
    await stage.rename('user00007', 'parked-7');
    await stage.says(/^renamed .*parked-7/);
    expect((await stage.control.requests()).filter(({ method }) => method === 'PATCH')).toEqual([]);
    await stage.admin.create({ sAMAccountName: 'spare' });
    await stage.giveName(squatter, domainName('spare'));
    await stage.canLogOn('parked-7', 60_000);
  });

  it('one that a record takes while the product runs: another one serves', async () => {
    const [, , , fourth = '', fifth = ''] = bed.directory.parkingAccounts;
    await using stage = await prepare([fourth, fifth]);
    await stage.start();
    await squat(stage, fourth);
    await stage.rename('user00005', 'parked-5');
    await stage.canLogOn('parked-5');
  });

  it('the only one, taken while the product runs: the repair waits, visibly, and goes on once it is free', async () => {
    const sixth = bed.directory.parkingAccounts[5] ?? '';
    await using stage = await prepare([sixth]);
    await stage.start();
    const squatter = await squat(stage, sixth);
    await stage.rename('user00006', 'parked-6');
    await until('status shows it', async () =>
      (await stage.status()).repairs.some(({ state, reason }) => state === 'waiting' && reason === 'no-parking-account-free'),
    );
    await stage.giveName(squatter, domainName('ns-park-08'));
    await stage.canLogOn('parked-6', 90_000);
  });
});
