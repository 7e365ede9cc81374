import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startBed } from '../../infra/testbed/bed.ts';
import { caughtUp, checkHistory, checkWrites } from '../support/chain-checks.ts';
import { Operations } from '../support/chain-operations.ts';
import { Population, subjectsOf } from '../support/chain-population.ts';
import { Random } from '../support/chain-random.ts';
import { type Engine, Stage } from '../support/chain-stage.ts';

/** Operations around each kill: some while nobody listens, the others while the product is at work. */
const WHILE_DOWN = 3;
const AT_WORK = 9;
/** Milliseconds at most between two operations, and from the start or from the first work to the kill. */
const PAUSE = 120;
const INTO_START = 900;
const INTO_WORK = 1_200;

/** Several beds side by side, since after a kill the broker keeps the lease for seconds in which nothing happens. */
describe.concurrent('killed with SIGKILL at random moments while accounts change', { timeout: 400_000 }, () => {
  it.each([1, 2, 3])('17 times on Kafka, bed %i of 3', async () => {
    await killAgainAndAgain('kafka', 17);
  });

  it('15 times on SQLite', async () => {
    await killAgainAndAgain('sqlite', 15);
  });
});

/** SPEC rules 1, 2, 3, 6, 7 and 8. */
async function killAgainAndAgain(engine: Engine, kills: number): Promise<void> {
  const random = new Random();
  const timing = new Random(random.seed + 1);
  await using bed = await startBed({ brokers: engine === 'kafka' ? 1 : 0, customerEngagement: true, users: 60, linked: 40 });
  await using stage = await Stage.prepare(bed, engine);
  await using population = await Population.of(stage);
  const operations = new Operations(stage, population, random, subjectsOf(population));
  const perform = async (count: number) => {
    for (let done = 0; done < count; done++) {
      await operations.perform();
      await delay(timing.below(PAUSE));
    }
  };
  await random.telling(async () => {
    await stage.start();
    // A repair takes long enough to be met in the middle.
    await stage.control.setFaults([
      { match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 20 } },
      { match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 20, when: 'after' } },
    ]);
    for (let kill = 0; kill < kills; kill++) {
      const changes = perform(AT_WORK);
      await delay(timing.below(INTO_WORK));
      await stage.product.kill();
      await changes;
      await perform(WHILE_DOWN);
      if (timing.chance(0.2)) {
        void stage.product.start().catch(() => {});
        await delay(timing.below(INTO_START));
        await stage.product.kill();
      }
      await stage.start();
    }
    const history = await caughtUp(stage, population, 60_000);
    checkHistory(history, population);
    await checkWrites(stage, population);
    expect(history.events.length).toBeGreaterThan(kills * AT_WORK);
  });
}
