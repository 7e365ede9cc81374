import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewValues } from '../support/fake-directory.ts';
import { FakeListening } from './fake-listening.ts';
import { type Listening, told } from './listening.ts';

/** What Samba refuses to store, and another server may hold all the same (SPEC rule 9). */
let fake: FakeListening;
let listening: Listening;
let ann: string;

beforeEach(async () => {
  fake = await FakeListening.start();
  ann = fake.directory.addUser({ sAMAccountName: 'ann', attributes: { displayName: 'Ann Lee', mail: 'ann@example.test' } });
  listening = await fake.listener();
});

afterEach(async () => {
  await listening[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

const set = (values: NewValues) => listening.events(async () => fake.directory.modify(ann, values));

describe('a value that cannot be one', () => {
  it.each<[string, NewValues]>([
    ['a displayName that is not UTF-8', { displayName: Buffer.from([0x41, 0xff, 0xfe]) }],
    ['two displayNames', { displayName: ['one', 'two'] }],
    ['half a surrogate pair', { displayName: Buffer.from([0xed, 0xa0, 0xbd]) }],
    ['a sAMAccountName that is not UTF-8', { sAMAccountName: Buffer.from([0xc3]) }],
    ['a sAMAccountName of no character', { sAMAccountName: '' }],
    ['a userAccountControl that is no number', { userAccountControl: 'enabled' }],
  ])('%s is warned about, leaves what is known, and a good one counts again', async (_, values) => {
    const [type = ''] = Object.keys(values);
    expect(await set(values)).toEqual([]);
    expect(fake.warnings).toEqual([expect.stringContaining(type)]);
    const before = listening.log.known.identity(ann);
    expect(before).toMatchObject({ sAMAccountName: 'ann', displayName: 'Ann Lee', enabled: true });
    // Neither does a full read forget what was known.
    listening.log.positions.set(fake.directory.namingContext, { ...positionOf(), invocationId: 'another' });
    expect(await listening.eventsAfterAbsence(async () => {})).toEqual([]);
    expect(listening.log.known.identity(ann)).toEqual(before);
    const good = { displayName: 'Ann Okafor', sAMAccountName: 'anne', userAccountControl: '514' };
    expect((await set(good)).map(({ kind }) => kind)).toEqual(['renamed', 'profile-updated', 'disabled']);
  });

  it('of an account that is not known yet leaves that out, and no more', async () => {
    const events = await listening.events(async () => {
      fake.directory.addUser({ sAMAccountName: 'ben', attributes: { displayName: Buffer.from([0xff]), sn: 'Okafor' } });
    });
    expect(events).toMatchObject([{ kind: 'created', after: { sAMAccountName: 'ben', sn: 'Okafor' } }]);
    expect(events[0]?.after).not.toHaveProperty('displayName');
  });

  it('of its name sets an account aside that is not known yet, with the reason, until it has one', async () => {
    let nameless = '';
    const events = await listening.events(async () => {
      nameless = fake.directory.addUser({ sAMAccountName: '', cn: 'Nameless' });
    });
    expect(events).toEqual([]);
    expect(listening.reportsOf('set-aside')).toMatchObject([{ objectGUID: nameless, reason: expect.stringContaining('sAMAccountName') }]);
    fake.directory.modify(nameless, { sAMAccountName: 'named' });
    // It was created long ago as far as the listener knows, so whether it is there is asked once more.
    const named = () => listening.log.events.filter(({ objectGUID }) => objectGUID === nameless);
    await expect.poll(() => named().map(told)).toEqual([{ kind: 'entered-scope', from: undefined, to: 'named', changed: [] }]);
  });
});

it('an attribute that is there without a character is not one that is cleared', async () => {
  expect(await set({ displayName: '' })).toMatchObject([{ kind: 'profile-updated', after: { displayName: '' } }]);
  expect((await set({ displayName: null }))[0]?.after).not.toHaveProperty('displayName');
});

it('a name in the tree cannot write lines of its own into a log', async () => {
  const dn = `CN=Ann\nlevel=fatal everything is lost\u0000\u001b[2J,${fake.directory.namingContext}`;
  fake.directory.rename(ann, dn);
  await set({ displayName: Buffer.from([0xff]) });
  expect(fake.warnings).toEqual([expect.stringContaining('displayName')]);
  expect(fake.warnings.join()).not.toMatch(/\p{Cc}/u);
});

function positionOf() {
  return listening.log.positions.get(fake.directory.namingContext) ?? expect.unreachable();
}
