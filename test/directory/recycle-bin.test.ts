import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeListening } from './fake-listening.ts';
import type { Listening } from './listening.ts';

const PROFILE = {
  userPrincipalName: 'ann@corp.example.test',
  displayName: 'Ann Lee',
  givenName: 'Ann',
  sn: 'Lee',
  mail: 'ann@example.test',
};
const GARBAGE = Buffer.from('no cookie').toString('base64');

/** The recycle bin is on, as a domain of Windows has it: restoring from it fails on Samba. */
describe.each<[string, Partial<DirectorySettings>]>([
  ['DirSync', {}],
  ['uSNChanged', { source: 'usn' }],
])('an account in the recycle bin, read by %s', (_, method) => {
  let fake: FakeListening;
  let directory: FakeDirectory;
  let listening: Listening;
  let ann: string;

  beforeEach(async () => {
    directory = new FakeDirectory({ recycleBin: true });
    fake = await FakeListening.start(directory);
    ann = directory.addUser({ sAMAccountName: 'ann', attributes: PROFILE });
    listening = await fake.listener(method);
  });

  afterEach(async () => {
    expect(listening.log.known.identities).toEqual(directory.identities());
    expect(listening.reportsOf('set-aside')).toEqual([]);
    expect(listening.reportsOf('withheld')).toEqual([]);
    expect(fake.warnings).toEqual([]);
    await listening[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
  });

  const dn = () => fake.dn('ann');

  it('is deleted with all that was known, and restored with all that it had', async () => {
    const before = listening.log.known.identity(ann);
    expect(before).toMatchObject(PROFILE);
    const events = await listening.events(async () => directory.delete(ann));
    expect(events).toMatchObject([{ kind: 'deleted', objectGUID: ann, before, after: null }]);
    expect(events[0]?.observed.dn).toContain(`DEL:${ann},CN=Deleted Objects,`);
    const [restored, ...more] = await listening.events(async () => directory.restore(ann, dn()));
    expect(restored).toMatchObject({ kind: 'restored', objectGUID: ann, before: null, observed: { dn: dn() } });
    expect(restored?.after).toEqual(before);
    expect(more).toEqual([]);
  });

  it('is restored under another name, which another account had before', async () => {
    await listening.events(async () => directory.delete(ann));
    const [heir] = await listening.events(async () => directory.addUser({ sAMAccountName: 'Ann', cn: 'heir' }));
    expect(heir).toMatchObject({ kind: 'created', formerHolder: ann });
    await listening.events(async () => directory.modify(heir?.objectGUID ?? '', { sAMAccountName: 'ben' }));
    const [restored] = await listening.events(async () => directory.restore(ann, dn()));
    expect(restored).toMatchObject({ kind: 'restored', after: { sAMAccountName: 'ann' }, formerHolder: heir?.objectGUID });
  });

  it('is told as deleted once, whenever it is recycled', async () => {
    await listening.events(async () => directory.delete(ann));
    expect(await listening.events(async () => directory.recycle(ann))).toEqual([]);
    expect(await listening.eventsAfterAbsence(async () => {})).toEqual([]);
  });

  it('is told as deleted also when it was deleted and recycled while nobody looked', async () => {
    const before = listening.log.known.identity(ann);
    const events = await listening.eventsAfterAbsence(async () => {
      directory.delete(ann);
      directory.recycle(ann);
    });
    expect(events).toMatchObject([{ kind: 'deleted', objectGUID: ann, before, after: null }]);
  });

  it.each([
    ['that is refused', { cookie: GARBAGE }],
    ['of a database that was restored', { invocationId: 'd0000000-0000-4000-8000-00000000000f' }],
  ])('is told as deleted once by a comparison after a position %s, recycled or not', async (_, position) => {
    const ben = directory.addUser({ sAMAccountName: 'ben' });
    const old = directory.addUser({ sAMAccountName: 'old' });
    await listening.events(async () => directory.delete(old));
    const events = await listening.eventsAfterLoss(directory.namingContext, position, async () => {
      directory.recycle(old);
      directory.delete(ann);
      directory.delete(ben);
      directory.recycle(ben);
    });
    expect(events.map(({ kind, objectGUID, observed }) => [kind, objectGUID, observed.via]).sort()).toEqual(
      [ann, ben].map((objectGUID) => ['deleted', objectGUID, 'comparison']).sort(),
    );
    expect(await listening.eventsAfterLoss(directory.namingContext, position, async () => {})).toEqual([]);
  });

  it('is nothing when it came and went between two reads, recycled or not', async () => {
    const events = await listening.eventsAfterAbsence(async () => {
      directory.delete(directory.addUser({ sAMAccountName: 'mayfly' }));
      const purged = directory.addUser({ sAMAccountName: 'ghost', attributes: { mail: 'ghost@example.test' } });
      directory.delete(purged);
      directory.recycle(purged);
    });
    expect(events).toEqual([]);
  });

  it('is nothing when it was restored before anybody looked, and what differs is told where something does', async () => {
    const back = (values: Parameters<FakeDirectory['modify']>[1]) =>
      listening.eventsAfterAbsence(async () => {
        directory.delete(ann);
        directory.restore(ann, dn());
        directory.modify(ann, values);
      });
    expect(await back({})).toEqual([]);
    const events = await back({ sAMAccountName: 'anne', mail: null, userAccountControl: '514' });
    expect(events.map(({ kind, changed }) => [kind, changed])).toEqual([
      ['renamed', ['sAMAccountName']],
      ['profile-updated', ['mail']],
      ['disabled', ['enabled']],
    ]);
  });

  it('is not brought back by a change of it while it is deleted', async () => {
    await listening.events(async () => directory.delete(ann));
    expect(await listening.events(async () => directory.modify(ann, { displayName: 'Ann Okafor', userAccountControl: '514' }))).toEqual([]);
    const [restored] = await listening.events(async () => directory.restore(ann, dn()));
    expect(restored).toMatchObject({ kind: 'restored', after: { ...PROFILE, displayName: 'Ann Okafor', enabled: false } });
  });
});
