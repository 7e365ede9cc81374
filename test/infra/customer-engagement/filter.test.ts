import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ApiError } from '../../../infra/customer-engagement/api-error.ts';
import type { Value } from '../../../infra/customer-engagement/columns.ts';
import { type Filter, parseFilter } from '../../../infra/customer-engagement/filter.ts';
import { predicate } from '../../../infra/customer-engagement/matching.ts';

const USER: Readonly<Record<string, Value>> = {
  systemuserid: '0a1b2c3d-0000-4000-8000-000000000001',
  domainname: 'CORP\\alee',
  lastname: "O'Brien",
  isdisabled: false,
  accessmode: 4,
  createdon: '2026-03-01T12:00:00Z',
};

function matches(text: string): boolean {
  return predicate(parseFilter(text))((column) => USER[column] ?? null);
}

describe('$filter', () => {
  test.each([
    ["domainname eq 'CORP\\alee'", true],
    ["domainname eq 'corp\\ALEE'", true],
    ["domainname ne 'CORP\\alee'", false],
    ["lastname eq 'O''Brien'", true],
    ["contains(lastname,'''')", true],
    ["startswith(domainname,'corp\\')", true],
    ["endswith(domainname,'lee')", true],
    ["not endswith(domainname,'lee')", false],
    ['systemuserid eq 0A1B2C3D-0000-4000-8000-000000000001', true],
    ['isdisabled eq false', true],
    ['applicationid eq null', true],
    ['applicationid ne null', false],
    ["firstname eq 'Ann'", false],
    ["firstname ne 'Ann'", true],
    ["firstname lt 'Ann'", false],
    ['accessmode ne 3 and accessmode ne 5', true],
    ['accessmode gt 3', true],
    ['accessmode le 3', false],
    ['createdon ge 2026-03-01T13:00:00+01:00', true],
    ['createdon gt 2026-03-01T12:00:00Z', false],
    ['createdon lt 2026-03-02', true],
    // and binds closer than or, not closer than and
    ['isdisabled eq false or isdisabled eq true and accessmode eq 0', true],
    ['(isdisabled eq false or isdisabled eq true) and accessmode eq 0', false],
    ['not (isdisabled eq true) and accessmode eq 4', true],
  ])('%s is %s', (text, expected) => expect(matches(text)).toBe(expected));

  test.each([
    '',
    'isdisabled',
    'isdisabled eq',
    'isdisabled EQ false',
    'isdisabled eq True',
    "isdisabled eq 'false'",
    'isdisabled eq false and',
    '(isdisabled eq false',
    'isdisabled eq false)',
    'isdisabled eq false isdisabled eq false',
    'domainname eq "x"',
    "domainname eq 'x",
    "domainname eq 'it's'",
    'domainname eq 5',
    "systemuserid eq '0a1b2c3d-0000-4000-8000-000000000001'",
    "systemuserid eq guid'0a1b2c3d-0000-4000-8000-000000000001'",
    'createdon gt 2026-13-01T00:00:00Z',
    "substringof('a',domainname)",
    "tolower(domainname) eq 'x'",
    "contains('a',domainname)",
    'contains(domainname,5)',
    'contains(isdisabled,true)',
    "Domainname eq 'x'",
    "userprincipalname eq 'x'",
    'activedirectoryguid eq 0a1b2c3d-0000-4000-8000-000000000001',
    `${'('.repeat(5000)}isdisabled eq false${')'.repeat(5000)}`,
  ])('refuses %s', (text) => {
    expect(() => parseFilter(text)).toThrow(ApiError);
  });

  test('takes parameter aliases', () => {
    const filter = parseFilter('domainname eq @name', (name) => (name === '@name' ? "'CORP\\alee'" : undefined));
    expect(filter).toEqual({ kind: 'compare', column: 'domainname', operator: 'eq', value: 'CORP\\alee' });
  });

  test('means what it says, for any filter and any record', () => {
    fc.assert(
      fc.property(filters, users, (filter, user) => {
        const parsed = predicate(parseFilter(print(filter)));
        expect(parsed((column) => user[column] ?? null)).toBe(evaluate(filter, user));
      }),
      { numRuns: 2000 },
    );
  });
});

const texts = fc.string({ unit: fc.constantFrom('a', 'A', 'b', "'", '\\', ' ', 'é', '('), maxLength: 4 });
const guids = fc.constantFrom('0a1b2c3d-0000-4000-8000-000000000001', 'ffffffff-0000-4000-8000-00000000000a');
const times = fc.constantFrom('2026-03-01T12:00:00Z', '2026-03-01T12:00:01Z', '2020-01-01T00:00:00Z');
const values: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  domainname: texts,
  firstname: texts,
  systemuserid: guids,
  createdon: times,
  isdisabled: fc.boolean(),
  accessmode: fc.integer({ min: -2, max: 5 }),
};
const users = fc.record(Object.fromEntries(Object.entries(values).map(([column, value]) => [column, fc.option(value)])));
const comparisons = fc.constantFrom(...(['eq', 'ne', 'gt', 'ge', 'lt', 'le'] as const));
const leaves = Object.entries(values).map(([column, value]) =>
  fc.tuple(comparisons, fc.option(value)).map(([operator, value]): Filter => ({ kind: 'compare', column, operator, value })),
);
const functions = fc.constantFrom(...(['contains', 'startswith', 'endswith'] as const));
const textLeaf = fc
  .tuple(fc.constantFrom('domainname', 'firstname'), functions, texts)
  .map(([column, name, value]): Filter => ({ kind: 'text', column, function: name, value }));
const { filter: filters } = fc.letrec<{ filter: Filter }>((tie) => {
  const parts = fc.array(tie('filter'), { minLength: 2, maxLength: 3 });
  return {
    filter: fc.oneof(
      { maxDepth: 4 },
      ...leaves,
      textLeaf,
      tie('filter').map((part): Filter => ({ kind: 'not', part })),
      parts.map((parts): Filter => ({ kind: 'and', parts })),
      parts.map((parts): Filter => ({ kind: 'or', parts })),
    ),
  };
});

function print(filter: Filter): string {
  if (filter.kind === 'not') return `not (${print(filter.part)})`;
  if (filter.kind === 'text') return `${filter.function}(${filter.column}, ${literal(filter.value, 'string')})`;
  if (filter.kind === 'compare') return `${filter.column} ${filter.operator} ${literal(filter.value, filter.column)}`;
  return filter.parts
    .map((part) => (part.kind === 'and' || part.kind === 'or' ? `(${print(part)})` : print(part)))
    .join(` ${filter.kind} `);
}

function literal(value: Value, column: string): string {
  const quoted = typeof value === 'string' && column !== 'systemuserid' && column !== 'createdon';
  return quoted ? `'${value.replaceAll("'", "''")}'` : String(value);
}

/** The plain meaning, written down a second time. */
function evaluate(filter: Filter, user: Readonly<Record<string, Value>>): boolean {
  if (filter.kind === 'not') return !evaluate(filter.part, user);
  if (filter.kind === 'and') return !filter.parts.some((part) => !evaluate(part, user));
  if (filter.kind === 'or') return filter.parts.filter((part) => evaluate(part, user)).length > 0;
  const held = plain(user[filter.column] ?? null);
  const wanted = plain(filter.value);
  if (filter.kind === 'text') {
    if (typeof held !== 'string' || typeof wanted !== 'string') return false;
    const places = { contains: held.indexOf(wanted) !== -1, startswith: held.slice(0, wanted.length) === wanted };
    return filter.function === 'endswith' ? wanted === '' || held.slice(-wanted.length) === wanted : places[filter.function];
  }
  if (filter.operator === 'eq') return held === wanted;
  if (filter.operator === 'ne') return held !== wanted;
  if (held === null || wanted === null) return false;
  const order = held === wanted ? 0 : held < wanted ? -1 : 1;
  return { gt: order > 0, ge: order >= 0, lt: order < 0, le: order <= 0 }[filter.operator];
}

function plain(value: Value): string | number | null {
  return typeof value === 'string' ? value.toLowerCase() : value === null ? null : Number(value);
}
