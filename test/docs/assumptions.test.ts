import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Settings } from '../../infra/customer-engagement/settings.ts';
import { QUESTIONS } from '../../src/customer-engagement/probe/questions.ts';

const PAGE = readFileSync('docs/assumptions.md', 'utf8');
const NUMBERS = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'A8', 'A9'];

/** The sections by their numbers. */
const SECTIONS = new Map(
  PAGE.split(/^## /m)
    .slice(1)
    .map((text) => [text.slice(0, text.indexOf('\n')), text] as const),
);

function files(number: string): string[] {
  const [, list = ''] = /^- Code: (.*)$/m.exec(SECTIONS.get(number) ?? '') ?? [];
  return [...list.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
}

test('the page, the probe and the tests of the opposites have the same nine numbers', () => {
  expect([...SECTIONS.keys()]).toEqual(NUMBERS);
  expect(QUESTIONS.map(({ number }) => number)).toEqual(NUMBERS);
  const opposites = readFileSync('test/streams/repairer/assumptions.test.ts', 'utf8').matchAll(/number: '(A\d)'/g);
  expect([...new Set([...opposites].map(([, number]) => number))]).toEqual(NUMBERS);
});

describe.each(QUESTIONS)('$number', ({ number, assumption, read, write }) => {
  const section = SECTIONS.get(number) ?? '';

  test('is worded as the probe words it, with its source, its opposite and what that means', () => {
    expect(section.split('\n')).toContain(assumption);
    for (const part of ['Source', 'Code', 'Probe', 'Opposite in the stand-in', 'If the opposite is true'])
      expect(section).toMatch(new RegExp(`^- ${part}: \\S`, 'm'));
  });

  test('is in the table of what is asked how, and the probe does ask', () => {
    const row = PAGE.split('\n').find((line) => line.startsWith('|') && line.includes(number)) ?? '';
    const [, , how = ''] = row.split('|');
    expect([how.includes('reading'), how.includes('writing')]).toEqual([read !== undefined, write !== undefined]);
  });

  test('names code that is there, and that names it', () => {
    expect(files(number).length).toBeGreaterThan(0);
    for (const file of files(number)) expect(readFileSync(file, 'utf8'), file).toMatch(new RegExp(`\\b${number}\\b`));
  });

  test('names settings that the stand-in has', () => {
    const [, opposite = ''] = /^- Opposite in the stand-in: (.*)$/m.exec(section) ?? [];
    for (const [, name = ''] of opposite.matchAll(/`(\w+): \w+`/g)) expect(Object.keys(Settings.shape)).toContain(name);
    expect(opposite).toMatch(/`\w+: \w+`|`PUT \/lag`/);
  });
});

test('whatever code names an assumption is named by it', () => {
  const named = globSync(['src/**/*.ts', 'streams/**/*.ts'])
    .filter((file) => !file.includes('/probe/'))
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/\b(A[1-9])\b/g)].map(([, number = '']) => `${number} ${file}`));
  expect([...new Set(named)].sort()).toEqual(NUMBERS.flatMap((number) => files(number).map((file) => `${number} ${file}`)).sort());
});
