import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import type { FakeDirectory } from '../support/fake-directory.ts';
import { FakeListening } from './fake-listening.ts';
import { type Listening, told } from './listening.ts';

/** What one read says of an account comes with one page, or each account with a page of its own. */
describe.each<[string, Partial<DirectorySettings>]>([
  ['DirSync', {}],
  ['DirSync, one account a page', { pageSize: 1 }],
  ['uSNChanged', { source: 'usn' }],
  ['uSNChanged, one account a page', { source: 'usn', pageSize: 1 }],
])('an account, read by %s (SPEC rules 1, 3)', (_, method) => {
  let fake: FakeListening;
  let directory: FakeDirectory;
  let listening: Listening;
  const people: Record<string, string> = {};

  beforeEach(async () => {
    fake = await FakeListening.start();
    directory = fake.directory;
    for (const name of ['ann', 'ben', 'cem', 'dee']) people[name] = directory.addUser({ sAMAccountName: name });
    // Each answer has what one page can hold, so that there are as many answers as pages.
    fake.dc.objectsPerAnswer = method.pageSize ?? 1_000;
    listening = await fake.listener(method);
  });

  afterEach(async () => {
    expect(listening.log.known.identities).toEqual(directory.identities());
    expect(listening.log.notices).toEqual([]);
    expect(listening.reportsOf('set-aside')).toEqual([]);
    expect(fake.warnings).toEqual([]);
    await listening[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
  });

  const guidOf = (name: string) => people[name] ?? expect.unreachable();
  const set = (name: string, values: Parameters<FakeDirectory['modify']>[1]) => directory.modify(guidOf(name), values);
  const addOu = (rdns: string) => directory.add(`${rdns},${directory.namingContext}`, { objectClass: ['top', 'organizationalUnit'] });
  const ofWhom = (events: Awaited<ReturnType<Listening['events']>>) =>
    Object.fromEntries(events.map((event) => [event.objectGUID, told(event)]));

  it('is renamed while it is disabled, and has that name when it is enabled', async () => {
    expect(await listening.events(async () => set('ann', { userAccountControl: '514' }))).toMatchObject([{ kind: 'disabled' }]);
    const [renamed, ...more] = await listening.events(async () => set('ann', { sAMAccountName: 'anne' }));
    expect(renamed).toMatchObject({ kind: 'renamed', before: { enabled: false }, after: { sAMAccountName: 'anne', enabled: false } });
    expect(more).toEqual([]);
    const [enabled] = await listening.events(async () => set('ann', { userAccountControl: '66048' }));
    expect(enabled).toMatchObject({ kind: 'enabled', changed: ['enabled'], after: { sAMAccountName: 'anne', enabled: true } });
    expect(enabled?.before).toEqual(renamed?.after);
    // Other flags are none of who somebody is.
    expect(await listening.events(async () => set('ann', { userAccountControl: '512' }))).toEqual([]);
  });

  it('is renamed, disabled and enabled while nobody looks: only the name is told', async () => {
    const events = await listening.eventsAfterAbsence(async () => {
      set('ann', { userAccountControl: '514' });
      set('ann', { sAMAccountName: 'anne' });
      set('ann', { userAccountControl: '512' });
    });
    expect(events.map(told)).toEqual([{ kind: 'renamed', from: 'ann', to: 'anne', changed: ['sAMAccountName'] }]);
  });

  it('is where it is now when something is told of it, however it came there', async () => {
    const [staff, people] = [addOu('OU=Staff'), addOu('OU=People')];
    const at = (rdns: string) => `${rdns},${directory.namingContext}`;
    expect(await listening.events(async () => directory.rename(guidOf('ann'), at('CN=ann,OU=Staff')))).toEqual([]);
    const [moved] = await listening.events(async () => set('ann', { mail: 'ann@example.test' }));
    expect(moved?.observed.dn).toBe(at('CN=ann,OU=Staff'));
    expect(await listening.events(async () => directory.rename(staff, at('OU=Crew')))).toEqual([]);
    const [renamed] = await listening.events(async () => set('ann', { sAMAccountName: 'anne' }));
    expect(renamed?.observed.dn).toBe(at('CN=ann,OU=Crew'));
    const events = await listening.eventsAfterAbsence(async () => {
      directory.rename(guidOf('ann'), at('CN=Anne Lee,OU=Crew'));
      set('ann', { sn: 'Lee' });
      directory.rename(staff, at('OU=Crew,OU=People'));
      directory.rename(people, at('OU=Everybody'));
    });
    expect(events).toMatchObject([{ kind: 'profile-updated', observed: { dn: at('CN=Anne Lee,OU=Crew,OU=Everybody') } }]);
    const [deleted] = await listening.events(async () => directory.delete(guidOf('ann')));
    expect(deleted?.observed.dn).toBe(at(`CN=Anne Lee\\0ADEL:${guidOf('ann')},CN=Deleted Objects`));
  });

  it.each(['events', 'eventsAfterAbsence'] as const)('is made anew with the name of one that is gone (%s)', async (watching) => {
    let heir = '';
    const events = await listening[watching](async () => {
      directory.delete(guidOf('ann'));
      heir = directory.addUser({ sAMAccountName: 'Ann' });
    });
    expect(ofWhom(events)).toEqual({
      [guidOf('ann')]: { kind: 'deleted', from: 'ann', to: undefined, changed: [] },
      [heir]: { kind: 'created', from: undefined, to: 'Ann', changed: [], formerHolder: guidOf('ann') },
    });
  });

  it('is renamed in nothing but case, there and back', async () => {
    const upper = await listening.events(async () => set('ann', { sAMAccountName: 'ANN' }));
    expect(upper.map(told)).toEqual([{ kind: 'renamed', from: 'ann', to: 'ANN', changed: ['sAMAccountName'], caseOnly: true }]);
    const lower = await listening.events(async () => set('ann', { sAMAccountName: 'ann' }));
    expect(lower.map(told)).toEqual([{ kind: 'renamed', from: 'ANN', to: 'ann', changed: ['sAMAccountName'], caseOnly: true }]);
  });

  it.each(['events', 'eventsAfterAbsence'] as const)('swaps its name with another one (%s)', async (watching) => {
    const events = await listening[watching](async () => {
      set('ann', { sAMAccountName: 'interim' });
      set('ben', { sAMAccountName: 'ann' });
      set('ann', { sAMAccountName: 'ben' });
    });
    const last = ofWhom(events);
    expect(last[guidOf('ann')]).toMatchObject({ kind: 'renamed', to: 'ben', formerHolder: guidOf('ben') });
    expect(last[guidOf('ben')]).toMatchObject({ kind: 'renamed', from: 'ben', to: 'ann', formerHolder: guidOf('ann') });
    if (watching === 'eventsAfterAbsence') expect(events).toHaveLength(2);
    for (const { sharedWith } of events) expect(sharedWith).toBeUndefined();
  });

  it.each([
    ['a chain', 'dee=new cem=dee ben=cem ann=ben', { cem: 'dee', ben: 'cem', ann: 'ben' }],
    ['a chain, the other way round', 'ann=new ben=ann cem=ben dee=cem', { ben: 'ann', cem: 'ben', dee: 'cem' }],
    ['a circle', 'dee=interim cem=dee ben=cem ann=ben dee=ann', { cem: 'dee', ben: 'cem', ann: 'ben', dee: 'ann' }],
  ])('gives its name to the next one, and that to another: %s', async (_, steps, taken) => {
    const events = await listening.eventsAfterAbsence(async () => {
      for (const [name = '', to = ''] of steps.split(' ').map((step) => step.split('='))) set(name, { sAMAccountName: to });
    });
    expect(events).toHaveLength(4);
    for (const { kind, sharedWith } of events) expect([kind, sharedWith]).toEqual(['renamed', undefined]);
    const formerHolders = Object.fromEntries(events.flatMap((e) => (e.formerHolder === null ? [] : [[e.objectGUID, e.formerHolder]])));
    expect(formerHolders).toEqual(Object.fromEntries(Object.entries(taken).map(([who, from]) => [guidOf(who), guidOf(from)])));
  });
});
