import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ParkingError } from '../../../streams/repairer/repairer.ts';
import { guid } from '../../support/memory-directory.ts';
import { isNaming, MINUTE, passed, reportsOf, SECOND, started, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('parking accounts', () => {
  test("SPEC rule 7: refused at the start: missing, a person's, linked, in a record; each with its reason", async () => {
    const world = new World({
      users: 2,
      configured: ['CORP\\ns-park-1', 'CORP\\missing', 'no-domain', 'CORP\\user1', 'CORP\\svc', 'corp\\NS-PARK-2'],
    });
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ns-park-2', fullname: 'Bob Ray' });
    world.start();
    await passed(SECOND);
    const [report] = reportsOf(world, 'repairing');
    expect(report?.parking.usable).toEqual(['CORP\\ns-park-1']);
    expect(Object.fromEntries((report?.parking.refused ?? []).map(({ account, why }) => [account, why]))).toEqual({
      'CORP\\missing': expect.stringContaining('no such account'),
      'no-domain': expect.stringContaining('no such account'),
      'CORP\\user1': expect.stringContaining('person'),
      'CORP\\svc': expect.stringContaining('holds it'),
      'corp\\NS-PARK-2': expect.stringContaining('Bob Ray'),
    });
  });

  test('SPEC rule 7: without one that can be used nothing is begun, and whoever set them is told', async () => {
    const world = new World({ configured: ['CORP\\missing'] });
    world.start();
    await passed(SECOND);
    const [report] = reportsOf(world, 'waiting');
    expect(report?.error).toBeInstanceOf(ParkingError);
    expect(report?.error.message).toContain('CORP\\missing');
    expect(report?.milliseconds).toBeGreaterThanOrEqual(15 * SECOND);
    expect(world.outcome).toBe('running');
    expect(world.log.closed).toBe(1);
  });

  test('SPEC rule 7: one that somebody took since, or that the server refuses, is left alone', async () => {
    const world = await started({ users: 3, parking: 3 });
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ns-park-1' });
    world.ce.add({ systemuserid: guid('record', 51), domainname: 'CORP\\hidden', objectGUID: world.directory.holder('ns-park-2') });
    world.rename(1, 'ann');
    world.rename(2, 'bob');
    await passed(SECOND);
    expect(new Set(world.ce.writes.map(({ to }) => to))).toEqual(new Set(['CORP\\ns-park-3', 'CORP\\ann', 'CORP\\bob']));
    world.expectRight();
  });

  test('SPEC rule 7: without one that can be used, a record that was left on one still gets its name; then the person is told', async () => {
    const world = await started({ parking: 1 });
    world.ce.fate = (call) => (isNaming(call) ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\ns-park-1');
    world.kill();
    const parkingAccount = world.directory.holder('ns-park-1') ?? '';
    world.directory.set(parkingAccount, { mail: 'somebody@example.test' });
    world.publish();
    world.ce.fate = () => 'ok';
    world.start();
    await passed(MINUTE);
    expect(world.shown(1)).toBe('CORP\\ann');
    expect(reportsOf(world, 'waiting').at(-1)?.error).toBeInstanceOf(ParkingError);
    world.rename(2, 'bob');
    await passed(MINUTE);
    expect(world.ce.writes.length).toBe(2);
    world.directory.set(parkingAccount, { mail: null });
    world.publish();
    await passed(20 * MINUTE);
    world.expectRight();
  });

  test('SPEC rule 7: a record that cannot leave one that is not usable any more delays nobody, once there is another', async () => {
    const world = new World({ parking: 1, configured: ['CORP\\ns-park-1', 'CORP\\ns-park-9'] });
    world.start();
    await passed(SECOND);
    world.ce.fate = (call) => (isNaming(call) && call.systemuserid === guid('record', 1) ? 'not-in-directory' : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    world.kill();
    world.directory.set(world.directory.holder('ns-park-1') ?? '', { mail: 'somebody@example.test' });
    world.publish();
    world.start();
    await passed(SECOND);
    expect(reportsOf(world, 'waiting').at(-1)?.error).toBeInstanceOf(ParkingError);
    world.rename(2, 'bob');
    await passed(SECOND);
    expect(world.repair(2)).toMatchObject({ state: 'waiting', reason: 'no-parking-account-free' });
    world.directory.create({ sAMAccountName: 'ns-park-9' });
    world.publish();
    await passed(5 * MINUTE);
    expect([world.shown(1), world.shown(2)]).toEqual(['CORP\\ns-park-1', 'CORP\\bob']);
    world.ce.fate = () => 'ok';
    await passed(10 * MINUTE);
    world.expectRight();
  });

  test('SPEC rule 7: one that a person has freed serves again', async () => {
    const world = await started({ parking: 1 });
    world.ce.fate = (call) => (isNaming(call) ? 'refused' : 'ok');
    world.rename(1, 'ann');
    await passed(90 * MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', parkingAccount: 'CORP\\ns-park-1' });
    world.ce.fate = () => 'ok';
    world.rename(2, 'bob');
    await passed(10 * SECOND);
    expect(world.repair(2)).toMatchObject({ reason: 'no-parking-account-free' });
    Object.assign(world.ce.get(guid('record', 1)), { domainname: 'CORP\\ann', objectGUID: guid('account', 1) });
    await passed(11 * MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'names-agree', parkingAccount: null });
    world.expectRight();
  });
});
