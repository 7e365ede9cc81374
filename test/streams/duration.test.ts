import { expect, it } from 'vitest';
import { durationText } from '../../streams/duration.ts';

it.each([
  [0, '0 ms'],
  [999.4, '999 ms'],
  [1_000, '1 s'],
  [119_000, '119 s'],
  [120_000, '2 min'],
  [3_600_000, '60 min'],
  [7_200_000, '2 h'],
  [30 * 3_600_000, '30 h'],
])('%i milliseconds are %s for a person', (milliseconds, text) => {
  expect(durationText(milliseconds)).toBe(text);
});
