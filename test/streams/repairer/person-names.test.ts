import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PersonNames } from '../../../streams/customer-engagement.ts';
import { CustomerEngagementError } from '../../../streams/customer-engagement.ts';
import { guid } from '../../support/memory-directory.ts';
import { isNaming, MINUTE, once, passed, SECOND, World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Of user 1, in the directory. */
const PERSON = { givenName: 'Ann', sn: 'Stone' };

/** The record of user 1 says Ann Lee, the directory Ann Stone. */
async function marriage(settings: Partial<World['settings']> = { writeNames: true }): Promise<World> {
  const world = new World();
  world.settings = settings;
  world.directory.set(guid('account', 1), PERSON);
  world.publish();
  Object.assign(world.ce.get(guid('record', 1)), { firstname: 'Ann', lastname: 'Lee' });
  world.start();
  await passed(50);
  return world;
}

const written = (world: World) => world.ce.calls.filter(({ operation }) => operation === 'set').map(({ name, names }) => [name, names]);
const names = (world: World): PersonNames => {
  const { firstname, lastname } = world.ce.get(guid('record', 1));
  return { firstname, lastname };
};

test('nothing but the user name is written, unless the settings say so', async () => {
  const world = await marriage({});
  world.rename(1, 'astone');
  await passed(SECOND);
  expect(written(world)).toEqual([
    ['CORP\\ns-park-1', undefined],
    ['CORP\\astone', undefined],
  ]);
  expect(world.repair(1)).toMatchObject({ state: 'repaired', message: null });
  expect(world.repair(1)?.names).toBeUndefined();
});

test('the name that differs is written with the second step, and the journal tells it before and after', async () => {
  const world = await marriage();
  world.rename(1, 'astone');
  await passed(SECOND);
  expect(written(world)).toEqual([
    ['CORP\\ns-park-1', undefined],
    ['CORP\\astone', { lastname: 'Stone' }],
  ]);
  const journal = world.log.history.filter(({ systemuserid }) => systemuserid === guid('record', 1));
  expect(journal.map(({ state, names }) => [state, names])).toEqual([
    ['repairing', { lastname: 'Stone' }],
    ['repaired', { lastname: 'Stone' }],
  ]);
  world.expectRight();
});

test.each([
  ['nothing where both agree', { firstname: 'Ann', lastname: 'Stone' }, {}, undefined],
  ['both where both differ', { firstname: '', lastname: 'Lee' }, {}, { firstname: 'Ann', lastname: 'Stone' }],
  ['another case too', { firstname: 'ann', lastname: 'Stone' }, {}, { firstname: 'Ann' }],
  ['nothing for what the account does not have', { firstname: 'Ann', lastname: 'Lee' }, { sn: null }, undefined],
  ['64 characters', { firstname: 'Ann', lastname: 'Lee' }, { sn: 'x'.repeat(64) }, { lastname: 'x'.repeat(64) }],
])('%s', async (_, record, profile, expected) => {
  const world = await marriage();
  Object.assign(world.ce.get(guid('record', 1)), record);
  world.directory.set(guid('account', 1), profile);
  world.rename(1, 'astone');
  await passed(SECOND);
  expect(written(world).at(-1)).toEqual(['CORP\\astone', expected]);
  expect(world.repair(1)).toMatchObject({ state: 'repaired', message: null });
});

test('what is too long for its column is left out, never cut, and that is told', async () => {
  const world = await marriage();
  world.directory.set(guid('account', 1), { givenName: 'Anna', sn: 'x'.repeat(65) });
  world.rename(1, 'astone');
  await passed(SECOND);
  expect(names(world)).toEqual({ firstname: 'Anna', lastname: 'Lee' });
  expect(world.repair(1)).toMatchObject({
    state: 'repaired',
    message: 'the last name (sn) has 65 characters and lastname takes 64: it was left as it is',
  });
});

test('other names without another user name are no reason to write', async () => {
  const world = await marriage();
  world.directory.set(guid('account', 1), { givenName: 'Anna' });
  world.publish();
  await passed(MINUTE);
  expect(written(world)).toEqual([]);
  expect(world.repair(1)).toBeUndefined();
});

test('a dry run says what would be written', async () => {
  const world = await marriage({ writeNames: true, dryRun: true });
  world.rename(1, 'astone');
  await passed(SECOND);
  expect(written(world)).toEqual([]);
  expect(world.repair(1)?.message).toBe('would set CORP\\user1 to CORP\\astone with last name Stone');
});

test('one step takes them along as well', async () => {
  const world = new World();
  world.settings = { writeNames: true };
  world.directory.set(guid('account', 1), { ...PERSON, userPrincipalName: 'alee@example.test' });
  world.publish();
  Object.assign(world.ce.get(guid('record', 1)), { domainname: 'alee@example.test', lastname: 'Lee', objectGUID: undefined });
  world.start();
  await passed(50);
  world.directory.set(guid('account', 1), { userPrincipalName: 'astone@example.test' });
  world.publish();
  await passed(SECOND);
  expect(written(world)).toEqual([['astone@example.test', { firstname: 'Ann', lastname: 'Stone' }]]);
});

describe('whatever goes wrong', () => {
  test('killed between the two steps: they are written all the same, as they are by then', async () => {
    const world = await marriage();
    world.ce.fate = (call) => (isNaming(call) ? new Promise(() => {}) : 'ok');
    world.rename(1, 'astone');
    await passed(SECOND);
    expect(world.isParked(world.shown(1))).toBe(true);
    world.kill();
    world.directory.set(guid('account', 1), { givenName: 'Anna' });
    world.publish();
    world.ce.fate = () => 'ok';
    world.start();
    await passed(SECOND);
    expect(names(world)).toEqual({ firstname: 'Anna', lastname: 'Stone' });
    expect(world.repair(1)).toMatchObject({ state: 'repaired', names: { firstname: 'Anna', lastname: 'Stone' } });
    world.expectRight();
  });

  test('SPEC rule 8: a lost answer is resolved by asking, and not written again', async () => {
    const world = await marriage();
    once(world, 'lost', isNaming);
    world.rename(1, 'astone');
    await passed(MINUTE);
    expect(written(world)).toHaveLength(2);
    expect(names(world)).toEqual({ firstname: 'Ann', lastname: 'Stone' });
    expect(world.repair(1)).toMatchObject({ state: 'repaired', names: { lastname: 'Stone' } });
  });

  test.each(['refused', 'privilege'] as const)(
    'SPEC rule 7: names that the server will not have (%s) leave nobody on a parking account',
    async (failure) => {
      const world = await marriage();
      world.ce.fate = ({ names: sent }) => (sent === undefined ? 'ok' : failure);
      world.rename(1, 'astone');
      await passed(SECOND);
      expect(world.shown(1)).toBe('CORP\\astone');
      expect(names(world)).toEqual({ firstname: 'Ann', lastname: 'Lee' });
      expect(world.repair(1)).toMatchObject({
        state: 'repaired',
        message: expect.stringMatching(/^first and last name were left as they are.*contoso: /),
      });
      expect(written(world)).toHaveLength(3);
      world.expectRight();
    },
  );

  test('SPEC rule 7: nor does a server that fails on them each time; failing once says nothing', async () => {
    for (const [times, expected] of [
      [1, 'Stone'],
      [Number.POSITIVE_INFINITY, 'Lee'],
    ] as const) {
      const world = await marriage();
      const client = world.ce.client.bind(world.ce);
      world.kill();
      let failures = 0;
      world.ce.client = () => {
        const ce = client();
        return {
          ...ce,
          setDomainName: async (id, name, more) => {
            if (more?.names === undefined || ++failures > times) return await ce.setDomainName(id, name, more);
            throw new CustomerEngagementError('unknown-outcome', 'contoso: an unexpected error occurred', { status: 500 });
          },
        };
      };
      world.start();
      await passed(50);
      world.rename(1, 'astone');
      await passed(MINUTE);
      expect([world.shown(1), names(world).lastname]).toEqual(['CORP\\astone', expected]);
      expect(world.repair(1)?.state).toBe('repaired');
    }
  });

  test('what was not written is not told as written', async () => {
    const world = await marriage();
    world.ce.fate = (call) => (call.operation === 'set' ? 'transient' : 'ok');
    world.rename(1, 'astone');
    await passed(SECOND);
    world.rename(1, 'user1');
    await passed(MINUTE);
    expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'names-agree' });
    expect(world.repair(1)?.names).toBeUndefined();
  });
});
