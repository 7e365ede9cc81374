import { Attribute, Change } from 'ldapts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { Listening } from './listening.ts';
import { SambaListening, settingsOf } from './samba-listening.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

let samba: SambaListening;
let marks = 0;

beforeAll(async () => {
  samba = await SambaListening.start();
  for (const ou of ['OU=Inner,OU=Staff', 'OU=Outside']) await samba.client.add(dn(ou), { objectClass: 'organizationalUnit' });
  await samba.admin.create({ sAMAccountName: 'beacon' });
});

afterAll(() => samba?.[Symbol.asyncDispose]());

const dn = (rdns: string) => `${rdns},${samba.namingContext}`;

/** A listener of its own with these settings; the account `beacon` in OU=Staff shows how far it is. */
async function listener(settings: Partial<DirectorySettings>, log?: Listening['log']): Promise<Listening> {
  const beacon = await samba.admin.find('beacon');
  const objectGUID = beacon?.objectGUID ?? expect.unreachable();
  const mark = async () => {
    const mail = `beacon${++marks}@example.test`;
    await samba.admin.set(objectGUID, { mail });
    return ({ known }: Listening['log']) => known.identity(objectGUID)?.mail === mail;
  };
  return await new Listening(ldapDirectorySource(settingsOf(samba.bed, settings)), objectGUID, mark, log).start();
}

/** Everything that is told of anybody else, step by step. */
function following(listening: Listening) {
  const { log } = listening;
  const before = log.events.length;
  const expected: string[] = [];
  const told = () =>
    log.events
      .slice(before)
      .map(({ kind, after, before: was }) => `${kind} ${(after ?? was)?.sAMAccountName}`)
      .filter((text) => !text.endsWith(' beacon'));
  return async (change: () => Promise<unknown>, ...events: string[]) => {
    await listening.events(change);
    expected.push(...events);
    await expect.poll(() => told(), { timeout: 20_000 }).toEqual(expected);
  };
}

async function members(group: string, operation: 'add' | 'delete', ...dns: string[]): Promise<void> {
  await samba.client.modify(group, new Change({ operation, modification: new Attribute({ type: 'member', values: dns }) }));
}

it.each(['dirsync', 'usn'] as const)('a scope of OUs: moves of accounts and of OUs, and names of OUs, by %s', async (source) => {
  await using listening = await listener({ source, scope: { include: { ous: [dn('OU=Staff')] } } });
  expect([...listening.log.known.identities.values()].some(({ sAMAccountName }) => sAMAccountName === 'alee')).toBe(false);
  const follow = following(listening);
  const name = (what: string) => `${source}-${what}`;
  const create = (what: string, parent: string) => samba.admin.create({ sAMAccountName: name(what), parent });
  let inner = '';
  let outer = '';
  await follow(
    async () => {
      inner = (await create('in', 'OU=Inner,OU=Staff')).objectGUID;
    },
    `created ${name('in')}`,
  );
  await follow(async () => {
    outer = (await create('out', 'OU=Outside')).objectGUID;
  });
  await follow(() => samba.admin.move(outer, 'OU=Staff'), `entered-scope ${name('out')}`);
  await follow(() => samba.admin.set(outer, { sn: 'Known' }), `profile-updated ${name('out')}`);
  await follow(() => samba.admin.move(outer, 'OU=Outside'), `left-scope ${name('out')}`);
  await follow(() => samba.admin.set(outer, { sn: 'Unknown' }));
  await follow(() => samba.client.modifyDN(dn('OU=Inner,OU=Staff'), dn('OU=Inner,OU=Outside')), `left-scope ${name('in')}`);
  await follow(() => samba.client.modifyDN(dn('OU=Inner,OU=Outside'), dn('OU=Core,OU=Staff')), `entered-scope ${name('in')}`);
  await follow(() => samba.client.modifyDN(dn('OU=Core,OU=Staff'), dn('OU=Inner,OU=Staff')));
  await follow(() => samba.client.modifyDN(dn('OU=Staff'), dn('OU=Personnel')));
  await follow(() => samba.admin.delete(inner), `deleted ${name('in')}`);
  await follow(() => samba.admin.delete(outer));
  await follow(() => samba.admin.reanimate(inner, name('in'), 'OU=Personnel'), `restored ${name('in')}`);
  await samba.client.modifyDN(dn('OU=Personnel'), dn('OU=Staff'));
  await follow(() => samba.admin.delete(inner), `deleted ${name('in')}`);
});

it('a scope of groups: members of groups in groups, groups that are renamed and deleted, and who is left out', async () => {
  const [outer, inner, banned] = ['Outer', 'Inner', 'Banned'].map((name) => dn(`CN=${name},OU=Outside`)) as [string, string, string];
  for (const group of [outer, inner, banned]) await samba.client.add(group, { objectClass: 'group' });
  await members(outer, 'add', dn('CN=beacon,OU=Staff'), inner);
  const cara = await samba.admin.create({ sAMAccountName: 'cara' });
  const scope = { include: { groups: [outer] }, exclude: { groups: [banned] } };
  await using listening = await listener({ scope });
  expect([...listening.log.known.identities.values()].map(({ sAMAccountName }) => sAMAccountName)).toEqual(['beacon']);
  const follow = following(listening);
  await follow(() => members(inner, 'add', cara.dn), 'entered-scope cara');
  await follow(() => samba.admin.rename(cara.objectGUID, 'carla'), 'renamed carla');
  await follow(() => members(banned, 'add', cara.dn), 'left-scope carla');
  await follow(() => members(banned, 'delete', cara.dn), 'entered-scope carla');
  await follow(() => samba.client.modifyDN(inner, dn('CN=Within,OU=Staff')));
  await follow(() => members(dn('CN=Within,OU=Staff'), 'delete', cara.dn), 'left-scope carla');
  await follow(() => members(dn('CN=Within,OU=Staff'), 'add', cara.dn), 'entered-scope carla');
  await follow(() => samba.client.del(dn('CN=Within,OU=Staff')), 'left-scope carla');
  await follow(() => samba.admin.delete(cara.objectGUID));
});

it('another scope after a restart: that, who left and who came is told', async () => {
  const log = await (async () => {
    await using listening = await listener({ scope: { include: { ous: [dn('OU=Staff')] } } });
    return listening.log;
  })();
  const before = log.events.length;
  const dora = await samba.admin.create({ sAMAccountName: 'dora', parent: 'OU=Outside' });
  const { objectGUID } = (await samba.admin.find('beacon')) ?? expect.unreachable();
  const settings = {
    scope: { include: { ous: [dn('OU=Staff'), dn('OU=Outside'), dn('OU=People')] }, exclude: { ous: [dn('OU=Inner,OU=Staff')] } },
  };
  await using wide = await listener(settings, log);
  await expect.poll(() => log.positions.get(samba.namingContext)?.scope).toContain('ou=people');
  const told = log.events.slice(before).filter((event) => event.objectGUID !== objectGUID);
  expect(told.find((event) => event.objectGUID === dora.objectGUID)?.kind).toBe('created');
  const others = told.filter((event) => event.objectGUID !== dora.objectGUID);
  expect(others.map(({ kind }) => kind)).toEqual(others.map(() => 'entered-scope'));
  expect(others.some(({ after }) => after?.sAMAccountName === 'alee')).toBe(true);
  expect(log.notices).toMatchObject([{ reason: 'the scope was changed' }]);
  expect(wide.reportsOf('connected')[0]?.fullRead).toBe('the scope was changed');
  await wide.stop();
  const narrowed = log.events.length;
  await using _narrow = await listener({ scope: { include: { ous: [dn('OU=Staff')] } } }, log);
  await expect.poll(() => log.positions.get(samba.namingContext)?.scope).not.toContain('ou=people');
  const left = log.events.slice(narrowed).filter((event) => event.objectGUID !== objectGUID);
  expect(left.map(({ kind }) => kind)).toEqual(left.map(() => 'left-scope'));
  expect(left.map((event) => event.objectGUID).sort()).toEqual(told.map((event) => event.objectGUID).sort());
});

it('a place that is not there is a wrong setting, and named', async () => {
  const scope = { include: { groups: [dn('CN=Nobody,OU=Staff')] } };
  await expect(ldapDirectorySource(settingsOf(samba.bed, { scope })).open(nothingStored, NEVER)).rejects.toMatchObject({
    failure: 'configuration',
    message: expect.stringContaining(`scope.include.groups: there is no ${dn('CN=Nobody,OU=Staff')}`),
  });
});
