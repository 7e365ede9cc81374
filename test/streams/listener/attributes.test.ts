import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PROFILE_ATTRIBUTES } from '../../../streams/identity.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { MINUTE, passed, SECOND, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const account = (number: number) => guid('account', number);
const WITH_TITLE = [...PROFILE_ATTRIBUTES, 'title'];

/** Twenty accounts with titles and addresses, and a listener that has read them. */
async function started(attributes: readonly string[] = PROFILE_ATTRIBUTES) {
  const w = world({ accounts: 20 });
  for (let i = 1; i <= 19; i++) w.directory.set(account(i), { title: `title ${i}`, mail: `user${i}@example.test` });
  w.source.pageSize = 5;
  w.source.attributes = attributes;
  w.start();
  await passed(SECOND);
  const read = async () => {
    w.source.wakes.next();
    await passed(2 * SECOND);
  };
  /** Starts anew with other settings; meanwhile something happens. */
  const restart = async (attributes: readonly string[], meanwhile: () => void = () => {}) => {
    w.source.interference = {
      open: () => {
        w.source.interference = {};
        meanwhile();
      },
    };
    w.source.attributes = attributes;
    w.source.lose();
    await passed(5 * SECOND);
  };
  const known = (number: number) => w.log.known.identity(account(number));
  const told = () => w.log.events.map(({ kind, objectGUID, changed }) => [kind, Number(objectGUID.slice(-12)), changed]);
  return { ...w, read, restart, known, told };
}

describe('an additional attribute', () => {
  test('is part of identities from the first read on, and a change of it is one of the profile', async () => {
    const w = await started(WITH_TITLE);
    expect(w.known(1)).toMatchObject({ title: 'title 1' });
    w.directory.set(account(1), { title: 'Chief', sn: 'Lee' });
    w.directory.set(account(2), { title: null });
    w.directory.create({ sAMAccountName: 'new', profile: { title: 'Trainee' } });
    await w.read();
    expect(w.told()).toEqual([
      ['profile-updated', 1, ['sn', 'title']],
      ['profile-updated', 2, ['title']],
      ['created', 21, []],
    ]);
    expect(w.log.events.map(({ before, after }) => [before?.title, after?.title])).toEqual([
      ['title 1', 'Chief'],
      ['title 2', undefined],
      [undefined, 'Trainee'],
    ]);
    expect(w.log.origins.get(account(1))).toHaveProperty('title.version', 2);
  });

  test('that is added later is learned in silence, while what else is different is told', async () => {
    const w = await started();
    expect(w.known(1)).not.toHaveProperty('title');
    w.directory.rename(account(1), 'first');
    await w.read();
    w.log.events.length = 0;
    w.source.objectsRead.length = 0;
    const origins = w.log.origins.get(account(1));
    expect(origins).toHaveProperty('sAMAccountName.version', 2);
    await w.restart(WITH_TITLE, () => {
      w.directory.rename(account(3), 'x');
      w.directory.set(account(4), { mail: 'new@example.test', title: 'New' });
      w.directory.delete(account(5));
    });
    expect(w.told()).toEqual([
      ['renamed', 3, ['sAMAccountName']],
      ['profile-updated', 4, ['mail']],
      ['deleted', 5, []],
    ]);
    expect(w.log.events[1]).toMatchObject({ before: { title: 'New', mail: 'user4@example.test' }, after: { title: 'New' } });
    expect(w.log.notices).toMatchObject([{ kind: 'position-lost', reason: 'other attributes are watched' }]);
    expect(w.reportsOf('connected').at(-1)?.fullRead).toBe('other attributes are watched');
    expect(w.reportsOf('read-progress').at(-1)).toMatchObject({ objects: 20, differences: 3, done: true });
    expect(w.log.known.identities).toEqual(w.directory.identities());
    expect(w.log.origins.get(account(1))).toEqual(origins);
    // Nobody who stayed the same was read twice, but for the last one that was reported: that tells of a roll-back.
    expect(new Set(w.source.objectsRead)).toEqual(new Set([account(1), account(3), account(4), account(5)]));
    w.directory.set(account(1), { title: 'Chief' });
    await w.read();
    expect(w.told().slice(3)).toEqual([['profile-updated', 1, ['title']]]);
    expect(w.source.reads.at(-1)).toBeDefined();
  });

  test('that is taken away is forgotten in silence, and learned anew when it comes back', async () => {
    const w = await started(WITH_TITLE);
    w.directory.set(account(1), { title: 'Chief' });
    await w.read();
    await w.restart(PROFILE_ATTRIBUTES, () => w.directory.set(account(2), { title: 'Unseen' }));
    expect(w.known(1)).not.toHaveProperty('title');
    expect(w.log.origins.get(account(1))).not.toHaveProperty('title');
    w.directory.set(account(1), { title: 'Nobody' });
    await w.read();
    await w.restart(WITH_TITLE);
    expect(w.told()).toEqual([['profile-updated', 1, ['title']]]);
    expect(w.log.known.identities).toEqual(w.directory.identities());
  });

  test('that is taken away is forgotten of accounts as well that the domain controller does not know yet', async () => {
    const w = await started(WITH_TITLE);
    const other = new MemoryDirectory({ number: 2 });
    other.replicateFrom(w.directory);
    w.directory.create({ sAMAccountName: 'new', profile: { title: 'Trainee' } });
    await w.read();
    w.source.directory = other;
    await w.restart(PROFILE_ATTRIBUTES);
    expect(w.known(21)).toMatchObject({ sAMAccountName: 'new' });
    expect(w.known(21)).not.toHaveProperty('title');
    expect(w.told()).toEqual([['created', 21, []]]);
  });

  test('can take the place of a usual one, also when the read is cut off and begun again', async () => {
    const w = await started();
    let pages = 0;
    await w.restart(['displayName', 'title']);
    w.source.interference = { page: () => (++pages === 2 ? w.source.lose() : undefined) };
    await w.restart(['title']);
    await passed(MINUTE);
    expect(w.told()).toEqual([]);
    expect(w.known(1)).toEqual({
      objectGUID: account(1),
      objectSid: expect.any(String),
      domain: 'CORP',
      sAMAccountName: 'user1',
      enabled: true,
      title: 'title 1',
    });
    expect(w.log.positions.get(w.source.namingContext)).toMatchObject({ profile: ['title'] });
  });

  test('is no lost position; one that is lost at the same time is told, and the rest is learned all the same', async () => {
    const w = await started();
    w.source.resumeRefused = { reason: 'restored' };
    await w.restart(WITH_TITLE, () => w.directory.rename(account(3), 'x'));
    w.source.resumeRefused = undefined;
    expect(w.log.notices).toMatchObject([{ reason: 'restored' }]);
    expect(w.told()).toEqual([['renamed', 3, ['sAMAccountName']]]);
    expect(w.log.known.identities).toEqual(w.directory.identities());
  });
});
