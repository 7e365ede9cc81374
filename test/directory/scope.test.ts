import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { FakeListening } from './fake-listening.ts';
import type { Listening } from './listening.ts';
import { NEVER, nothingStored, settingsFor } from './scripted-dc.ts';

let fake: FakeListening;
let staff: string;
let ann: string;
let ben: string;

beforeEach(async () => {
  fake = await FakeListening.start();
  for (const ou of ['Staff', 'Elsewhere']) fake.directory.add(unit(ou), { objectClass: ['top', 'organizationalUnit'] });
  staff = guidOf(unit('Staff'));
  ann = fake.directory.addUser({ sAMAccountName: 'ann', parent: unit('Staff') });
  ben = fake.directory.addUser({ sAMAccountName: 'ben', parent: unit('Elsewhere') });
  // Whoever tells that a listener has caught up is everywhere in scope.
  fake.directory.add(fake.dn('Marks'), { objectClass: ['top', 'group'], member: [guidOf(fake.dn('mark'))] });
});

afterEach(() => fake[Symbol.asyncDispose]());

const unit = (name: string) => `OU=${name},${fake.directory.namingContext}`;
const guidOf = (dn: string) => fake.directory.objects().find((object) => object.dn === dn)?.objectGUID ?? expect.unreachable(dn);
const group = (name: string, ...members: string[]) => fake.directory.add(fake.dn(name), { objectClass: ['top', 'group'], member: members });
const names = ({ log }: Listening) => [...log.known.identities.values()].map(({ sAMAccountName }) => sAMAccountName).sort();
const scope = (include: { ous?: string[]; groups?: string[] }, more: Partial<DirectorySettings> = {}): Partial<DirectorySettings> => ({
  scope: { include: { ...include, groups: [...(include.groups ?? []), fake.dn('Marks')] } },
  ...more,
});
/** Everything that was told, but for the marks. Looks at who is in scope are put off a little, so what comes too much comes with the next step. */
function following(listening: Listening) {
  const expected: string[] = [];
  const told = () =>
    listening.log.events
      .filter(({ after, before }) => (after ?? before)?.sAMAccountName !== 'mark')
      .map((event) => `${event.kind} ${(event.after ?? event.before)?.sAMAccountName}`);
  return async (change: () => unknown, ...events: string[]) => {
    await listening.events(async () => change());
    expected.push(...events);
    await expect.poll(told, { timeout: 10_000 }).toEqual(expected);
  };
}

describe.each(['dirsync', 'usn'] as const)('a scope, by %s', (source) => {
  it('of OUs follows accounts that are moved, and all below an OU that is renamed or moved', async () => {
    const inner = fake.directory.add(`OU=Inner,${unit('Staff')}`, { objectClass: ['top', 'organizationalUnit'] });
    fake.directory.addUser({ sAMAccountName: 'cat', parent: `OU=Inner,${unit('Staff')}` });
    await using listening = await fake.listener(scope({ ous: [unit('Staff')] }, { source }));
    expect(names(listening)).toEqual(['ann', 'cat', 'mark']);
    const follow = following(listening);
    await follow(() => fake.directory.rename(ann, `CN=ann,${unit('Elsewhere')}`), 'left-scope ann');
    await follow(() => fake.directory.rename(ben, `CN=ben,${unit('Staff')}`), 'entered-scope ben');
    await follow(() => fake.directory.rename(inner, `OU=Inner,${unit('Elsewhere')}`), 'left-scope cat');
    await follow(() => fake.directory.rename(inner, `OU=Again,${unit('Staff')}`), 'entered-scope cat');
    // The OU of the setting itself is followed as long as the session lasts.
    await follow(() => fake.directory.rename(staff, unit('Personnel')));
    await follow(() => fake.directory.modify(ben, { sAMAccountName: 'benny' }), 'renamed benny');
    await follow(() => fake.directory.addUser({ sAMAccountName: 'dan', parent: unit('Personnel') }), 'created dan');
    expect(names(listening)).toEqual(['benny', 'cat', 'dan', 'mark']);
  });

  it('of groups follows the members of the groups in them, whatever these are called', async () => {
    const inner = group('Inner', ann);
    const outer = group('Outer', inner);
    await using listening = await fake.listener(scope({ groups: [fake.dn('Outer')] }, { source }));
    expect(names(listening)).toEqual(['ann', 'mark']);
    const follow = following(listening);
    await follow(() => fake.directory.modify(inner, { member: [ann, ben] }), 'entered-scope ben');
    await follow(() => fake.directory.rename(outer, fake.dn('Outermost')));
    await follow(() => fake.directory.modify(inner, { member: [ben] }), 'left-scope ann');
    await follow(() => fake.directory.modify(outer, { member: [] }), 'left-scope ben');
    // A group in a circle is in itself.
    await follow(() => fake.directory.modify(inner, { member: [ben, outer] }));
    await follow(() => fake.directory.modify(outer, { member: [inner] }), 'entered-scope ben');
    await follow(() => fake.directory.delete(inner), 'left-scope ben');
  });

  it('leaves out who is excluded, and takes everybody else where nothing is included', async () => {
    const banned = group('Banned', ann);
    const exclude = { ous: [unit('Elsewhere')], groups: [fake.dn('Banned')] };
    await using listening = await fake.listener({ source, scope: { exclude } });
    expect(names(listening)).toEqual(['mark']);
    const follow = following(listening);
    await follow(() => fake.directory.modify(banned, { member: [] }), 'entered-scope ann');
    await follow(() => fake.directory.rename(ann, `CN=ann,${unit('Elsewhere')}`), 'left-scope ann');
    await follow(() => fake.directory.delete(ann));
  });
});

describe('a place of the scope', () => {
  it.each<[string, () => Partial<DirectorySettings>, string]>([
    [
      'that is not there',
      () => scope({ ous: ['OU=Nowhere,DC=corp,DC=example,DC=test'] }),
      'scope.include.ous: there is no OU=Nowhere,DC=corp',
    ],
    ['that is no group', () => scope({ groups: [unit('Staff')] }), 'is no group'],
    ['that is a group', () => ({ scope: { exclude: { ous: [fake.dn('Marks')] } } }), 'a group, which belongs into groups'],
  ])('%s is a wrong setting', async (_, settings, message) => {
    const source = ldapDirectorySource(settingsFor(fake.server, settings()));
    await expect(source.open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['a group', () => fake.dn('Team')],
    ['an OU', () => unit('Staff')],
  ])('SPEC rule 4: that is deleted makes nobody leave: %s', async (_, dn) => {
    group('Team', ben);
    await using listening = await fake.listener(scope({ ous: [unit('Staff')], groups: [fake.dn('Team')] }));
    expect(names(listening)).toEqual(['ann', 'ben', 'mark']);
    fake.directory.delete(guidOf(dn()));
    const refused = () => listening.reportsOf('waiting').at(-1)?.error.message;
    await expect.poll(refused, { timeout: 10_000 }).toContain(`there is no ${dn()} any more`);
    expect(names(listening)).toEqual(['ann', 'ben', 'mark']);
  });
});

it('a base of reading by uSNChanged is a scope, and another one leads to a comparison', async () => {
  fake.directory.rename(guidOf(fake.dn('mark')), `CN=mark,${unit('Staff')}`);
  const cat = fake.directory.addUser({ sAMAccountName: 'cat', parent: `OU=Inner,${unit('Staff')}` });
  fake.directory.add(`OU=Inner,${unit('Staff')}`, { objectClass: ['top', 'organizationalUnit'] });
  await using wide = await fake.listener({ source: 'usn', base: unit('Staff') });
  expect(names(wide)).toEqual(['ann', 'cat', 'mark']);
  await wide.stop();
  fake.directory.rename(guidOf(`CN=mark,${unit('Staff')}`), `CN=mark,OU=Inner,${unit('Staff')}`);
  await using narrow = await fake.listener({ source: 'usn', base: `OU=Inner,${unit('Staff')}` }, wide.log);
  const follow = following(narrow);
  await follow(() => {}, 'left-scope ann');
  expect(narrow.log.notices).toMatchObject([{ reason: 'the scope was changed' }]);
  await follow(() => fake.directory.rename(ann, `CN=ann,OU=Inner,${unit('Staff')}`), 'entered-scope ann');
  await follow(() => fake.directory.delete(cat), 'deleted cat');
});

it('the position knows the scope however it is written', async () => {
  const ous = [unit('Staff'), unit('Elsewhere')];
  await using first = await fake.listener(scope({ ous }));
  await first.stop();
  await using second = await fake.listener(scope({ ous: ous.map((dn) => dn.toUpperCase()).toReversed() }), first.log);
  expect(second.reportsOf('connected').map(({ fullRead }) => fullRead)).toEqual([undefined]);
});
