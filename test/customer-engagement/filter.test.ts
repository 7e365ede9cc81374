import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseQuery } from '../../infra/customer-engagement/query.ts';
import { findPaths } from '../../src/customer-engagement/records.ts';
import { ID } from './support.ts';

/** What the strict parser of the stand-in understands of a search, the values it looks for. */
function understood(path = ''): unknown[] {
  expect(path).toMatch(/^[\x21-\x7e]+$/);
  const { filter, select } = parseQuery(path.slice(path.indexOf('?') + 1));
  expect(select).toContain('domainname');
  const parts = filter?.kind === 'or' ? filter.parts : [filter];
  return parts.map((part) => (part?.kind === 'compare' && part.operator === 'eq' ? [part.column, part.value] : part));
}

const anyName = fc.oneof(
  { weight: 2, arbitrary: fc.string({ unit: 'binary' }) },
  fc.string({
    unit: fc.constantFrom(
      "'",
      '"',
      '%',
      '+',
      '&',
      '#',
      '\\',
      '/',
      '?',
      '=',
      ' ',
      '(',
      ')',
      ',',
      '$',
      ';',
      'é',
      '💡',
      'ß',
      '\n',
      'or',
      ' eq ',
      '%27',
    ),
  }),
);

test('a search means exactly the names that were asked for, whatever is in them', () => {
  fc.assert(
    fc.property(fc.array(anyName, { minLength: 1, maxLength: 5 }), fc.array(fc.uuid(), { maxLength: 3 }), (domainNames, systemuserids) => {
      const paths = findPaths({ domainNames, systemuserids });
      expect(paths.flatMap((path) => understood(path))).toEqual([
        ...systemuserids.map((id) => ['systemuserid', id]),
        ...domainNames.map((name) => ['domainname', name]),
      ]);
    }),
    { numRuns: 2000 },
  );
});

test('a name that is no well-formed text finds nobody else and breaks nothing', () => {
  expect(understood(findPaths({ domainNames: ['CORP\\\ud800x'] })[0])).toEqual([['domainname', 'CORP\\\ufffdx']]);
});

test('a quote is doubled and everything is encoded once', () => {
  expect(findPaths({ domainNames: ["CORP\\o'b+&%"] })[0]).toMatch(/&\$filter=domainname%20eq%20'CORP%5Co''b%2B%26%25'$/);
});

test('many names are asked for in addresses that IIS still takes', () => {
  const names = Array.from({ length: 200 }, (_, index) => `CORP\\ns-park-${index}`);
  const paths = findPaths({ systemuserids: [ID], domainNames: names });
  expect(paths.length).toBeGreaterThan(1);
  for (const path of paths) expect(path.split('?')[1]?.length).toBeLessThanOrEqual(2048);
  expect(paths.flatMap((path) => understood(path))).toEqual([['systemuserid', ID], ...names.map((name) => ['domainname', name])]);
});

test('a name that is too long for any address is not looked for', () => {
  expect(() => findPaths({ domainNames: [`CORP\\${'x'.repeat(2_000)}`] })).toThrow('too long');
});
