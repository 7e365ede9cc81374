import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { guid } from '../../support/memory-directory.ts';
import { MINUTE, passed, reportsOf, SECOND, started, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('links', () => {
  const linked = (world: World) => world.log.links.map(({ objectGUID, systemuserid }) => [objectGUID.slice(-2), systemuserid.slice(-2)]);

  test('SPEC rule 6: learned while names agree; not for special users, parking accounts, foreign names, nor where two records show one name', async () => {
    const world = new World({ users: 3 });
    world.ce.get(guid('record', 1)).domainname = 'corp\\USER1';
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\user2', isdisabled: true, objectGUID: undefined });
    Object.assign(world.ce.get(guid('record', 3)), { special: true });
    world.ce.add({ systemuserid: guid('record', 51), domainname: 'ann@example.test' });
    world.ce.add({ systemuserid: guid('record', 52), domainname: 'OTHER\\user3' });
    world.start();
    await passed(SECOND);
    expect(linked(world)).toEqual([
      ['01', '01'],
      ['06', '90'],
    ]);
    expect(reportsOf(world, 'linked')).toMatchObject([{ links: 2 }]);
  });

  test('SPEC rule 6: a link stays when the names are re-used, and new users are linked from time to time', async () => {
    const world = await started({ users: 2 });
    world.ce.fate = () => 'transient';
    world.swap(1, 2);
    world.directory.create({ sAMAccountName: 'new' });
    world.publish();
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\new' });
    const before = world.log.links.length;
    world.ce.fate = ({ operation }) => (operation === 'all' ? 'ok' : 'transient');
    await passed(11 * MINUTE);
    expect(linked(world).slice(before)).toEqual([['06', '50']]);
  });

  test('SPEC rule 6: renamed before the link was learned: found by the former name', async () => {
    const world = await started();
    world.directory.create({ sAMAccountName: 'late' });
    world.publish();
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\late' });
    world.rename(7, 'later');
    await passed(SECOND);
    expect(world.shown(50)).toBe('CORP\\later');
    world.expectRight();
  });

  test('SPEC rule 6: renamed twice while no repairer was there: found by any of the names', async () => {
    const world = new World();
    world.rename(1, 'first');
    world.rename(1, 'second');
    world.start();
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\second');
    world.expectRight();
  });

  test.each([
    ['two records show the former name', (world: World) => world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\user1' })],
    ['the record is special', (world: World) => Object.assign(world.ce.get(guid('record', 1)), { special: true })],
  ])('SPEC rule 6: not linked by the former name when %s', async (_, happen) => {
    const world = new World({ users: 2 });
    world.rename(1, 'ann');
    happen(world);
    world.start();
    await passed(SECOND);
    expect(world.log.links.filter(({ objectGUID }) => objectGUID === guid('account', 1))).toEqual([]);
    expect(reportsOf(world, 'not-a-user').map(({ event }) => event.objectGUID)).toContain(guid('account', 1));
    expect(world.ce.get(guid('record', 1)).domainname).toBe('CORP\\user1');
  });

  test('SPEC rule 6: several repairs find the same record at once: only one gets it', async () => {
    const world = new World({ users: 1 });
    world.rename(1, 'ann');
    world.rename(1, 'bob');
    world.log.interference = {
      before: (operation) => (operation === 'record' ? new Promise((resolve) => setTimeout(resolve, 5)) : undefined),
    };
    world.start();
    await passed(SECOND);
    expect(linked(world).filter(([, record]) => record === '01')).toEqual([
      ['01', '01'],
      ['01', '01'],
    ]);
    expect(world.shown(1)).toBe('CORP\\bob');
  });

  /** A person without a link: a record that came after the last look. */
  function newcomer(world: World): string {
    const xena = world.directory.create({ sAMAccountName: 'xena' });
    if (xena === undefined) throw new Error('the name is in use');
    world.publish();
    world.ce.add({ systemuserid: guid('record', 60), domainname: 'CORP\\xena' });
    return xena;
  }

  /** Somebody new gets the name, and later another one. */
  async function reuse(world: World, otherName = 'yolanda'): Promise<void> {
    const other = world.directory.create({ sAMAccountName: 'xena' }) ?? '';
    world.publish();
    await passed(11 * MINUTE);
    world.directory.rename(other, otherName);
    world.publish();
    await passed(MINUTE);
  }

  test.each([
    ['renamed', (world: World, xena: string) => world.directory.rename(xena, 'xena2')],
    ['deleted', (world: World, xena: string) => world.directory.delete(xena)],
  ])('SPEC rule 6: an account without a link is %s and another one gets its name: the record is given to neither', async (_, happen) => {
    const world = await started();
    happen(world, newcomer(world));
    await reuse(world);
    expect(linked(world).filter(([, record]) => record === '60')).toEqual([]);
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(60)).toMatchObject({ state: 'needs-person', reason: 'link-uncertain', from: 'CORP\\xena' });
  });

  test('SPEC rule 6: the same while no repairer was there', async () => {
    const world = new World();
    world.directory.rename(newcomer(world), 'xena2');
    const other = world.directory.create({ sAMAccountName: 'xena' });
    world.publish();
    world.start();
    await passed(11 * MINUTE);
    expect(other).toBeDefined();
    expect(linked(world).filter(([, record]) => record === '60')).toEqual([]);
    expect(world.repair(60)).toMatchObject({ reason: 'link-uncertain', to: 'CORP\\xena2' });
  });

  test('SPEC rule 6: such a record is left alone while a person repairs it by hand, by way of a parking account', async () => {
    const world = await started();
    world.directory.rename(newcomer(world), 'xena2');
    await reuse(world);
    world.ce.get(guid('record', 60)).domainname = 'CORP\\ns-park-1';
    await passed(11 * MINUTE);
    world.kill();
    world.start();
    await passed(11 * MINUTE);
    expect(world.ce.writes).toEqual([]);
    expect(reportsOf(world, 'repairing').at(-1)?.parking.usable).toEqual(['CORP\\ns-park-2']);
  });

  test('SPEC rule 6: whoever of the two is renamed next is told of as well', async () => {
    const world = await started();
    world.directory.rename(newcomer(world), 'xena2');
    await reuse(world, 'yolanda');
    expect(world.journal(60)).toEqual(['needs-person link-uncertain', 'needs-person link-uncertain']);
    expect(world.repair(60)).toMatchObject({ from: 'CORP\\xena', to: 'CORP\\yolanda' });
    expect(reportsOf(world, 'not-a-user')).toEqual([]);
  });

  test('SPEC rule 6: renamed twice: what counts is the name that the record shows', async () => {
    const world = new World();
    const xena = newcomer(world);
    for (const name of ['xena2', 'xena3']) {
      world.directory.rename(xena, name);
      world.publish();
    }
    world.directory.create({ sAMAccountName: 'xena' });
    world.publish();
    world.start();
    await passed(SECOND);
    expect(world.repair(60)).toMatchObject({ reason: 'link-uncertain', from: 'CORP\\xena', to: 'CORP\\xena3' });
  });

  test('SPEC rule 6: whoever has a record of its own and takes the name makes nothing uncertain', async () => {
    const world = await started();
    const xena = newcomer(world);
    world.directory.rename(xena, 'xena2');
    world.directory.rename(guid('account', 1), 'xena');
    world.publish();
    await passed(MINUTE);
    expect([world.ce.get(guid('record', 60)).domainname, world.shown(1)]).toEqual(['CORP\\xena2', 'CORP\\xena']);
    world.expectRight();
  });

  test('SPEC rule 6: once a person has given such a record a name of one account, it is linked', async () => {
    const world = await started();
    world.directory.rename(newcomer(world), 'xena2');
    await reuse(world);
    world.ce.get(guid('record', 60)).domainname = 'CORP\\xena2';
    await passed(11 * MINUTE);
    expect(linked(world).at(-1)).toEqual(['07', '60']);
  });

  test('SPEC rule 6: a name that an account with a record of its own had before is no obstacle', async () => {
    const world = await started();
    world.rename(1, 'ann');
    await passed(SECOND);
    world.directory.create({ sAMAccountName: 'user1' });
    world.publish();
    world.ce.add({ systemuserid: guid('record', 60), domainname: 'CORP\\user1' });
    await passed(11 * MINUTE);
    expect(linked(world).at(-1)).toEqual(['07', '60']);
  });

  test('SPEC rule 9: a search that the way to the server refuses is tried again; a name that the server will not look for is nobody\u2019s', async () => {
    const world = await started();
    newcomer(world);
    world.ce.fate = ({ operation }) => (operation === 'find' ? 'transient' : 'ok');
    world.directory.rename(world.directory.holder('xena') ?? '', 'xena2');
    world.publish();
    await passed(SECOND);
    world.ce.fate = () => 'ok';
    await passed(MINUTE);
    expect(world.ce.get(guid('record', 60)).domainname).toBe('CORP\\xena2');
  });
});
