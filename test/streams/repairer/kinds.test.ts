import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { guid } from '../../support/memory-directory.ts';
import { isNaming, MINUTE, once, passed, SECOND, started, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-25T12:00:00Z') });
});
afterEach(() => {
  vi.useRealTimers();
});

const HOUR = 60 * MINUTE;

describe('records that show a UPN', () => {
  /** Its record shows the UPN of user 1. */
  async function withUpn(settings: Partial<World['settings']> = {}): Promise<World> {
    const world = new World({ users: 2 });
    world.settings = settings;
    world.directory.set(guid('account', 1), { userPrincipalName: 'user1@example.test' });
    Object.assign(world.ce.get(guid('record', 1)), { domainname: 'User1@Example.test' });
    world.publish();
    world.start();
    await passed(SECOND);
    return world;
  }

  test('are linked by it, and get the new one, in two steps where the account is on the record', async () => {
    const world = await withUpn();
    expect(world.log.links.find(({ systemuserid }) => systemuserid === guid('record', 1))?.objectGUID).toBe(guid('account', 1));
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    await passed(SECOND);
    expect(world.shown(1)).toBe('ann@example.test');
    expect(world.ce.calls.filter(({ operation }) => operation === 'set').map(({ name }) => name)).toEqual([
      'ann@example.test',
      'CORP\\ns-park-1',
      'ann@example.test',
    ]);
    expect(world.repair(1)).toMatchObject({ state: 'repaired', from: 'User1@Example.test', to: 'ann@example.test', parkingAccount: null });
    expect(world.breaches).toEqual([]);
  });

  test('get it in one step where the account is on no record, as for users of another domain', async () => {
    const world = await withUpn();
    world.ce.get(guid('record', 1)).objectGUID = undefined;
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    await passed(SECOND);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['ann@example.test']);
    expect(world.repair(1)).toMatchObject({ state: 'repaired' });
  });

  test('a lost answer of the one step is resolved by asking (SPEC rule 8)', async () => {
    const world = await withUpn();
    world.ce.get(guid('record', 1)).objectGUID = undefined;
    once(world, 'lost', isNaming);
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    await passed(5 * SECOND);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['ann@example.test']);
    expect(world.repair(1)).toMatchObject({ state: 'repaired' });
  });

  test('do not care for another sAMAccountName, nor do others for another UPN', async () => {
    const world = await withUpn();
    world.rename(1, 'ann');
    world.directory.set(guid('account', 2), { userPrincipalName: 'other@example.test' });
    world.publish();
    await passed(SECOND);
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'names-agree' });
    expect(world.repair(2)).toBeUndefined();
  });

  test('need a person when the account has none any more', async () => {
    const world = await withUpn();
    world.directory.set(guid('account', 1), { userPrincipalName: null });
    world.publish();
    await passed(SECOND);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'upn-missing' });
  });

  test('are not left on a parking account for that: there the other form of the name is theirs (SPEC rule 7)', async () => {
    const world = await withUpn();
    world.ce.fate = (call) => (isNaming(call) && call.name?.startsWith('ann@') && world.shown(1).includes('park') ? 'transient' : 'ok');
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    await passed(SECOND);
    expect(world.isParked(world.shown(1))).toBe(true);
    world.directory.set(guid('account', 1), { userPrincipalName: null });
    world.publish();
    await passed(MINUTE);
    expect(world.ce.get(guid('record', 1))).toMatchObject({ domainname: 'CORP\\user1', objectGUID: guid('account', 1) });
    expect(world.repair(1)).toMatchObject({ state: 'repaired', parkingAccount: null });
    expect(world.breaches).toEqual([]);
  });

  test('do not wait because of the name of the account', async () => {
    const world = await withUpn();
    const without = world.directory.create({ sAMAccountName: 'free' }) ?? '';
    world.publish();
    world.directory.rename(without, 'gone');
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    world.directory.rename(guid('account', 1), 'free');
    world.publish();
    await passed(MINUTE);
    expect(world.shown(1)).toBe('ann@example.test');
  });

  test('are found by the former one, unless another account has it too', async () => {
    const world = new World({ users: 2 });
    Object.assign(world.ce.get(guid('record', 1)), { domainname: 'user1@example.test' });
    world.directory.set(guid('account', 1), { userPrincipalName: 'user1@example.test' });
    world.publish();
    world.directory.set(guid('account', 1), { userPrincipalName: 'ann@example.test' });
    world.publish();
    world.start();
    await passed(SECOND);
    expect(world.shown(1)).toBe('ann@example.test');
    expect(world.breaches).toEqual([]);
  });

  test('one that a person gave the other form of its name is right', async () => {
    const world = await withUpn();
    world.ce.get(guid('record', 1)).domainname = 'CORP\\ann';
    world.rename(1, 'ann');
    await passed(MINUTE);
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'names-agree' });
  });
});

describe('an account that is deleted and made anew under its name', () => {
  function recreate(world: World): string {
    world.directory.delete(guid('account', 1));
    world.publish();
    const anew = world.directory.create({ sAMAccountName: 'user1' }) ?? '';
    world.publish();
    return anew;
  }

  test('is another account: a person has to say that it gets the record', async () => {
    const world = await started();
    recreate(world);
    await passed(MINUTE);
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'account-recreated' });
  });

  test('while its record is on a parking account: the record still is, and a person has to decide', async () => {
    const world = await started({ users: 3, parking: 1 });
    world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    const parkingAccount = world.shown(1);
    expect(world.isParked(parkingAccount)).toBe(true);
    world.directory.delete(guid('account', 1));
    world.publish();
    await passed(MINUTE);
    world.directory.create({ sAMAccountName: 'ann' });
    world.publish();
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'account-recreated', parkingAccount });
    // Once a person has taken it off, its parking account serves others.
    Object.assign(world.ce.get(guid('record', 1)), { domainname: 'CORP\\somebody', objectGUID: undefined });
    world.ce.fate = () => 'ok';
    await passed(11 * MINUTE);
    for (const user of [2, 3]) world.rename(user, `n${user}`);
    await passed(SECOND);
    expect([world.shown(2), world.shown(3)]).toEqual(['CORP\\n2', 'CORP\\n3']);
    expect(world.shown(1)).toBe('CORP\\somebody');
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'account-recreated', parkingAccount: null });
  });

  test('while an answer about its record is lost: what was written was for the former account', async () => {
    const world = new World();
    world.settings = { recreated: 'repair' };
    world.start();
    await passed(SECOND);
    world.ce.onSend = () => {};
    world.ce.fate = (call) => (isNaming(call) ? 'lost' : call.operation === 'find' && world.ce.writes.length > 1 ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.ce.get(guid('record', 1))).toMatchObject({ domainname: 'CORP\\ann', objectGUID: guid('account', 1) });
    world.directory.delete(guid('account', 1));
    const anew = world.directory.create({ sAMAccountName: 'ann' });
    world.publish();
    await passed(SECOND);
    world.ce.fate = () => 'ok';
    await passed(30 * MINUTE);
    expect(world.ce.get(guid('record', 1))).toMatchObject({ domainname: 'CORP\\ann', objectGUID: anew });
    expect(world.repair(1)).toMatchObject({ state: 'repaired' });
  });

  test('while its record is on a parking account: a server that lags behind would take the former account in silence', async () => {
    const world = new World();
    world.settings = { recreated: 'repair' };
    world.start();
    await passed(SECOND);
    world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    world.ce.lag({ ann: guid('account', 1) });
    world.directory.delete(guid('account', 1));
    const anew = world.directory.create({ sAMAccountName: 'ann' });
    world.publish();
    world.ce.fate = () => 'ok';
    await passed(10 * MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'not-in-directory-yet', parkingAccount: world.shown(1) });
    world.ce.catchUp();
    await passed(10 * MINUTE);
    expect(world.ce.get(guid('record', 1))).toMatchObject({ domainname: 'CORP\\ann', objectGUID: anew });
    expect(world.repair(1)).toMatchObject({ state: 'repaired', parkingAccount: null });
  });

  test('gets it in two steps where the settings allow, since writing the name that is shown changes nothing', async () => {
    const world = new World();
    world.settings = { recreated: 'repair', oneStep: true };
    world.start();
    await passed(SECOND);
    // The name agrees already, so this is no careless write.
    world.ce.onSend = () => {};
    const anew = recreate(world);
    await passed(14 * MINUTE);
    // A server that still takes the name for the former account would map the record to that one, in silence.
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'not-in-directory-yet' });
    await passed(6 * MINUTE);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\user1']);
    expect(world.ce.get(guid('record', 1)).objectGUID).toBe(anew);
    expect(world.log.links.findLast(({ systemuserid, denied }) => systemuserid === guid('record', 1) && !denied)?.objectGUID).toBe(anew);
    await passed(HOUR);
    expect(world.ce.writes).toHaveLength(2);
  });

  test('a name of an account without a record is not given before the server can have heard of the change, however old the repair is', async () => {
    const world = await started();
    const without = world.directory.create({ sAMAccountName: 'free' }) ?? '';
    world.publish();
    world.ce.fate = ({ operation }) => (operation === 'set' ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(14 * MINUTE);
    world.directory.rename(without, 'gone');
    world.publish();
    world.rename(1, 'free');
    world.ce.fate = () => 'ok';
    await passed(14 * MINUTE);
    expect(world.ce.writes).toEqual([]);
    await passed(6 * MINUTE);
    expect(world.shown(1)).toBe('CORP\\free');
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('whatever is interrupted, once (%i)', async (nth) => {
    const world = new World({ parking: 1 });
    world.settings = { recreated: 'repair' };
    world.start();
    await passed(SECOND);
    world.ce.onSend = () => {};
    let calls = 0;
    world.ce.fate = () => {
      if (++calls === nth) {
        world.kill();
        world.start();
      }
      return 'ok';
    };
    const anew = recreate(world);
    await passed(HOUR);
    expect(world.ce.get(guid('record', 1))).toMatchObject({ objectGUID: anew, domainname: 'CORP\\user1' });
    expect(world.repair(1)).toMatchObject({ state: 'repaired' });
  });
});

describe('what settings withhold', () => {
  test.each([
    ['a user name', { users: ['corp\\USER1'], businessUnits: [], values: [] }],
    ['a systemuserid', { users: [guid('record', 1)], businessUnits: [], values: [] }],
    ['a business unit', { users: [], businessUnits: [guid('record', 77)], values: [] }],
    ['the value of a column', { users: [], businessUnits: [], column: 'new_sync', values: ['no'] }],
  ])('is not touched, by %s', async (_, doNotTouch) => {
    const world = new World({ users: 2 });
    world.settings = { doNotTouch };
    Object.assign(world.ce.get(guid('record', 1)), { mark: 'No', businessunitid: guid('record', 77) });
    world.start();
    await passed(SECOND);
    world.rename(1, 'ann');
    world.rename(2, 'bob');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\user1');
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'do-not-touch' });
    expect(world.shown(2)).toBe('CORP\\bob');
  });

  test('who is parked is finished all the same (SPEC rule 7)', async () => {
    const world = await started();
    world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    world.kill();
    const doNotTouch = { users: ['CORP\\user1'], businessUnits: [], values: [] };
    const changeWindow = { days: ['sun' as const], from: '01:00', to: '02:00', timeZone: 'UTC' };
    world.settings = { doNotTouch, changeWindow };
    world.ce.fate = () => 'ok';
    world.start();
    await passed(MINUTE);
    expect(world.shown(1)).toBe('CORP\\ann');
  });

  test('in a dry run everything is done but the writes, and a run in earnest does them', async () => {
    const world = new World();
    world.settings = { dryRun: true };
    world.start();
    await passed(SECOND);
    world.rename(1, 'ann');
    await passed(3 * HOUR);
    expect(world.ce.calls.filter(({ operation }) => operation === 'set')).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'dry-run', message: 'would set CORP\\user1 to CORP\\ann' });
    world.kill();
    world.settings = {};
    world.start();
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\ann');
    world.expectRight();
  });

  test('outside its hours an organization waits; to the minute', async () => {
    const world = new World();
    world.settings = { changeWindow: { days: ['wed'], from: '22:00', to: '04:00', timeZone: 'Europe/Berlin' } };
    world.start();
    await passed(SECOND);
    world.rename(1, 'ann');
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'change-window' });
    // It is 12:01 in UTC, 13:01 in Berlin.
    await passed(8 * HOUR + 58 * MINUTE - 2 * SECOND);
    expect(world.shown(1)).toBe('CORP\\user1');
    await passed(2 * MINUTE);
    expect(world.shown(1)).toBe('CORP\\ann');
    world.expectRight();
  });
});
