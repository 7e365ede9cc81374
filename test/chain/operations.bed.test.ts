import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { caughtUp, checkHistory, checkWrites } from '../support/chain-checks.ts';
import { Operations } from '../support/chain-operations.ts';
import { Population, subjectsOf } from '../support/chain-population.ts';
import { Random } from '../support/chain-random.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';

const OPERATIONS = 200;
/** Operations between two looks whether everything is caught up. */
const BLOCK = 50;

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 60, linked: 40 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe.each(ENGINES)('200 random operations of another LDAP client, on %s', (engine) => {
  it('become a history without hole or double, and right user records (rules 1, 2, 3, 6, 7)', async () => {
    const random = new Random();
    await using stage = await Stage.prepare(bed, engine);
    await using population = await Population.of(stage);
    const operations = new Operations(stage, population, random, subjectsOf(population));
    await random.telling(async () => {
      await stage.start();
      for (let done = 0; done < OPERATIONS; done++) {
        if (done % BLOCK === BLOCK - 1) {
          await caughtUp(stage, population);
          operations.settled();
          // From half-way on repairs take long enough to meet each other.
          if (done > OPERATIONS / 2) await stage.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 40 } }]);
        }
        await operations.perform();
      }
      const history = await caughtUp(stage, population);
      checkHistory(history, population);
      await checkWrites(stage, population);
      expect(operations.counts.size, 'kinds of operations').toBe(12);
    });
  });
});
