import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Listening } from './listening.ts';
import { told } from './listening.ts';
import { SambaListening } from './samba-listening.ts';

let samba: SambaListening;
let listening: Listening;

beforeAll(async () => {
  samba = await SambaListening.start();
  listening = samba.listening;
});

afterAll(() => samba?.[Symbol.asyncDispose]());

afterEach(async () => {
  await samba.expectKnown();
  expect(listening.reportsOf('set-aside')).toEqual([]);
  expect(samba.warnings).toEqual([]);
});

const NFC = 'j\u00f6rg';
const NFD = 'jo\u0308rg';

describe('an account whose cn has', () => {
  let number = 0;

  it.each([
    ['parentheses', 'Lee (Sales)'],
    ['a backslash', 'back\\slash'],
    ['a comma', 'Lee, Ann'],
    ['a plus', 'Lee + Okafor'],
    ['quotes', 'Ann "Annie" Lee'],
    ['an equals sign', 'cn=Ann'],
    ['a semicolon and angle brackets', 'Ann;<Lee>'],
    ['a # at its beginning', '#Ann'],
    ['a blank at its beginning', ' Ann'],
    ['a blank at its end', 'Ann '],
    ['a slash and an asterisk', 'Ann/Lee*'],
    ['the words of a deleted object', 'Ann DEL:00000000-0000-0000-0000-000000000001,CN=Deleted Objects'],
    ['a line break as in a conflict', 'Ann\nCNF:00000000-0000-0000-0000-000000000001'],
    ['another script, an emoji', 'אן 李 👩‍💻'],
    ['combining marks', 'A\u030angstro\u0308m'],
  ])('%s is told of from its creation to its end', async (_, cn) => {
    const [name, next] = [`cn${++number}`, `cn${number}-next`];
    const [created] = await listening.events(() => samba.admin.create({ sAMAccountName: name, cn }));
    const { objectGUID } = created ?? expect.unreachable();
    const dn = async () => (await samba.admin.get(objectGUID)).dn;
    expect(created).toMatchObject({ kind: 'created', after: { sAMAccountName: name }, observed: { dn: await dn() } });
    expect(await listening.events(() => samba.admin.move(objectGUID, 'OU=Staff', `${cn} II`))).toEqual([]);
    expect(await listening.events(() => samba.admin.rename(objectGUID, next))).toMatchObject([
      { kind: 'renamed', observed: { dn: await dn() } },
    ]);
    const [deleted] = await listening.events(() => samba.admin.delete(objectGUID));
    expect(deleted).toMatchObject({ kind: 'deleted', before: { sAMAccountName: next }, after: null });
    const [restored] = await listening.events(() => samba.admin.reanimate(objectGUID, cn));
    expect(restored).toMatchObject({ kind: 'restored', after: { sAMAccountName: next }, observed: { dn: await dn() } });
    await listening.events(() => samba.admin.delete(objectGUID));
  });
});

describe('a sAMAccountName', () => {
  it.each([
    ['longer than Windows allows', 'n'.repeat(26)],
    ['as long as the schema allows', 'm'.repeat(256)],
    ['with an apostrophe and more', "o'neill&{co}%~^!"],
    ['with blanks', 'ann marie lee'],
    ['in another script', '田中えみ'],
    ['beyond the basic plane', '𐐨nn'],
    ['with a dollar sign', 'cash$'],
    ['that a filter would have to escape', 'lee(sales)'],
  ])('%s is told as it is', async (_, name) => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'plain' });
    const there = await listening.events(() => samba.admin.rename(objectGUID, name));
    expect(there.map(told)).toEqual([{ kind: 'renamed', from: 'plain', to: name, changed: ['sAMAccountName'] }]);
    await samba.admin.delete(objectGUID);
    await listening.events(async () => {});
  });

  it('in composed and decomposed form is that of two accounts: Samba lets both be at once', async () => {
    const composed = await samba.known({ sAMAccountName: NFC, cn: 'composed' });
    const [created] = await listening.events(() => samba.admin.create({ sAMAccountName: NFD, cn: 'decomposed' }));
    expect(created).toMatchObject({ kind: 'created', after: { sAMAccountName: NFD }, formerHolder: null });
    await samba.admin.delete(composed.objectGUID);
    const [taken] = await listening
      .eventsAfterAbsence(() => samba.admin.rename(created?.objectGUID ?? '', NFC))
      .then((events) => events.filter(({ kind }) => kind === 'renamed'));
    expect(taken).toMatchObject({
      before: { sAMAccountName: NFD },
      after: { sAMAccountName: NFC },
      caseOnly: false,
      formerHolder: composed.objectGUID,
    });
  });

  it('in another case is no other name, also beyond ASCII', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'ærøskøbing' });
    await expect(samba.admin.create({ sAMAccountName: 'ÆRØSKØBING', cn: 'another' })).rejects.toMatchObject({ code: 68 });
    expect((await listening.events(() => samba.admin.rename(objectGUID, 'ÆRØSKØBING'))).map(told)).toMatchObject([
      { kind: 'renamed', caseOnly: true },
    ]);
  });
});

describe('other texts', () => {
  it('a userPrincipalName of 256 characters', async () => {
    const userPrincipalName = `${'u'.repeat(238)}@corp.example.test`;
    const { objectGUID } = await samba.known({ sAMAccountName: 'upn' });
    const [changed] = await listening.events(() => samba.admin.set(objectGUID, { userPrincipalName }));
    expect(changed).toMatchObject({ kind: 'upn-changed', after: { userPrincipalName } });
  });

  it.each([
    ['from right to left, with marks that turn it round', 'דוד לוי \u202e(מנהל)\u202c \u200f'],
    ['of emoji that are joined', '👩‍👩‍👧‍👦 Lee 🏳️‍🌈'],
    ['with a NUL, a bell and a line break in it', 'Ann\u0000\u0007\r\nLee'],
    ['of nothing but blanks', '   '],
    ['as long as the schema allows', '李'.repeat(256)],
    ['like JSON, a formula, markup', '{"$where":1}\\u0000 =1+1 <b>&amp;'],
  ])('a displayName %s', async (_, displayName) => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'texts' });
    const [changed] = await listening.events(() => samba.admin.set(objectGUID, { displayName }));
    expect(changed).toMatchObject({ kind: 'profile-updated', after: { displayName } });
    await samba.admin.delete(objectGUID);
    await listening.events(async () => {});
  });

  it.each([
    ['without a character', ['']],
    ['that is not UTF-8', [Buffer.from([0x41, 0xff, 0xfe])]],
    ['twice', ['one', 'two']],
  ])('a displayName %s is refused by Samba itself', async (_, values) => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'refused', attributes: { displayName: 'Before' } });
    const events = await listening.events(() =>
      expect(samba.write(objectGUID, 'displayName', values)).rejects.toMatchObject({ code: expect.any(Number) }),
    );
    expect(events).toEqual([]);
    await samba.admin.delete(objectGUID);
    await listening.events(async () => {});
  });
});
