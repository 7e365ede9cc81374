import { expect, it } from 'vitest';
import { runRepairer } from './repairer-run.ts';

/** The first seed and how many; others by the command. */
const [first = 1, count = 20] = [process.env.TORTURE_SEED, process.env.TORTURE_SEEDS].map((text) =>
  text === undefined ? undefined : Number(text),
);
const SEEDS = Array.from({ length: count }, (_, index) => first + index);
const REPAIRS_AT_LEAST = 5_000 / 20;

let repairs = 0;

it.each(SEEDS)(
  'whatever happens, every record ends right or has a true reason (SPEC rules 6, 7, 8): seed %i',
  { timeout: 240_000 },
  async (seed) => {
    const outcome = await runRepairer(seed);
    repairs += outcome.repairs;
    const tale = [...outcome.trace, ...outcome.faults, `again: npm run torture -- repairer --seed ${seed}`].join('\n');
    expect(outcome.faults, tale).toEqual([]);
  },
);

it('was a lot', () => {
  expect(repairs).toBeGreaterThanOrEqual(REPAIRS_AT_LEAST * count);
});
