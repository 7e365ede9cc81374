import { afterAll, expect, it } from 'vitest';
import { commandFor, Torture } from './torture.ts';

/** Fixed, so that who broke something sees it at once; time makes every run another one all the same. */
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);
const CHANGES_AT_LEAST = 2_000;

const torture = new Torture();
let changes = 0;

afterAll(async () => {
  await torture[Symbol.asyncDispose]();
});

it.each(SEEDS)('whatever happens, the history comes to what the directory shows: seed %i', { timeout: 240_000 }, async (seed) => {
  const outcome = await torture.run(seed);
  changes += outcome.changes;
  const story = [...outcome.trace, ...outcome.faults, `again: ${commandFor(seed)}`].join('\n');
  expect(outcome.faults, story).toEqual([]);
});

it('was a lot', () => {
  expect(changes).toBeGreaterThanOrEqual(CHANGES_AT_LEAST);
});
