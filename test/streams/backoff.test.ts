import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoff } from '../../streams/backoff.ts';

const delays = fc.record({ first: fc.integer({ min: 1, max: 900_000 }), more: fc.nat(900_000) });
const part = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('a delay lies in the upper half of a ceiling that doubles from the first to the longest', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), delays, part, (attempt, { first, more }, random) => {
      const longest = first + more;
      const delay = backoff(attempt, { first, longest }, () => random);
      const ceiling = Math.min(longest, first * 2 ** (attempt - 1));
      expect(delay).toBeGreaterThanOrEqual(Math.round(ceiling / 2));
      expect(delay).toBeLessThanOrEqual(ceiling);
      expect(Number.isInteger(delay)).toBe(true);
    }),
  );
});

test('many who failed together do not come back together', () => {
  const delays = new Set(Array.from({ length: 100 }, () => backoff(10, { first: 500, longest: 30_000 })));
  expect(delays.size).toBeGreaterThan(90);
});
