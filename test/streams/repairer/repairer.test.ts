import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FencedError, LogError } from '../../../streams/change-log.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { isNaming, isParking, MINUTE, once, passed, reportsOf, SECOND, started, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('one repair', () => {
  test('SPEC rule 6: two writes, each after it is in the journal, and no question in between', async () => {
    const world = await started();
    const before = world.ce.calls.length;
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.ce.calls.slice(before).map(({ operation }) => operation)).toEqual(['find', 'set', 'set']);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\ann']);
    expect(world.journal(1)).toEqual(['repairing', 'repaired']);
    expect(world.repair(1)).toMatchObject({ from: 'CORP\\user1', to: 'CORP\\ann', parkingAccount: null, sequence: 1 });
    expect(world.repair(1)?.times.parked).toBeDefined();
    expect(world.log.links.at(-1)).toMatchObject({ systemuserid: guid('record', 1), domainname: 'CORP\\ann' });
    expect(reportsOf(world, 'repair').map(({ repair }) => repair.state)).toEqual(['repairing', 'repaired']);
    world.expectRight();
  });

  test('SPEC rule 6: nothing is written where the names agree: another case, or renamed there and back', async () => {
    const world = await started();
    world.rename(1, 'USER1');
    world.rename(2, 'x');
    world.rename(2, 'user2');
    await passed(SECOND);
    expect(world.ce.writes).toEqual([]);
    expect([world.journal(1), world.journal(2)]).toEqual([['unneeded names-agree'], ['unneeded names-agree']]);
  });

  test('SPEC rule 6: renamed again before anything is written: only the last name is', async () => {
    const world = await started();
    once(world, 'transient', isParking);
    world.rename(1, 'first');
    await passed(20);
    world.rename(1, 'second');
    await passed(MINUTE);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\second']);
    world.expectRight();
  });

  test('SPEC rule 6: renamed again while it is parked: the name in between is never written', async () => {
    const world = await started();
    once(world, 'transient', isNaming);
    world.rename(1, 'first');
    await passed(20);
    expect(world.shown(1)).toBe('CORP\\ns-park-1');
    world.rename(1, 'second');
    await passed(MINUTE);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\second']);
    world.expectRight();
  });

  test("SPEC rule 8: named, renamed again, and the name taken over before the answer came: it was no stranger's hand", async () => {
    const world = await started({ parking: 1 });
    world.rename(1, 'first');
    await passed(4);
    world.directory.rename(guid('account', 1), 'second');
    world.directory.rename(guid('account', 2), 'first');
    world.publish();
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'repaired', to: 'CORP\\second' });
    world.expectRight();
  });

  test.each([
    ['park', isParking],
    ['name', isNaming],
  ] as const)('SPEC rule 8: the answer to the write that should %s is lost: asked, not repeated', async (_, isLost) => {
    const world = await started();
    once(world, 'lost', isLost);
    world.rename(1, 'ann');
    await passed(MINUTE);
    expect(world.ce.calls.filter(({ operation }) => operation === 'set').length).toBe(2);
    expect(world.repair(1)?.state).toBe('repaired');
    world.expectRight();
  });

  test('SPEC rule 8: an answer that shows another name than was written is no success, and not repeated without pause', async () => {
    const world = await started();
    const client = world.ce.client.bind(world.ce);
    world.kill();
    world.ce.client = () => ({ ...client(), setDomainName: async () => ({ domainname: 'CORP\\something', person: undefined }) });
    world.start();
    await passed(50);
    world.rename(1, 'ann');
    const before = world.ce.calls.length;
    await passed(10 * MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'unavailable' });
    expect(world.ce.calls.length - before).toBeLessThan(30);
  });

  test('SPEC rule 7: killed between the two writes: goes on with the second', async () => {
    const world = await started();
    world.ce.fate = (call) => (isNaming(call) ? new Promise(() => {}) : 'ok');
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\ns-park-1');
    world.kill();
    world.ce.fate = () => 'ok';
    world.start();
    await passed(SECOND);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\ann']);
    expect(reportsOf(world, 'repairing').at(-1)?.parking.refused).toEqual([]);
    world.expectRight();
  });

  test('SPEC rule 7: killed with one record parked and another waiting: the waiting one does not take the account at the start', async () => {
    const world = await started({ parking: 1 });
    world.ce.fate = ({ operation, systemuserid }) => (systemuserid === guid('record', 1) && operation !== 'all' ? 'transient' : 'ok');
    world.rename(1, 'n1');
    await passed(SECOND);
    world.ce.fate = (call) => (call.systemuserid === guid('record', 1) || isNaming(call) ? 'transient' : 'ok');
    world.rename(2, 'n2');
    await passed(SECOND);
    expect(world.shown(2)).toBe('CORP\\ns-park-1');
    world.kill();
    await passed(MINUTE);
    world.ce.fate = () => 'ok';
    world.start();
    await passed(2 * SECOND);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\n2', 'CORP\\ns-park-1', 'CORP\\n1']);
    world.expectRight();
  });

  test('SPEC rule 1: an event that comes again after its repair ended is no second repair', async () => {
    const world = await started();
    world.rename(1, 'ann');
    await passed(SECOND);
    world.log.acknowledged = 0;
    world.kill();
    world.start();
    await passed(SECOND);
    expect(world.journal(1)).toEqual(['repairing', 'repaired']);
    expect(world.log.acknowledged).toBe(1);
  });
});

describe('several repairs', () => {
  test('SPEC rule 7: a swap needs one parking account and four writes, and never parks both', async () => {
    const world = await started({ parking: 3 });
    let most = 0;
    world.ce.onWrite = () => {
      most = Math.max(most, world.ce.records.filter(({ domainname }) => world.isParked(domainname)).length);
    };
    world.swap(1, 2);
    await passed(SECOND);
    expect(world.ce.writes.length).toBe(4);
    expect(most).toBeLessThanOrEqual(1);
    world.expectRight();
  });

  test('SPEC rule 7: people whose names have nothing to do with each other are repaired side by side', async () => {
    const world = await started({ users: 8, parking: 4 });
    let most = 0;
    world.ce.onWrite = () => {
      most = Math.max(most, world.ce.records.filter(({ domainname }) => world.isParked(domainname)).length);
    };
    for (let i = 1; i <= 8; i++) world.rename(i, `n${i}`);
    await passed(SECOND);
    expect(most).toBeGreaterThan(1);
    world.expectRight();
  });

  test.each([0, 2, 4, 6, 8, 10, 12, 14])(
    'SPEC rule 7: a name that changes hands again while it is written (after %i ms) holds up nobody for long',
    async (milliseconds) => {
      const world = await started({ users: 5, parking: 2 });
      const cycle = (...users: number[]) => {
        const [first = 0, ...others] = users;
        for (const other of others) world.directory.swap(guid('account', first), guid('account', other));
        world.publish();
      };
      cycle(4, 5, 1, 2);
      await passed(milliseconds);
      cycle(1, 2, 3, 4);
      await passed(30 * SECOND);
      world.expectRight();
    },
  );

  test('a name that went from hand to hand is not given while a record of any of those is parked', async () => {
    const world = await started();
    world.rename(1, 'x');
    await passed(MINUTE);
    expect(world.shown(1)).toBe('CORP\\x');
    world.ce.lag({ user1: guid('account', 1) });
    world.rename(1, 'y');
    await passed(SECOND);
    expect(world.isParked(world.shown(1))).toBe(true);
    world.rename(2, 'user1');
    world.rename(2, 'user2');
    world.rename(3, 'user1');
    await passed(MINUTE);
    expect(world.repair(3)).toMatchObject({ state: 'waiting', reason: 'names-exchanged' });
    world.ce.catchUp();
    await passed(20 * MINUTE);
    world.expectRight();
  });

  test('no record is parked while a name that its account had is about to be given to another one', async () => {
    const world = await started();
    world.rename(1, 'x');
    await passed(MINUTE);
    world.ce.fate = (call) => (isNaming(call) && call.systemuserid === guid('record', 3) ? 'transient' : 'ok');
    world.rename(2, 'user1');
    world.rename(2, 'user2');
    world.rename(3, 'user1');
    await passed(SECOND);
    expect(world.isParked(world.shown(3))).toBe(true);
    world.ce.lag({ user1: guid('account', 1) });
    world.rename(1, 'y');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\x');
    world.ce.fate = () => 'ok';
    world.ce.catchUp();
    await passed(20 * MINUTE);
    world.expectRight();
  });

  test('a name that the server does not know yet blocks one person and delays nobody', async () => {
    const world = await started({ users: 12, parking: 2 });
    world.ce.lag();
    world.rename(1, 'new1');
    await passed(SECOND);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'not-in-directory-yet' });
    world.ce.catchUp();
    world.ce.fate = ({ operation, systemuserid }) =>
      operation === 'set' && systemuserid === guid('record', 1) ? 'not-in-directory' : 'ok';
    for (let i = 2; i <= 12; i++) world.rename(i, `n${i}`);
    await passed(900);
    expect(world.log.openRepairs().map(({ systemuserid }) => systemuserid)).toEqual([guid('record', 1)]);
    world.ce.fate = () => 'ok';
    await passed(10 * MINUTE);
    world.expectRight();
  });

  test('requests about one person that are never answered delay nobody', async () => {
    const world = await started({ users: 12, parking: 2 });
    world.ce.fate = ({ systemuserid }) => (systemuserid === guid('record', 1) ? new Promise(() => {}) : 'ok');
    for (let i = 1; i <= 12; i++) world.rename(i, `n${i}`);
    await passed(SECOND);
    expect(world.log.openRepairs().map(({ systemuserid }) => systemuserid)).toEqual([guid('record', 1)]);
    expect(world.log.acknowledged).toBe(12);
  });

  test('with every parking account in use the others wait without asking, and go on one by one as soon as they can', async () => {
    const world = await started({ users: 12, parking: 1 });
    world.ce.fate = (call) => (isNaming(call) && call.systemuserid === guid('record', 1) ? 'transient' : 'ok');
    world.rename(1, 'n1');
    await passed(MINUTE);
    for (let i = 2; i <= 12; i++) world.rename(i, `n${i}`);
    const before = world.ce.calls.length;
    await passed(10 * SECOND);
    expect(world.log.openRepairs().filter(({ reason }) => reason === 'no-parking-account-free').length).toBe(11);
    expect(world.ce.calls.slice(before).filter(({ systemuserid }) => systemuserid !== guid('record', 1))).toEqual([]);
    world.ce.fate = () => 'ok';
    while (world.repair(1)?.state !== 'repaired') await passed(10);
    await passed(200);
    expect(world.log.openRepairs()).toEqual([]);
    world.expectRight();
  });

  test('SPEC rule 10: refused credentials stop everything, so that not each person counts towards a lock-out', async () => {
    const world = await started({ users: 12, parking: 3 });
    world.ce.fate = () => 'credentials';
    for (let i = 1; i <= 12; i++) world.rename(i, `n${i}`);
    const before = world.ce.calls.length;
    await passed(30 * MINUTE);
    expect(world.ce.calls.length - before).toBeLessThan(25);
    expect(world.log.openRepairs().length).toBe(12);
    expect(world.log.acknowledged).toBe(12);
    world.ce.fate = () => 'ok';
    await passed(20 * MINUTE);
    world.expectRight();
  });

  test('SPEC rule 10: what is under way side by side when the credentials are refused is one refusal', async () => {
    const world = await started({ users: 8, parking: 8 });
    world.ce.latency = 20;
    world.ce.fate = () => 'credentials';
    for (let i = 1; i <= 8; i++) world.rename(i, `n${i}`);
    await passed(SECOND);
    world.ce.fate = () => 'ok';
    await passed(MINUTE);
    world.expectRight();
  });

  test('a server that fails in one way and then in another is asked less and less often', async () => {
    const world = await started();
    let finds = 0;
    world.ce.fate = ({ operation }) => (operation === 'set' ? 'unknown-outcome' : finds++ % 2 === 0 ? 'ok' : 'transient');
    world.rename(1, 'ann');
    await passed(5 * MINUTE);
    const before = world.ce.calls.length;
    await passed(5 * MINUTE);
    expect(world.ce.calls.length - before).toBeLessThan(30);
  });

  test('one record that the service may not write blocks nobody else', async () => {
    const world = await started({ users: 4, parking: 1 });
    world.ce.fate = ({ operation, systemuserid }) => (operation === 'set' && systemuserid === guid('record', 1) ? 'privilege' : 'ok');
    for (let i = 1; i <= 4; i++) world.rename(i, `n${i}`);
    await passed(SECOND);
    expect(world.log.openRepairs()).toMatchObject([{ systemuserid: guid('record', 1), reason: 'privilege-missing', parkingAccount: null }]);
  });
});

describe('what a person must decide', () => {
  const reasonOf = async (settings: (world: World) => void, wait = MINUTE) => {
    const world = await started();
    settings(world);
    await passed(wait);
    return world;
  };

  test('SPEC rule 6: another record shows the name and is linked to nobody: nothing is written', async () => {
    const world = await reasonOf((world) => {
      world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ann', isdisabled: true, objectGUID: undefined });
      world.rename(1, 'ann');
    });
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'held-by-another-record', parkingAccount: null });
    expect(world.repair(1)?.message).toContain('disabled');
  });

  test("SPEC rule 7: a record that shows the name of its deleted account is in nobody's way", async () => {
    const world = await reasonOf((world) => {
      world.directory.delete(guid('account', 2));
      world.rename(1, 'user2');
    });
    expect(world.repair(1)?.state).toBe('repaired');
    expect(world.ce.get(guid('record', 1)).objectGUID).toBe(guid('account', 1));
  });

  test('SPEC rule 7: the account is mapped to another record, unseen: tried for a while, then said so, with the account it is on', async () => {
    const world = await reasonOf((world) => {
      const other = world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\old-name' });
      world.ce.get(guid('record', 1)).objectGUID = undefined;
      other.objectGUID = guid('account', 1);
      world.rename(1, 'ann');
    });
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'held-by-another-record', parkingAccount: 'CORP\\ns-park-1' });
    world.ce.get(guid('record', 50)).objectGUID = undefined;
    world.rename(1, 'anna');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\anna');
  });

  test.each([
    ['own record', (world: World) => world.directory.rename(world.directory.holder('svc') ?? '', 'svc2'), 90, 'own-record'],
    ['given to another account', (world: World) => setName(world, 'CORP\\user2'), 1, 'changed-by-hand'],
    ['given to an account of another domain', (world: World) => setName(world, 'NEWDOM\\user1'), 1, 'changed-by-hand'],
    ['given a name outside the domain', (world: World) => setName(world, 'ann@example.test'), 1, 'changed-by-hand'],
    ['made a special user', (world: World) => Object.assign(world.ce.get(guid('record', 1)), { special: true }), 1, 'special-user'],
    ['gone', (world: World) => world.ce.records.splice(0, 1), 1, 'record-missing'],
    ['the account deleted', (world: World) => world.directory.delete(guid('account', 1)), 1, 'account-deleted'],
  ] as const)('SPEC rule 6: %s: nothing is written', async (what, happen, number, reason) => {
    const world = await reasonOf((world) => {
      world.directory.rename(guid('account', 1), 'ann');
      if (what === 'the account deleted') world.publish();
      happen(world);
      world.publish();
    });
    expect(world.ce.writes.filter(({ systemuserid }) => systemuserid === guid('record', number))).toEqual([]);
    expect(world.repair(number)?.reason).toBe(reason);
    expect(world.breaches).toEqual([]);
  });

  function setName(world: World, domainname: string): void {
    world.ce.get(guid('record', 1)).domainname = domainname;
  }

  test('SPEC rule 7: refused for an unknown reason, twice, or for an hour where it is parked: says where the record is', async () => {
    const parking = await started();
    parking.ce.fate = (call) => (isParking(call) ? 'refused' : 'ok');
    parking.rename(1, 'ann');
    await passed(MINUTE);
    expect(parking.repair(1)).toMatchObject({ state: 'needs-person', reason: 'refused', parkingAccount: null });
    const naming = await started();
    naming.ce.fate = (call) => (isNaming(call) ? 'refused' : 'ok');
    naming.rename(1, 'ann');
    await passed(90 * MINUTE);
    expect(naming.repair(1)).toMatchObject({ state: 'needs-person', reason: 'refused', parkingAccount: 'CORP\\ns-park-1' });
    naming.ce.fate = () => 'ok';
    for (const [user, name] of [
      [2, 'n2'],
      [3, 'n3'],
    ] as const) {
      naming.rename(user, name);
    }
    await passed(SECOND);
    expect([naming.shown(2), naming.shown(3)]).toEqual(['CORP\\n2', 'CORP\\n3']);
  });

  test.each(['held', 'refused'] as const)(
    'SPEC rule 7: a long outage leaves a name that is %s once as many tries as ever',
    async (fate) => {
      const world = await started();
      let tries = 0;
      world.ce.fate = (call) => {
        if (!isNaming(call)) return 'ok';
        tries += 1;
        return tries <= 6 ? 'transient' : tries === 7 ? fate : 'ok';
      };
      world.rename(1, 'ann');
      await passed(5 * MINUTE);
      world.expectRight();
    },
  );

  test('SPEC rule 7: deleted while it is parked: needs a person; brought back: goes on by itself', async () => {
    const world = await started();
    once(world, 'transient', isNaming);
    world.rename(1, 'ann');
    await passed(20);
    world.directory.delete(guid('account', 1));
    world.publish();
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'account-deleted', parkingAccount: 'CORP\\ns-park-1' });
    world.kill();
    world.start();
    await passed(SECOND);
    world.directory.restore(guid('account', 1), 'ann2');
    world.publish();
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\ann2');
    world.expectRight();
  });
});

describe('two accounts with one name', () => {
  test('SPEC rule 6: nothing is written until a person has renamed one of them, and then what is right', async () => {
    const world = await started();
    const twin = new MemoryDirectory({ number: 2 });
    twin.replicateFrom(world.directory);
    world.rename(1, 'both');
    await passed(SECOND);
    twin.rename(guid('account', 2), 'both');
    world.directory.replicateFrom(twin);
    world.publish();
    await passed(MINUTE);
    expect(world.journal(2)).toEqual(['needs-person name-shared']);
    expect(world.shown(2)).toBe('CORP\\user2');
    world.rename(1, 'other');
    await passed(MINUTE);
    expect(world.shown(2)).toBe('CORP\\both');
    world.expectRight();
  });
});

describe('starting and stopping', () => {
  test('SPEC rule 4: nothing is asked or written before a listener has read the directory', async () => {
    const world = new World();
    const positions = [...world.log.positions];
    world.log.positions.clear();
    world.start();
    await passed(MINUTE);
    expect(world.ce.calls).toEqual([]);
    for (const [key, position] of positions) world.log.positions.set(key, position);
    await passed(SECOND);
    expect(reportsOf(world, 'repairing').length).toBe(1);
    const waiting = new World();
    waiting.log.positions.clear();
    waiting.start();
    await passed(MINUTE);
    waiting.stop();
    await passed(SECOND);
    expect([waiting.outcome, waiting.log.closed]).toEqual(['completed', 1]);
  });

  test('SPEC rule 7: stopped: what is parked gets its name, nothing else is begun, and no timer stays', async () => {
    const world = await started({ users: 12, parking: 2 });
    for (let i = 1; i <= 12; i++) world.rename(i, `n${i}`);
    while (!world.ce.records.some(({ domainname }) => world.isParked(domainname))) await passed(1);
    world.stop();
    await passed(SECOND);
    expect(world.outcome).toBe('completed');
    expect(world.ce.records.filter(({ domainname }) => world.isParked(domainname))).toEqual([]);
    expect(world.ce.writes.length).toBeLessThanOrEqual(4);
    expect(world.log.closed).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
    world.start();
    await passed(SECOND);
    world.expectRight();
  });

  test.each(['before it began', 'while it waits for Customer Engagement', 'while repairs wait', 'when idle'])(
    'stopped %s: completes and leaves no timer',
    async (when) => {
      const world = new World();
      if (when === 'while it waits for Customer Engagement') world.ce.fate = () => 'credentials';
      if (when === 'before it began') {
        world.start();
        world.stop();
      } else {
        world.start();
      }
      await passed(50);
      if (when === 'while repairs wait') {
        world.ce.fate = () => 'transient';
        world.rename(1, 'ann');
        await passed(10 * SECOND);
      }
      world.stop();
      await passed(SECOND);
      expect(world.outcome).toBe('completed');
      expect(world.log.closed).toBe(world.log.opened);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test('stopped while a request is on its way that fails: completes once it has, and leaves no timer', async () => {
    const world = await started();
    world.ce.fate = () => new Promise((resolve) => setTimeout(() => resolve('transient'), SECOND));
    world.rename(1, 'ann');
    await passed(100);
    world.stop();
    await passed(500);
    expect(world.outcome).toBe('running');
    await passed(405);
    expect(world.outcome).toBe('completed');
    expect(vi.getTimerCount()).toBe(0);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'unavailable' });
    expect(world.log.acknowledged).toBe(1);
  });

  test('SPEC rule 2: a lost log is closed once what is in flight has ended, opened anew, and nothing is done twice at once', async () => {
    const world = await started({ users: 6, parking: 2 });
    const gate = Promise.withResolvers<'ok'>();
    world.ce.fate = (call) => (isParking(call) ? gate.promise : 'ok');
    for (let i = 1; i <= 6; i++) world.rename(i, `n${i}`);
    await passed(SECOND);
    world.log.lost.abort(new LogError('the lease is lost'));
    await passed(MINUTE);
    expect([world.log.opened, world.log.closed]).toEqual([1, 0]);
    gate.resolve('ok');
    await passed(MINUTE);
    expect([world.log.opened, world.log.closed]).toEqual([2, 1]);
    world.expectRight();
  });

  test('SPEC rule 7: stopped while it is not certain who has the lease: ends soon, and nothing is written after the stop', async () => {
    const world = await started();
    world.log.interference = {
      before: (operation) => (operation === 'confirm' ? new Promise((resolve) => setTimeout(resolve, 20 * SECOND)) : undefined),
    };
    world.rename(1, 'ann');
    await passed(SECOND);
    world.stop();
    await passed(2 * SECOND);
    expect(world.outcome).toBe('completed');
    await passed(MINUTE);
    expect(world.ce.writes).toEqual([]);
  });

  test('SPEC rule 7: another repairer took over: nothing is written any more, and it stands by', async () => {
    const world = await started();
    world.ce.fate = (call) => (isParking(call) ? new Promise((resolve) => setTimeout(() => resolve('ok'), SECOND)) : 'ok');
    world.rename(1, 'ann');
    await passed(100);
    world.log.interference = { before: (operation) => (operation === 'openRepairer' ? new Promise(() => {}) : undefined) };
    world.log.lost.abort(new FencedError('another has it'));
    await passed(MINUTE);
    expect(world.reports.at(-1)).toMatchObject({ type: 'waiting', error: { message: 'another has it' } });
    expect(world.outcome).toBe('running');
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1']);
    expect(world.log.closed).toBe(1);
  });

  test.each([1, 2])('SPEC rule 7: a lease that is lost right before write %i: it is left to whoever opens the log next', async (nth) => {
    const world = await started();
    let asked = 0;
    world.log.interference = {
      before: (operation) => {
        if (operation === 'confirm' && ++asked === nth) throw new LogError('the lease was lost');
      },
    };
    world.rename(1, 'ann');
    await passed(100);
    expect(world.ce.writes).toHaveLength(nth - 1);
    await passed(MINUTE);
    expect(world.log.opened).toBe(2);
    expect(world.ce.writes.map(({ to }) => to)).toEqual(['CORP\\ns-park-1', 'CORP\\ann']);
    world.expectRight();
  });

  test('a log that can be opened and refuses every record is tried with growing delays', async () => {
    const world = await started();
    world.log.interference = {
      before: (operation) => {
        if (operation === 'record') throw new LogError('disk full');
      },
    };
    world.rename(1, 'ann');
    await passed(20 * MINUTE);
    expect(world.log.opened).toBeLessThan(40);
    expect(world.ce.writes).toEqual([]);
    world.log.interference = {};
    await passed(2 * MINUTE);
    world.expectRight();
  });

  test('Customer Engagement out of reach at the start, and while a record is looked for: waited out, each report with its error', async () => {
    const world = new World();
    world.ce.fate = () => 'transient';
    world.start();
    await passed(MINUTE);
    world.ce.fate = () => 'ok';
    await passed(MINUTE);
    expect(reportsOf(world, 'repairing').length).toBe(1);
    world.directory.create({ sAMAccountName: 'late' });
    world.publish();
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\late' });
    world.ce.fate = () => 'transient';
    world.rename(7, 'later');
    await passed(MINUTE);
    expect(world.log.acknowledged).toBe(1);
    world.ce.fate = () => 'ok';
    await passed(2 * MINUTE);
    expect(world.shown(50)).toBe('CORP\\later');
    expect(reportsOf(world, 'waiting').every(({ on }) => on === 'contoso')).toBe(true);
  });
});

describe('a server that takes names from the account', () => {
  const before = { firstname: 'Tim', lastname: 'Lee', internalemailaddress: 'tim@corp.test' };

  async function taking(taken: Partial<typeof before>): Promise<World> {
    const world = await started({ users: 1 });
    Object.assign(world.ce.get(guid('record', 1)), before);
    world.ce.onWrite = (record, name) => {
      if (/park/.test(name)) Object.assign(record, taken);
    };
    return world;
  }

  const names = (world: World) => {
    const { firstname, lastname, internalemailaddress } = world.ce.get(guid('record', 1));
    return { firstname, lastname, internalemailaddress };
  };

  test('what it took or emptied is put back, and the outcome says so', async () => {
    const world = await taking({ firstname: '', lastname: 'Person 1', internalemailaddress: '' });
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(names(world)).toEqual(before);
    expect(world.repair(1)).toMatchObject({
      state: 'repaired',
      message: expect.stringContaining('changed firstname, lastname, internalemailaddress'),
      person: null,
    });
    world.expectRight();
  });

  test('what a person wrote meanwhile stays', async () => {
    const world = await taking({ firstname: 'Timothy' });
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(names(world)).toEqual({ ...before, firstname: 'Timothy' });
    expect(world.repair(1)).toMatchObject({ state: 'repaired', message: null });
  });

  test('also by the one who goes on after the repairer was killed, whenever that was', async () => {
    for (let after = 0; after < 12; after++) {
      const world = await taking({ firstname: '', internalemailaddress: '' });
      world.rename(1, 'ann');
      await passed(after);
      world.kill();
      world.start();
      await passed(MINUTE);
      expect(names(world)).toEqual(before);
      world.expectRight();
      world.kill();
    }
  });

  test('and where that does not come about at once', async () => {
    const world = await taking({ firstname: '' });
    once(world, 'lost', ({ operation }) => operation === 'set-columns');
    world.rename(1, 'ann');
    await passed(MINUTE);
    expect(names(world)).toEqual(before);
    world.expectRight();
    const again = await taking({ firstname: '' });
    once(again, 'transient', ({ operation }) => operation === 'set-columns');
    again.rename(1, 'ann');
    await passed(MINUTE);
    expect(names(again)).toEqual(before);
  });
});
