import { expect, it } from 'vitest';
import { secondWrite } from '../../src/directory/committed.ts';

const HERE = '547867ce-4515-48ac-a6d7-fc0396e6560a';
const OTHER = '2d1f9a35-7c53-4a3c-9a54-1f2f6f0d3b11';
const shown = { usn: '9007199254740993', at: '2026-01-02T12:00:00.000Z' };
const now = Date.parse('2026-01-03T12:00:00Z');
const second = (time: string, more: { invocationId?: string; localUsn?: string } = {}) =>
  secondWrite([{ version: 1, time, usn: '1', localUsn: shown.usn, invocationId: HERE, ...more }], shown, { invocationId: HERE, now });

it.each([
  ['after it was shown', second('2026-01-02T12:00:02Z')],
  ['elsewhere, long after', second('2026-01-02T12:11:00Z', { invocationId: OTHER })],
])('a number that had been shown was given twice when its write was made %s', (_, found) => {
  expect(found).toMatchObject({ localUsn: shown.usn });
});

it.each([
  ['before', second('2026-01-02T11:59:59Z')],
  ['in that second', second('2026-01-02T12:00:01Z')],
  ['with a number of its own', second('2026-01-02T13:00:00Z', { localUsn: '9007199254740994' })],
  ['elsewhere, by a clock that is five minutes ahead', second('2026-01-02T12:05:00Z', { invocationId: OTHER })],
  ['by a clock that was set to another year', second('2027-01-02T12:00:00Z')],
])('but not when it was made %s', (_, found) => {
  expect(found).toBeUndefined();
});
