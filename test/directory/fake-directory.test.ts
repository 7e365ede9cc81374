import { Client, EqualityFilter, OrFilter } from 'ldapts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { guidBytes } from '../support/directory-values.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeListening } from './fake-listening.ts';
import { told } from './listening.ts';

let fake: FakeListening;
let directory: FakeDirectory;

beforeEach(async () => {
  fake = await FakeListening.start();
  directory = fake.directory;
});

afterEach(() => fake[Symbol.asyncDispose]());

describe('the directory of the tests', () => {
  it('tells a listener of every change that there is', async () => {
    const ann = directory.addUser({ sAMAccountName: 'ann', attributes: { mail: 'ann@example.test' } });
    await using listening = await fake.listener();
    expect(listening.log.events).toEqual([]);
    const steps: (() => void)[] = [
      () => directory.modify(ann, { sAMAccountName: 'anne' }),
      () => directory.modify(ann, { mail: null }),
      () => directory.modify(ann, { userAccountControl: '514' }),
      () => directory.rename(ann, fake.dn('Anne')),
      () => directory.delete(ann),
      () => directory.restore(ann, fake.dn('Anne')),
      () => directory.add(fake.dn('PC'), { objectClass: ['top', 'user', 'computer'], sAMAccountName: 'PC$', userAccountControl: '4096' }),
    ];
    const kinds = [];
    for (const step of steps) kinds.push((await listening.events(async () => step())).map(({ kind }) => kind));
    expect(kinds).toEqual([['renamed'], ['profile-updated'], ['disabled'], [], ['deleted'], ['restored'], []]);
    expect(listening.log.known.identities).toEqual(directory.identities());
  });

  it('gives many objects in several answers, also after a change in between', async () => {
    fake.dc.objectsPerAnswer = 3;
    const users = Array.from({ length: 10 }, (_, index) => directory.addUser({ sAMAccountName: `user${index}` }));
    let asked = 0;
    fake.dc.refuse = ({ controls }) => {
      asked += controls.has('1.2.840.113556.1.4.841') ? 1 : 0;
      if (asked === 2) directory.modify(users[0] ?? '', { displayName: 'While it was read' });
      return undefined;
    };
    await using listening = await fake.listener();
    expect(asked).toBeGreaterThan(3);
    expect(listening.log.known.identities).toEqual(directory.identities());
    const events = await listening.events(async () => {
      for (const user of users) directory.modify(user, { sn: 'Changed' });
    });
    expect(events).toHaveLength(10);
  });

  it('understands filters, and shows deleted objects to whoever asks for them', async () => {
    const [ann, ben] = ['ann', 'ben'].map((sAMAccountName) => directory.addUser({ sAMAccountName }));
    directory.delete(ben ?? '');
    const client = new Client({ url: `ldap://127.0.0.1:${fake.server.port}` });
    await client.bind('anybody', 'x');
    const search = async (filter: string | OrFilter, scope: 'sub' | 'one' | 'base' = 'sub', base = directory.namingContext) => {
      const { searchEntries } = await client.search(base, { filter, scope, attributes: ['sAMAccountName', 'uSNChanged'] });
      return searchEntries.map(({ sAMAccountName }) => sAMAccountName);
    };
    const guids = [ann, ben].map((each) => new EqualityFilter({ attribute: 'objectGUID', value: guidBytes(each ?? '') }));
    expect(await search(new OrFilter({ filters: guids }))).toEqual(['ann']);
    expect(await search('(&(objectClass=user)(!(samaccountname=MARK)))')).toEqual(['ann']);
    expect(await search(`(&(sAMAccountName=*)(uSNChanged>=${directory.highestCommittedUSN - 2}))`)).toEqual(['ann']);
    expect(await search('(objectClass=user)', 'one')).toEqual(['mark', 'ann']);
    expect(await search('(objectClass=*)', 'base', `<GUID=${ann}>`)).toEqual(['ann']);
    await expect(search('(objectClass=*)', 'base', `<GUID=${ben}>`)).rejects.toMatchObject({ code: 32 });
    await client.unbind();
  });

  it('keeps what was deleted in its recycle bin until it is recycled', async () => {
    directory.recycleBin = true;
    const ann = directory.addUser({ sAMAccountName: 'ann', attributes: { mail: 'ann@example.test' } });
    await using listening = await fake.listener();
    expect((await listening.events(async () => directory.delete(ann))).map(told)).toEqual([
      { kind: 'deleted', from: 'ann', to: undefined, changed: [] },
    ]);
    const [restored] = await listening.events(async () => directory.restore(ann, fake.dn('ann')));
    expect(restored).toMatchObject({ kind: 'restored', after: { mail: 'ann@example.test' } });
    await listening.events(async () => directory.delete(ann));
    expect(await listening.events(async () => directory.recycle(ann))).toEqual([]);
  });

  it('replicates; of what was written on both the higher version stays', async () => {
    const other = new FakeDirectory({ invocationId: 'd0000000-0000-4000-8000-000000000002' });
    const ann = other.addUser({ sAMAccountName: 'ann' });
    directory.pull(other);
    other.pull(directory);
    expect(directory.identities()).toEqual(other.identities());
    other.modify(ann, { sAMAccountName: 'theirs' });
    directory.modify(ann, { sAMAccountName: 'ours' });
    directory.modify(ann, { sAMAccountName: 'ours, a second time' });
    directory.pull(other);
    other.pull(directory);
    for (const each of [directory, other]) expect(each.identities().get(ann)?.sAMAccountName).toBe('ours, a second time');
    expect([...directory.vector().keys()].sort()).toEqual([...other.vector().keys()].sort());
  });
});
