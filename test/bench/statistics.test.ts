import { expect, test } from 'vitest';
import { median, quantile, spread, spreadFigures, table } from './statistics.ts';

test('quantiles lie between the samples, in whatever order they come', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(quantile([10, 20], 0.9)).toBe(19);
  expect(quantile([7], 0.99)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test('the spread of samples: how many there are, and where they lie', () => {
  expect(spread([1, 2, 3])).toEqual(['3', 1, 2, 2.8, 2.98, 3]);
  expect(spreadFigures('floor', [1, 2, 3])).toEqual({ floorMin: 1, floorP50: 2, floorP90: 2.8, floorP99: 2.98, floorMax: 3 });
});

test('a table has its numbers one below the other', () => {
  expect(
    table(
      ['ms', 'p50'],
      [
        ['a', 1],
        ['longer', 1234.5],
      ],
    ),
  ).toBe('  ms       p50\n  a       1.00\n  longer  1235');
});
