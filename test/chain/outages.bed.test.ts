import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { caughtUp, checkHistory, checkWrites } from '../support/chain-checks.ts';
import { namesake } from '../support/chain-cli.ts';
import { Operations } from '../support/chain-operations.ts';
import { Population, subjectsOf } from '../support/chain-population.ts';
import { Random } from '../support/chain-random.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

/** How long the broker is away and the domain controller frozen, in milliseconds: what is tested, nothing is waited for. */
const BROKER_AWAY = 20_000;
const FROZEN = 8_000;
/** Back-off has grown to its longest by then: half a minute. */
const CAUGHT_UP = 60_000;
/** Nobody of the random operations. */
const ANOTHER = 'user00040';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 40 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

interface Outage {
  readonly stage: Stage;
  readonly population: Population;
  readonly perform: (count: number) => Promise<void>;
}

/** Operations before, during and after something that goes wrong; then everything has to be caught up without help. */
async function survives(body: (outage: Outage) => Promise<void>): Promise<void> {
  const random = new Random();
  await using stage = await Stage.prepare(bed, 'kafka');
  await using population = await Population.of(stage);
  const operations = new Operations(stage, population, random, subjectsOf(population, ANOTHER));
  const perform = async (count: number) => {
    for (let done = 0; done < count; done++) await operations.perform();
  };
  await random.telling(async () => {
    await stage.start();
    const { pid } = stage.product;
    await perform(8);
    await body({ stage, population, perform });
    await perform(8);
    const history = await caughtUp(stage, population, CAUGHT_UP);
    checkHistory(history, population);
    await checkWrites(stage, population);
    expect(stage.product.pid, 'it is still the same process').toBe(pid);
  });
}

describe('an outage is caught up without help (rules 1, 2, 3, 7)', () => {
  it('the broker is stopped for 20 s and started again', async () => {
    await survives(async ({ stage, perform }) => {
      await bed.broker.stop();
      await perform(6);
      const away = delay(BROKER_AWAY);
      await stage.says(/^kafka .*trying again in/);
      const { code, stderr } = await namesake(['status', '--config', stage.product.configFile]);
      expect([code, stderr]).toEqual([1, expect.stringContaining(bed.broker.bootstrap[0] ?? '')]);
      await away;
      await perform(6);
      await bed.broker.start();
    });
  });

  it('the broker is killed with SIGKILL and started again', async () => {
    await survives(async ({ perform }) => {
      const changes = perform(6);
      await bed.broker.kill();
      await changes;
      await bed.broker.start();
    });
  });

  it('the broker is frozen for some seconds', async () => {
    await survives(async ({ perform }) => {
      bed.broker.pause();
      await perform(6);
      await delay(FROZEN);
      bed.broker.resume();
    });
  });

  it('the domain controller is stopped and started again', async () => {
    await survives(async ({ stage, population }) => {
      const tryingAgain = /^ldaps:.*trying again in/;
      await bed.directory.stop();
      await stage.says(tryingAgain);
      // What it had read is published by then, and since then nothing is known of the directory.
      const { time } = (await stage.status()).positions[0] ?? {};
      expect(time).toBeDefined();
      await stage.says(tryingAgain, { after: (await stage.product.lines()).length, within: CAUGHT_UP });
      expect((await stage.status()).positions[0]?.time).toBe(time);
      await bed.directory.start();
      await reconnect(stage, population);
    });
  });

  it('the domain controller is killed with SIGKILL right after changes, and started again', async () => {
    await survives(async ({ stage, population, perform }) => {
      await perform(6);
      await bed.directory.kill();
      await stage.says(/^ldaps:.*trying again in/);
      await bed.directory.start();
      await reconnect(stage, population);
    });
  });

  it('the domain controller is frozen right after a change', async () => {
    await survives(async ({ perform }) => {
      await perform(1);
      bed.directory.pause();
      await delay(FROZEN);
      bed.directory.resume();
    });
  });

  it('the domain controller is away when the product starts', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await bed.directory.kill();
    await stage.product.start();
    await stage.says(/^ldaps:.*trying again in/);
    await bed.directory.start();
    await stage.reconnect();
    await stage.says(/: repairing with /);
    await stage.rename(ANOTHER, `${ANOTHER}.2`);
    await stage.canLogOn(`${ANOTHER}.2`);
  });
});

async function reconnect(stage: Stage, population: Population): Promise<void> {
  await until('the domain controller answers', async () => {
    await stage.reconnect();
    await population.reconnect(stage);
    return true;
  });
}
