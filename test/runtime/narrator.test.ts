import { expect, test } from 'vitest';
import type { Logger } from '../../src/runtime/logger.ts';
import { Narrator, storyOf } from '../../src/runtime/narrator.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import { guid } from '../support/memory-directory.ts';

/** What is logged about this. */
function told(report: ListenerReport): [level: string, message: string, fields: unknown][] {
  const lines: [string, string, unknown][] = [];
  const level = (name: string) => (fields: unknown, message?: string) =>
    void lines.push([name, message ?? String(fields), message === undefined ? {} : fields]);
  const logger = { info: level('info'), warn: level('warn'), error: level('error'), debug: level('debug') };
  new Narrator(logger as unknown as Logger).listener(report);
  return lines;
}

test('to go back to a preferred domain controller is nothing to worry about', () => {
  const error = new DirectoryError('preferred', 'dc1 is well again, and preferred to dc2');
  expect(told({ type: 'leaving', source: 'corp', error })).toEqual([
    ['info', 'dc1 is well again, and preferred to dc2; going back to it', { source: 'corp' }],
  ]);
  const lost = new DirectoryError('unavailable', 'dc1: the connection was lost');
  expect(told({ type: 'leaving', source: 'corp', error: lost })).toMatchObject([
    ['warn', 'dc1: the connection was lost; going to another domain controller', { error: lost }],
  ]);
});

test('of the domain controllers that were looked at it is told which one was taken all the same', () => {
  const passedOver = [
    { dc: 'dc1', reason: 'it is away' },
    { dc: 'dc2', reason: 'taken although it is behind' },
  ];
  const lines = told({
    type: 'connected',
    source: 'corp',
    dc: 'dc2',
    namingContext: 'DC=corp',
    fullRead: undefined,
    passedOver,
    limits: [],
  });
  expect(lines.map(([, message]) => message).slice(1)).toEqual(['passed over dc1: it is away', 'dc2: taken although it is behind']);
});

test('a failure is told with the name of its directory once', () => {
  const waiting = (message: string) =>
    told({ type: 'waiting', on: 'ldaps://dc1', error: new DirectoryError('unavailable', message), milliseconds: 5_000 })[0]?.[1];
  expect(waiting('ldaps://dc1: refused')).toMatch(/^ldaps:\/\/dc1: refused; trying again/);
  expect(waiting('refused')).toMatch(/^ldaps:\/\/dc1: refused; trying again/);
});

test.each([
  ['nobody had before', {}, 'CORP\\ann → CORP\\anna'],
  ['somebody had before', { formerHolder: guid('account', 2) }, `CORP\\ann → CORP\\anna, a name that ${guid('account', 2)} had before`],
  [
    'somebody has, and so had',
    { formerHolder: guid('account', 2), sharedWith: guid('account', 2) },
    `CORP\\ann → CORP\\anna, a name that ${guid('account', 2)} has at the same time`,
  ],
])('the story of a rename to a name that %s', (_, more: Partial<ChangeEvent>, story) => {
  const identity = { objectGUID: guid('account', 1), domain: 'CORP', sAMAccountName: 'ann', enabled: true };
  const event: ChangeEvent = {
    kind: 'renamed',
    objectGUID: identity.objectGUID,
    sequence: 7,
    changed: ['sAMAccountName'],
    before: identity,
    after: { ...identity, sAMAccountName: 'anna' },
    caseOnly: false,
    formerHolder: null,
    observed: { time: '2026-01-02T03:04:05.000Z', dc: 'dc1', dn: 'CN=Ann', via: 'dirsync', origin: null },
    ...more,
  };
  expect(storyOf(event)).toBe(story);
});
