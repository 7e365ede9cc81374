import fc from 'fast-check';
import { expect, it } from 'vitest';
import { inOrder } from '../../src/directory/srv.ts';

const record = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  port: fc.nat(65_535),
  priority: fc.nat(3),
  weight: fc.oneof(fc.constant(0), fc.nat(65_535)),
});
/** What Math.random gives. */
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

it('keeps every record, and the priorities in order (RFC 2782)', () => {
  fc.assert(
    fc.property(fc.array(record), fc.infiniteStream(random), (records, lots) => {
      const ordered = inOrder(records, () => lots.next().value);
      expect(new Set(ordered)).toEqual(new Set(records));
      expect(ordered).toHaveLength(records.length);
      const priorities = ordered.map(({ priority }) => priority);
      expect(priorities).toEqual(priorities.toSorted((a, b) => a - b));
    }),
  );
});

it('draws within a priority by weight', () => {
  const records = [0, 1, 3].map((weight) => ({ name: `w${weight}`, port: 389, priority: 0, weight }));
  const rounds = 500;
  // Evenly spread instead of at random: lots from 0 to 4, of which 0 is for the one without weight.
  const first = Array.from({ length: rounds }, (_, i) => inOrder(records, () => i / rounds)[0]?.name);
  const share = (name: string) => first.filter((each) => each === name).length / rounds;
  expect(['w0', 'w1', 'w3'].map(share)).toEqual([0.2, 0.2, 0.6]);
});
