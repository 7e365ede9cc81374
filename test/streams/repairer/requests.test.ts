import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RepairRequest } from '../../../streams/repair-request.ts';
import { guid } from '../../support/memory-directory.ts';
import { MINUTE, passed, SECOND, started, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

let asked = 0;

/** What is answered within two seconds. */
async function ask(world: World, kind: RepairRequest['kind'], user: number, more: Partial<RepairRequest> = {}) {
  const id = `request ${++asked}`;
  const request = { id, kind, organization: 'contoso', systemuserid: guid('record', user), time: new Date().toISOString(), ...more };
  await world.log.requestRepair(request);
  await passed(2 * SECOND);
  const answer = await world.log.answer('contoso', guid('record', user));
  return answer?.id === id ? answer : undefined;
}

/** Its name belongs to nobody, as after a rename before anything was installed. */
function broken(world: World, number: number, objectGUID: string, more = {}): void {
  world.ce.add({ systemuserid: guid('record', number), domainname: `CORP\\long-gone-${number}`, objectGUID, ...more });
}

describe('what people ask of a repairer', () => {
  test('retry: who needed a person is looked at again', async () => {
    const world = await started();
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ann', objectGUID: undefined });
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.repair(1)).toMatchObject({ state: 'needs-person', reason: 'held-by-another-record' });
    world.ce.get(guid('record', 50)).domainname = 'CORP\\somebody';
    expect(await ask(world, 'retry', 1)).toMatchObject({ done: true });
    expect(world.shown(1)).toBe('CORP\\ann');
    world.expectRight();
  });

  test('retry: who waits is looked at at once', async () => {
    const world = await started();
    world.ce.lag();
    world.rename(1, 'ann');
    await passed(20 * MINUTE);
    world.ce.catchUp();
    expect(await ask(world, 'retry', 1)).toMatchObject({ done: true });
    expect(world.shown(1)).toBe('CORP\\ann');
  });

  test('retry: a name whose former account is on no other record is not waited for any longer', async () => {
    const world = new World();
    world.settings = { recreated: 'repair' };
    world.start();
    await passed(SECOND);
    world.ce.onSend = () => {};
    world.directory.delete(guid('account', 1));
    world.publish();
    const anew = world.directory.create({ sAMAccountName: 'user1' });
    world.publish();
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'not-in-directory-yet' });
    expect(world.ce.writes).toEqual([]);
    expect(await ask(world, 'retry', 1)).toMatchObject({ done: true });
    expect(world.ce.get(guid('record', 1))).toMatchObject({ objectGUID: anew, domainname: 'CORP\\user1' });
  });

  test('retry: a name that changed hands is waited for as long as before', async () => {
    const world = await started();
    world.ce.lag();
    world.directory.swap(guid('account', 1), guid('account', 2));
    world.publish();
    await passed(20 * MINUTE);
    for (const user of [1, 2]) await ask(world, 'retry', user);
    await passed(20 * MINUTE);
    expect([1, 2].map((user) => world.repair(user)?.state)).not.toContain('needs-person');
    world.ce.catchUp();
    await passed(20 * MINUTE);
    world.expectRight();
  });

  test('retry with remap: a record that shows the right name and is mapped to another account', async () => {
    const world = await started();
    world.ce.get(guid('record', 1)).objectGUID = guid('account', 77);
    world.ce.onSend = () => {};
    expect(await ask(world, 'retry', 1)).toMatchObject({ done: true });
    expect(world.ce.writes).toEqual([]);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'names-agree' });
    expect(await ask(world, 'retry', 1, { remap: true })).toMatchObject({ done: true });
    expect(world.ce.get(guid('record', 1)).objectGUID).toBe(guid('account', 1));
    expect(world.repair(1)).toMatchObject({ state: 'repaired' });
  });

  test('skip: not while the record is on its parking account, and not what there is not', async () => {
    const world = await started();
    world.ce.lag();
    world.rename(1, 'ann');
    await passed(MINUTE);
    world.ce.fate = () => 'transient';
    expect(world.repair(1)).toMatchObject({ state: 'waiting' });
    const answer = await ask(world, 'skip', 1);
    // It has to be finished.
    expect(answer).toMatchObject({ done: false, message: expect.stringContaining('parking account') });
    expect(await ask(world, 'skip', 2)).toMatchObject({ done: false, message: 'it has no repair' });
  });

  test('skip: a repair that needs a person, or waits in front of its parking account, ends', async () => {
    const world = await started();
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ann', objectGUID: undefined });
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(await ask(world, 'skip', 1)).toMatchObject({ done: true });
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'skipped' });
    world.ce.fate = ({ operation }) => (operation === 'set' ? 'transient' : 'ok');
    world.rename(2, 'bob');
    // By then the next try is far away.
    await passed(MINUTE);
    expect(world.repair(2)).toMatchObject({ state: 'waiting', reason: 'unavailable' });
    expect(await ask(world, 'skip', 2)).toMatchObject({ done: true });
    world.ce.fate = () => 'ok';
    await passed(10 * MINUTE);
    expect(world.ce.writes).toEqual([]);
    world.rename(2, 'bobby');
    await passed(SECOND);
    expect(world.shown(2)).toBe('CORP\\bobby');
  });

  test('skip: also while something is read for the repair', async () => {
    const world = await started();
    world.ce.fate = ({ operation }) => (operation === 'set' ? 'transient' : 'ok');
    world.rename(1, 'ann');
    await passed(MINUTE);
    const reading = Promise.withResolvers<'ok'>();
    let isRead = false;
    world.ce.fate = ({ operation }) => {
      isRead ||= operation === 'find';
      return operation === 'find' ? reading.promise : 'ok';
    };
    while (!isRead) await passed(SECOND);
    expect(await ask(world, 'skip', 1)).toMatchObject({ done: true });
    world.ce.fate = () => 'ok';
    reading.resolve('ok');
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'skipped' });
    expect(world.ce.writes).toEqual([]);
    world.rename(1, 'anna');
    await passed(SECOND);
    expect(world.shown(1)).toBe('CORP\\anna');
  });

  test('link: a record that nobody could be found for is linked and repaired', async () => {
    const world = new World();
    const account = world.directory.create({ sAMAccountName: 'now' }) ?? '';
    world.publish();
    broken(world, 50, account);
    world.start();
    await passed(SECOND);
    expect(await ask(world, 'link', 50, { objectGUID: account })).toMatchObject({ done: true });
    expect(world.shown(50)).toBe('CORP\\now');
    expect(world.log.links.at(-1)).toMatchObject({ objectGUID: account, by: 'person' });
    world.expectRight();
  });

  test('link: refused where something else is true', async () => {
    const world = await started();
    broken(world, 50, guid('account', 77));
    const refusal = async (user: number, objectGUID?: string) =>
      (await ask(world, 'link', user, objectGUID ? { objectGUID } : {}))?.message;
    expect(await refusal(50, guid('account', 77))).toContain('no such account');
    expect(await refusal(50)).toContain('no such account');
    expect(await refusal(50, guid('account', 1))).toContain(guid('record', 1));
    expect(await refusal(51, guid('account', 1))).toContain('no such user record');
    expect(await refusal(90, guid('account', 1))).toContain('own record');
    expect(await refusal(91, guid('account', 1))).toContain('cannot be written');
    expect(await refusal(1, guid('account', 1))).toBe('they are linked already');
    expect(world.ce.writes).toEqual([]);
  });

  test('link: to another account than before: mapped anew, also where the name is the same', async () => {
    const world = await started();
    world.directory.delete(guid('account', 1));
    world.publish();
    const anew = world.directory.create({ sAMAccountName: 'user1' }) ?? '';
    world.publish();
    await passed(SECOND);
    world.ce.onSend = () => {};
    expect(await ask(world, 'link', 1, { objectGUID: anew })).toMatchObject({ done: true });
    expect(world.ce.get(guid('record', 1)).objectGUID).toBe(anew);
    await passed(30 * MINUTE);
    expect(world.ce.writes).toHaveLength(2);
  });

  test('unlink: it stays so, whatever names agree', async () => {
    const world = await started();
    expect(await ask(world, 'unlink', 1)).toMatchObject({ done: true });
    expect(await ask(world, 'unlink', 1)).toMatchObject({ done: false });
    await passed(30 * MINUTE);
    world.rename(1, 'ann');
    await passed(SECOND);
    expect(world.ce.writes).toEqual([]);
    expect(await ask(world, 'retry', 1)).toMatchObject({ done: false, message: expect.stringContaining('namesake link set') });
    expect(await ask(world, 'link', 1, { objectGUID: guid('account', 1) })).toMatchObject({ done: true });
    expect(world.shown(1)).toBe('CORP\\ann');
  });

  test('what Customer Engagement cannot be asked about is answered once it can', async () => {
    const world = await started();
    world.ce.fate = () => 'transient';
    expect(await ask(world, 'retry', 1)).toBeUndefined();
    world.ce.fate = () => 'ok';
    await passed(2 * SECOND);
    expect(await world.log.answer('contoso', guid('record', 1))).toMatchObject({ done: true });
  });
});

describe('evidence', () => {
  test('that the settings trust links a record, where only one account and one record have it', async () => {
    const world = new World({ users: 1 });
    world.settings = { trusted: ['email', 'names'] };
    const [ann, bob, cid] = ['ann', 'bob', 'cid'].map(
      (name) =>
        world.directory.create({ sAMAccountName: name, profile: { mail: `${name}@example.test`, givenName: name, sn: 'Lee' } }) ?? '',
    );
    world.directory.create({ sAMAccountName: 'cid2', profile: { mail: 'CID@example.test' } });
    world.publish();
    broken(world, 50, ann ?? '', { internalemailaddress: 'Ann@example.test' });
    broken(world, 51, bob ?? '', { firstname: 'Bob', lastname: 'LEE' });
    broken(world, 52, cid ?? '', { internalemailaddress: 'cid@example.test' });
    broken(world, 53, '', { firstname: 'Bob' });
    world.start();
    await passed(SECOND);
    const links = world.log.links.filter(({ by }) => by !== 'name');
    expect(links).toMatchObject([
      { objectGUID: ann, systemuserid: guid('record', 50), by: 'email' },
      { objectGUID: bob, systemuserid: guid('record', 51), by: 'names' },
    ]);
  });
});
