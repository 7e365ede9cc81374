import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toObservation } from '../../src/directory/entry.ts';
import { DOMAIN_SID, guid, guidTextOf, NC } from './scripted-dc.ts';

type Values = readonly (string | Buffer)[];

function observe(attributes: Record<string, Values>, { dn = `CN=Ann Lee,${NC}`, whole = false } = {}) {
  const warnings: string[] = [];
  const list = Object.entries({ objectGUID: [guid(1)], ...attributes }).map(([type, values]) => ({
    type,
    values: values.map((value) => Buffer.from(value)),
  }));
  const observation = toObservation({ dn, attributes: list }, (warning) => warnings.push(warning), whole);
  return { observation, warnings };
}

const NOT_UTF8 = Buffer.from([0xff, 0xfe]);
const DELETED_DN = `CN=Lee\\, Ann\\0ADEL:${guidTextOf(1)},CN=Deleted Objects,${NC}`;

describe('toObservation', () => {
  it('says what the entry holds and nothing else', () => {
    const { observation, warnings } = observe({
      objectClass: ['top', 'person', 'user'],
      sAMAccountName: ['alee'],
      userAccountControl: ['514'],
      displayName: ['Ann Lée 😀'],
      instanceType: ['4'],
    });
    expect(observation).toStrictEqual({
      objectGUID: guidTextOf(1),
      dn: `CN=Ann Lee,${NC}`,
      seen: { objectClass: ['top', 'person', 'user'], sAMAccountName: 'alee', userAccountControl: 514, displayName: 'Ann Lée 😀' },
    });
    expect(warnings).toEqual([]);
  });

  it('takes what is missing from an object that is new to the reader as cleared, whatever was known of it', () => {
    const { observation } = observe({
      objectSid: [Buffer.from('01020000000000052000000020020000', 'hex')],
      objectClass: ['top', 'person', 'user'],
      sAMAccountName: ['alee'],
      displayName: ['Ann Lee'],
      sn: [NOT_UTF8],
    });
    expect(observation).toStrictEqual({
      objectGUID: guidTextOf(1),
      dn: `CN=Ann Lee,${NC}`,
      seen: {
        objectSid: 'S-1-5-32-544',
        objectClass: ['top', 'person', 'user'],
        sAMAccountName: 'alee',
        displayName: 'Ann Lee',
        userPrincipalName: null,
        givenName: null,
        mail: null,
      },
    });
  });

  it('tells cleared from absent', () => {
    expect(observe({ mail: [], sn: ['Lee'] }).observation?.seen).toStrictEqual({ mail: null, sn: 'Lee' });
  });

  it('takes what a whole answer does not hold as cleared', () => {
    expect(observe({ sAMAccountName: ['alee'], sn: ['Lee'] }, { whole: true }).observation).toStrictEqual({
      objectGUID: guidTextOf(1),
      dn: `CN=Ann Lee,${NC}`,
      deleted: false,
      seen: { sAMAccountName: 'alee', userPrincipalName: null, displayName: null, givenName: null, sn: 'Lee', mail: null },
    });
  });

  it.each([
    ['isDeleted TRUE', { isDeleted: ['TRUE'] }, DELETED_DN, true],
    ['isDeleted cleared: brought back', { isDeleted: [] }, `CN=Ann Lee,${NC}`, false],
    ['isDeleted FALSE', { isDeleted: ['FALSE'] }, `CN=Ann Lee,${NC}`, false],
    ['only the name of a deleted object', { sAMAccountName: ['alee'] }, DELETED_DN, true],
    [
      'only the name of a deleted object, and whole: left there by a conflict',
      { objectClass: ['top', 'user'], objectSid: [DOMAIN_SID] },
      DELETED_DN,
      undefined,
    ],
    ['a name in Deleted Objects that is not that of a deleted object', {}, `CN=Ann,CN=Deleted Objects,${NC}`, undefined],
    ['a conflict name', {}, `CN=Ann\\0ACNF:${guidTextOf(1)},${NC}`, undefined],
    ['a deleted name that is only quoted', {}, `CN=x,OU=Ann\\0ADEL:${guidTextOf(1)},CN=Deleted Objects,${NC}`, undefined],
    ['no name', { isDeleted: ['TRUE'] }, '', true],
    ['no name and no more', {}, '', undefined],
    ['an isDeleted that is neither', { isDeleted: ['perhaps'] }, `CN=Ann Lee,${NC}`, undefined],
  ])('%s', (_, attributes, dn, deleted) => {
    expect(observe(attributes, { dn }).observation?.deleted).toBe(deleted);
  });

  it('takes attribute names in any case', () => {
    expect(observe({ SAMACCOUNTNAME: ['alee'] }).observation?.seen.sAMAccountName).toBe('alee');
  });

  it.each([
    ['sAMAccountName', [Buffer.from([0x61, 0xff])]],
    ['displayName', [Buffer.from([0xc3])]],
    ['mail', ['a@example.test', 'b@example.test']],
    ['userAccountControl', ['many']],
    ['userAccountControl', ['']],
    ['objectSid', ['S-1-5-18']],
  ])('lets an unusable %s say nothing, with a warning', (name, values) => {
    const { observation, warnings } = observe({ sn: ['Lee'], [name]: values });
    expect(observation?.seen).toStrictEqual({ sn: 'Lee' });
    expect(warnings).toEqual([expect.stringContaining(name)]);
    expect(observe({ sn: ['Lee'], [name]: values }, { whole: true }).observation?.seen).not.toHaveProperty(name);
  });

  it('sets an entry without a usable objectGUID aside, with a warning', () => {
    for (const objectGUID of [[], ['short'], [guid(1), guid(2)]]) {
      const { observation, warnings } = observe({ objectGUID });
      expect(observation).toBeUndefined();
      expect(warnings).toHaveLength(1);
    }
  });

  it('keeps every name that UTF-8 can write', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (name) => {
        expect(observe({ sAMAccountName: [name] }).observation?.seen.sAMAccountName).toBe(name);
      }),
    );
  });
});
