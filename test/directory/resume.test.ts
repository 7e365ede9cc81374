import { describe, expect, it } from 'vitest';
import { USER_FILTER } from '../../src/directory/entry.ts';
import type { Method } from '../../src/directory/method.ts';
import { resumeFrom, watermarksElsewhere } from '../../src/directory/resume.ts';
import type { DomainController } from '../../src/directory/root-dse.ts';
import { USUAL, watching } from '../../src/directory/watched.ts';
import { encodeWatermarks } from '../../src/directory/watermarks.ts';
import { Position, type PositionInput } from '../../streams/position.ts';
import { INVOCATION_ID, NC } from './scripted-dc.ts';

const OTHER = '11111111-2222-4333-8444-555555555555';
const THIRD = '99999999-2222-4333-8444-555555555555';
const DAY = 86_400_000;
const NOW = Date.parse('2026-06-01T00:00:00Z');

const here: DomainController = {
  dc: 'dc1.corp.example.test',
  namingContext: NC,
  configurationNamingContext: `CN=Configuration,${NC}`,
  domain: 'CORP',
  domainSid: 'S-1-5-21-1-2-3',
  invocationId: INVOCATION_ID,
  highestCommittedUSN: '9007199254740993',
  vector: { [INVOCATION_ID]: '9007199254740993', [THIRD]: '12' },
  hasDirSync: true,
  tombstoneLifetime: 60 * DAY,
  replication: { isReadOnly: false, isOutbound: true, lastHeard: new Map(), now: NOW },
};
const DIRSYNC: Method = { source: 'dirsync', flags: 0 };
const USN: Method = { source: 'usn', base: NC };
const stored: PositionInput = {
  namingContext: NC,
  dc: 'DC1.corp.example.test',
  invocationId: INVOCATION_ID,
  highestCommittedUSN: '9007199254740993',
  filter: USER_FILTER,
  attributes: [...USUAL.names],
  domainSid: here.domainSid,
  cookie: 'AAAA',
  seen: { [INVOCATION_ID]: '9007199254740993' },
  readAt: new Date(NOW - 59 * DAY).toISOString(),
};
/** Of another domain controller, which this one has replicated from. */
const elsewhere: PositionInput = {
  ...stored,
  dc: 'dc2.corp.example.test',
  invocationId: OTHER,
  highestCommittedUSN: '70',
  seen: { [OTHER]: '70' },
};
const knowing: DomainController = { ...here, vector: { ...here.vector, [OTHER]: '66' } };

const marks = (usns: Record<string, string>, base = NC) => encodeWatermarks({ base, usns });
/** Read by uSNChanged, here and on another domain controller. */
const byUsn: PositionInput = { ...stored, source: 'usn', cookie: marks({ [INVOCATION_ID]: '9007199254740993', [OTHER]: '70' }) };

const resume = (position: PositionInput, at = here, method = position.source === 'usn' ? USN : DIRSYNC) =>
  resumeFrom(Position.parse(position), at, method, NOW);

it('says that nothing is stored', () => {
  expect(resumeFrom(undefined, here, DIRSYNC)).toEqual({ position: undefined, reason: 'first start' });
});

describe('resumes', () => {
  it.each<[string, PositionInput, DomainController?]>([
    ['at a good position', stored],
    ['at one of an older version, which has neither domain nor time nor vector', { ...stored, domainSid: '', readAt: '', seen: {} }],
    ['where the domain may not be seen', stored, { ...here, domainSid: '' }],
    ['where another domain controller stood that this one knows', elsewhere, knowing],
    ['where another one stood that had seen this one', { ...elsewhere, seen: { [OTHER]: '70', [INVOCATION_ID]: '5' } }],
    ['by uSNChanged', byUsn],
    [
      'by uSNChanged on a domain controller that was left and is come back to',
      { ...byUsn, dc: 'dc2.corp.example.test', invocationId: OTHER, seen: {} },
    ],
    ['at a time that lies ahead', { ...stored, readAt: new Date(NOW + 900 * DAY).toISOString() }],
  ])('%s', (_, position, at) => {
    expect(resume(position, at)).toEqual({ position: Position.parse(position) });
  });
});

describe('says that the position is lost (SPEC rule 5)', () => {
  it.each<[string, PositionInput, DomainController?]>([
    ['knows nothing of dc2.corp.example.test', elsewhere],
    ['filter', { ...stored, filter: '(objectClass=person)' }],
    ['attributes', { ...stored, attributes: ['objectGUID'] }],
    ['flags 1', { ...stored, flags: 1 }],
    ['cannot be understood', { ...byUsn, cookie: marks({}) }],
    ['cannot be understood', { ...byUsn, cookie: 'AAAA' }],
    ['below OU=Staff', { ...byUsn, cookie: marks({ [INVOCATION_ID]: '1' }, `OU=Staff,${NC}`) }],
  ])('%s', (reason, position, at) => {
    expect(resume(position, at)).toEqual({ position: undefined, reason: expect.stringContaining(reason) });
  });

  it.each<[string, PositionInput, DomainController?]>([
    ['restored', { ...stored, invocationId: OTHER }],
    ['restored', { ...stored, invocationId: OTHER }, knowing],
    ['remembers deletions for 60 days', { ...stored, readAt: new Date(NOW - 61 * DAY).toISOString() }],
    ['remembers deletions for 2 days', stored, { ...here, tombstoneLifetime: 2 * DAY }],
    ['remembers deletions for 60 days', { ...stored, flags: 1, readAt: new Date(NOW - 61 * DAY).toISOString() }],
  ])('%s, and that who is not found any more is gone', (reason, position, at) => {
    expect(resume(position, at)).toEqual({ position: undefined, reason: expect.stringContaining(reason), lossy: true });
  });

  it.each<[string, PositionInput]>([
    ['naming context', { ...stored, namingContext: 'DC=other' }],
    ['built anew', { ...stored, domainSid: 'S-1-5-21-4-5-6' }],
  ])('%s, and that nothing of it can still turn up', (reason, position) => {
    expect(resume(position)).toEqual({ position: undefined, reason: expect.stringContaining(reason), lossy: true, rebuilt: true });
  });

  it.each<[PositionInput, DomainController?]>([
    [{ ...stored, highestCommittedUSN: '9007199254740994' }],
    [{ ...stored, seen: { [INVOCATION_ID]: '9007199254740994' } }],
    [{ ...elsewhere, seen: { [OTHER]: '70', [INVOCATION_ID]: '9007199254740994' } }, knowing],
    [{ ...byUsn, cookie: marks({ [INVOCATION_ID]: '9007199254740994' }) }],
  ])('rolled back: what it says of its own writes counts for nothing, and who is not found any more is gone (%#)', (position, at) => {
    const reason = expect.stringContaining('was rolled back: its highestCommittedUSN is 9007199254740993, and was 9007199254740994');
    expect(resume(position, at)).toEqual({ position: undefined, reason, lossy: true, rolledBack: true });
  });
});

it('a domain controller that was never read by uSNChanged is compared with, and nothing is lost by that', () => {
  const read = { ...byUsn, dc: 'dc2.corp.example.test', invocationId: OTHER, cookie: marks({ [OTHER]: '70' }) };
  const unread = 'dc1.corp.example.test was never read by uSNChanged before';
  expect(resume(read, knowing)).toEqual({ position: Position.parse(read), unread });
});

describe('other settings', () => {
  const following = (profile: string[], scope = '') =>
    resumeFrom(Position.parse(stored), here, DIRSYNC, NOW, { watched: watching(profile, { moves: scope !== '' }), scope });

  it.each<[string, ReturnType<typeof following>, string]>([
    ['another scope', following([...USUAL.profile], 'in ["ou=staff"]'), 'the scope was changed'],
    ['one more attribute', following([...USUAL.profile, 'title']), 'other attributes are watched: title from now on'],
    ['one less', following(['displayName', 'givenName', 'sn']), 'other attributes are watched: no more mail'],
  ])('%s keeps the position, and says why everything is compared', (_, found, changed) => {
    expect(found).toEqual({ position: Position.parse(stored), changed });
  });

  it('are told after what makes a position useless', () => {
    expect(resumeFrom(Position.parse({ ...stored, flags: 1 }), here, DIRSYNC, NOW, { watched: USUAL, scope: 'in []' })).toEqual({
      position: undefined,
      reason: expect.stringContaining('flags 1'),
    });
  });
});

describe('another way of reading', () => {
  it('starts from nothing', () => {
    expect(resume(stored, here, USN)).toMatchObject({ reason: expect.stringContaining('by DirSync, and uSNChanged is used now') });
    expect(resume(byUsn, here, DIRSYNC)).toMatchObject({ reason: expect.stringContaining('by uSNChanged, and DirSync is used now') });
    expect(resume({ ...stored, flags: 1 }, here, { source: 'dirsync', flags: 1 })).toHaveProperty('position.flags', 1);
  });
});

describe('how far others were read by uSNChanged', () => {
  const elsewhere = (position: PositionInput) => watermarksElsewhere(Position.parse(position), here, USN, NOW);

  it('is kept when this one was never read, and when it was', () => {
    expect(elsewhere({ ...byUsn, invocationId: OTHER, cookie: marks({ [OTHER]: '70' }) })).toEqual({ [OTHER]: '70' });
    expect(elsewhere(byUsn)).toHaveProperty(OTHER, '70');
  });

  it.each<[string, PositionInput]>([
    ['another base', { ...byUsn, cookie: marks({ [OTHER]: '70' }, 'OU=Staff') }],
    ['another way', stored],
    ['another domain', { ...byUsn, domainSid: 'S-1-5-21-4-5-6' }],
    ['deletions that are forgotten', { ...byUsn, readAt: new Date(NOW - 61 * DAY).toISOString() }],
  ])('is of no use after %s', (_, position) => {
    expect(elsewhere(position)).toEqual({});
  });
});
