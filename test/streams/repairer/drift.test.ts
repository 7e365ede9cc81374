import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Drift, DriftRow } from '../../../streams/repairer/drift.ts';
import { findDrift } from '../../../streams/repairer/drift.ts';
import { guid } from '../../support/memory-directory.ts';
import { passed, SECOND, started, type World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function driftOf(world: World, settings = {}): Promise<Drift> {
  const doNotTouch = { users: [], businessUnits: [], values: [] };
  const all = { parkingAccounts: world.parkingAccounts, doNotTouch, oneStep: false, writeNames: false, ...settings };
  const found = findDrift(world.ce.client(), await world.log.look(), all);
  await passed(SECOND);
  return await found;
}

const row = ({ rows }: Drift, user: number): DriftRow | undefined => rows.find(({ systemuserid }) => systemuserid === guid('record', user));

/** Renamed without anybody repairing it. */
async function behind(users = 3): Promise<World> {
  const world = await started({ users });
  world.kill();
  return world;
}

describe('drift', () => {
  test('is nothing where every record shows the name of its account, in either form', async () => {
    const world = await behind();
    world.directory.set(guid('account', 2), { userPrincipalName: 'two@example.test' });
    world.publish();
    world.ce.get(guid('record', 2)).domainname = 'Two@example.test';
    world.ce.get(guid('record', 1)).domainname = 'corp\\USER1';
    expect(await driftOf(world)).toMatchObject({ records: 5, inStep: 4, others: 1, rows: [] });
  });

  test('tells of a linked record what would be done, and since when', async () => {
    const world = await behind();
    world.rename(1, 'ann');
    world.rename(2, 'bob');
    world.log.origins.set(guid('account', 1), {
      sAMAccountName: { version: 2, time: '2026-01-02T03:04:05.000Z', invocationId: guid('database', 1), usn: '7' },
    });
    const drift = await driftOf(world);
    expect(row(drift, 1)).toMatchObject({
      userName: 'CORP\\user1',
      should: 'CORP\\ann',
      since: '2026-01-02T03:04:05.000Z',
      action: 'repair',
      reason: null,
      objectGUID: guid('account', 1),
    });
    expect(row(drift, 2)).toMatchObject({ action: 'repair', since: null });
    expect(drift.rows).toHaveLength(2);
    expect(row(drift, 1)?.message).toBeNull();
    expect(row(await driftOf(world, { writeNames: true }), 1)?.message).toBe('with last name Person 1');
  });

  test('tells why nothing would be done', async () => {
    const world = await behind(4);
    for (const [user, name] of [
      [1, 'ann'],
      [2, 'bob'],
      [3, 'cid'],
      [4, 'dan'],
    ] as const)
      world.rename(user, name);
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\ann', isdisabled: true, objectGUID: undefined });
    world.ce.get(guid('record', 3)).domainname = 'CORP\\svc';
    world.ce.get(guid('record', 4)).domainname = 'CORP\\ns-park-1';
    const drift = await driftOf(world, { doNotTouch: { users: ['CORP\\user2'], businessUnits: [], values: [] } });
    expect(row(drift, 1)).toMatchObject({ action: 'none', reason: 'held-by-another-record', message: expect.stringContaining('disabled') });
    expect(row(drift, 2)).toMatchObject({ action: 'none', reason: 'do-not-touch' });
    expect(row(drift, 3)).toMatchObject({ action: 'none', reason: 'changed-by-hand' });
    expect(row(drift, 4)).toMatchObject({ action: 'repair', reason: 'parked', should: 'CORP\\dan' });
  });

  test('shows what a repair waits for, and what needs a person', async () => {
    const world = await started();
    world.ce.lag();
    world.rename(1, 'ann');
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'CORP\\bob', objectGUID: undefined });
    world.rename(2, 'bob');
    await passed(10 * SECOND);
    world.kill();
    const drift = await driftOf(world);
    expect(row(drift, 1)).toMatchObject({ action: 'repair', reason: 'parked', message: expect.stringContaining('ns-park') });
    expect(row(drift, 2)).toMatchObject({ action: 'none', reason: 'held-by-another-record' });
  });

  test('suggests an account for a record that matches none, with its evidence and how sure it is', async () => {
    const world = await behind(2);
    world.rename(2, 'taken');
    const [ann, bob, twin, heir] = ['ann', 'bob', 'twin', 'heir'].map(
      (name) =>
        world.directory.create({ sAMAccountName: name, profile: { mail: `${name}@example.test`, givenName: name, sn: 'Lee' } }) ?? '',
    );
    world.directory.set(twin ?? '', { givenName: 'bob' });
    world.publish();
    world.directory.rename(heir ?? '', 'heir2');
    world.publish();
    const broken = (number: number, name: string, more: object) =>
      world.ce.add({ systemuserid: guid('record', number), domainname: `CORP\\${name}`, objectGUID: undefined, ...more });
    broken(50, 'old-ann', { internalemailaddress: 'ANN@example.test', firstname: 'Ann', lastname: 'Lee' });
    broken(51, 'old-bob', { firstname: 'Bob', lastname: 'Lee' });
    broken(52, 'heir', {});
    broken(53, 'nobody', { internalemailaddress: 'user1@example.test' });
    const drift = await driftOf(world);
    const suggestions = (number: number) => row(drift, number)?.suggestions;
    expect(suggestions(50)).toEqual([{ objectGUID: ann, account: 'CORP\\ann', evidence: ['email', 'names'], confidence: 'high' }]);
    expect(suggestions(51)).toMatchObject([
      { objectGUID: bob, confidence: 'low' },
      { objectGUID: twin, confidence: 'low' },
    ]);
    expect(suggestions(52)).toMatchObject([{ objectGUID: heir, account: 'CORP\\heir2', evidence: ['former-name'], confidence: 'high' }]);
    expect(row(drift, 53)).toMatchObject({ action: 'link', reason: 'unmatched', suggestions: [] });
  });

  test('leaves out what is no business of the domains that are listened to', async () => {
    const world = await behind(1);
    world.ce.add({ systemuserid: guid('record', 50), domainname: 'OTHER\\ann', objectGUID: undefined });
    world.ce.add({ systemuserid: guid('record', 51), domainname: 'ann@elsewhere.test', objectGUID: undefined });
    world.directory.delete(guid('account', 1));
    world.publish();
    expect(await driftOf(world)).toMatchObject({ inStep: 1, others: 4, rows: [] });
  });
});
