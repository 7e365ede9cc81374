import { expect, it } from 'vitest';
import { USER_FILTER } from '../../src/directory/dirsync.ts';
import { WATCHED_ATTRIBUTES } from '../../src/directory/entry.ts';
import { resumeFrom } from '../../src/directory/resume.ts';
import type { Position } from '../../streams/position.ts';
import { INVOCATION_ID, NC } from './scripted-dc.ts';

const here = {
  dc: 'dc1.corp.example.test',
  namingContext: NC,
  domain: 'CORP',
  invocationId: INVOCATION_ID,
  highestCommittedUSN: '9007199254740993',
};
const stored: Position = {
  namingContext: NC,
  dc: 'DC1.corp.example.test',
  invocationId: INVOCATION_ID,
  highestCommittedUSN: '9007199254740993',
  filter: USER_FILTER,
  attributes: [...WATCHED_ATTRIBUTES],
  cookie: 'AAAA',
};

it('resumes at a good position', () => {
  expect(resumeFrom(stored, here)).toEqual({ position: stored });
});

it('says that nothing is stored', () => {
  expect(resumeFrom(undefined, here)).toEqual({ position: undefined, reason: 'first start' });
});

it.each([
  ['rolled back', { highestCommittedUSN: '9007199254740994' }],
  ['restored', { invocationId: '00000000-0000-0000-0000-000000000000' }],
  ['none of the configured', { invocationId: '00000000-0000-0000-0000-000000000000', dc: 'dc9.corp.example.test' }],
  ['filter', { filter: '(objectClass=person)' }],
  ['attributes', { attributes: ['objectGUID'] }],
  ['naming context', { namingContext: 'DC=other' }],
])('says that the position is lost: %s', (reason, change) => {
  expect(resumeFrom({ ...stored, ...change }, here)).toEqual({ position: undefined, reason: expect.stringContaining(reason) });
});
