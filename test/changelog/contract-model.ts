import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Engine, NEVER } from './engine.ts';
import { everything, expectKnown } from './expectations.ts';
import { type Deed, Model } from './model.ts';

/** Whatever is appended and however often the log is reopened, it holds what a plain model in memory holds. */
export function modelContract(engine: Engine): void {
  it('agrees with a plain model, whatever happens, however often it is reopened (SPEC rules 1, 3)', async () => {
    const account = fc.integer({ min: 1, max: 4 });
    const deed: fc.Arbitrary<Deed> = fc.oneof(
      fc.record({ do: fc.constantFrom('create', 'delete', 'toggle'), account }),
      fc.record({ do: fc.constant('rename' as const), account, to: fc.constantFrom('lee', 'Lee', 'kim', 'user1', 'user2') }),
    );
    const step = fc.record({
      deeds: fc.array(deed, { maxLength: 6 }),
      notices: fc.integer({ min: 0, max: 2 }),
      traced: fc.boolean(),
      positioned: fc.boolean(),
      reopen: fc.boolean(),
    });
    const steps = fc.array(step, { minLength: 2, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(steps, async (batches) => {
        const place = await engine.place();
        const model = new Model();
        let log = place.open();
        let listener = await log.openListener(NEVER);
        try {
          for (const [index, { deeds, notices, traced, positioned, reopen }] of batches.entries()) {
            const batch = model.batch(deeds, positioned ? `cookie ${index}` : undefined, { notices, traced });
            if (batch.changes.length > 0 || notices > 0 || positioned) await listener.append(batch);
            if (!reopen) continue;
            await listener[Symbol.asyncDispose]();
            await log[Symbol.asyncDispose]();
            log = place.open();
            listener = await log.openListener(NEVER);
          }
          expectKnown(listener, model);
          expect(await everything(log, model.log.length)).toEqual(model.log);
        } finally {
          await listener[Symbol.asyncDispose]();
          await log[Symbol.asyncDispose]();
        }
      }),
      { numRuns: engine.runs },
    );
  });
}
