import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { caughtUp, checkHistory, checkWrites } from '../support/chain-checks.ts';
import { Operations } from '../support/chain-operations.ts';
import { Population, subjectsOf } from '../support/chain-population.ts';
import { Random } from '../support/chain-random.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

/**
 * Milliseconds within which another instance has to go on after one was killed: the lease's 6 s and what it takes to open, also on
 * a busy machine.
 */
const TAKE_OVER = 20_000;
/** The same after one was stopped, which hands its lease over. */
const HAND_OVER = 15_000;
/** Milliseconds for which the second has to do nothing: time enough to start and to work. */
const STANDING_BY = 4_000;
/** Nobody of the random operations. */
const ANOTHER = 'user00040';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 40 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** A stage with operations on it, checked at its end. */
async function withOperations(stage: Stage, body: (perform: (count: number) => Promise<void>) => Promise<void>): Promise<void> {
  const random = new Random();
  await using population = await Population.of(stage);
  const operations = new Operations(stage, population, random, subjectsOf(population, ANOTHER));
  await random.telling(async () => {
    await body(async (count) => {
      for (let done = 0; done < count; done++) await operations.perform();
    });
    checkHistory(await caughtUp(stage, population), population);
    await checkWrites(stage, population);
  });
}

describe.each(ENGINES)('two instances on one log, on %s (rules 1, 2, 3, 7)', (engine) => {
  it('one works and the other waits; after the first was killed the second goes on', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await withOperations(stage, async (perform) => {
      const first = stage.product;
      const second = await stage.another();
      await stage.start(first);
      const standby = second.start();
      await stage.says(/^contoso: stands by while another instance repairs/, { product: second });
      for (const begun = performance.now(); performance.now() - begun < STANDING_BY; ) await perform(1);
      const said = (await second.lines()).map(({ msg }) => msg.replace(/, log on .*/, ''));
      expect(said.toSorted()).toEqual([
        'contoso: stands by while another instance repairs',
        'stands by while another instance listens',
        'starting to listen and repair',
      ]);
      await first.kill();
      const killed = performance.now();
      await perform(5);
      await standby;
      expect(performance.now() - killed).toBeLessThan(TAKE_OVER);
      await stage.says(/: repairing with /, { product: second });
      expect(performance.now() - killed).toBeLessThan(TAKE_OVER);
      await perform(15);
    });
  });

  it('after the first was stopped the second goes on at once', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await withOperations(stage, async (perform) => {
      const second = await stage.another();
      await stage.start();
      const standby = second.start();
      await perform(5);
      await stage.product.stop();
      const stopped = performance.now();
      await standby;
      expect(performance.now() - stopped).toBeLessThan(HAND_OVER);
      await perform(5);
    });
  });

  it('listen and repair as two processes do what run does', async () => {
    await using stage = await Stage.prepare(bed, engine, { command: 'listen' });
    const repairer = await stage.another({ command: 'repair' });
    await withOperations(stage, async (perform) => {
      await stage.product.start();
      await stage.start(repairer);
      await perform(20);
      expect((await repairer.lines()).some(({ msg }) => /^(listening|connected)/.test(msg))).toBe(false);
      expect((await stage.product.lines()).some(({ msg }) => msg.startsWith('contoso'))).toBe(false);
    });
  });
});

describe('two instances on one log, on kafka (rules 1, 2, 3)', () => {
  it('one that was frozen for longer than its lease lasts does nothing any more when it wakes, stands by, and takes over again', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await withOperations(stage, async (perform) => {
      const first = stage.product;
      const second = await stage.another();
      await stage.start(first);
      const standby = second.start();
      await perform(5);
      first.pause();
      await perform(5);
      await standby;
      await stage.says(/: repairing with /, { product: second });
      const { pid } = first;
      const after = (await first.lines()).length;
      first.resume();
      await stage.says(/lease was lost|another instance has taken over/, { product: first, after });
      await stage.says(/^stands by while another instance listens/, { product: first, after });
      await stage.says(/^contoso: stands by while another instance repairs/, { product: first, after });
      await perform(10);
      const asleep = (await first.lines()).slice(after).filter(({ msg }) => /^(listening|connected|contoso: repair)/.test(msg));
      expect(asleep).toEqual([]);
      await second.kill();
      await stage.says(/^listening/, { product: first, after });
      await stage.says(/: repairing with /, { product: first, after });
      expect(first.pid).toBe(pid);
      await perform(10);
    });
  });

  it('one that was frozen between the two writes of a repair leaves the second one to the instance that took over (rule 6)', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    const first = stage.product;
    const second = await stage.another();
    await stage.start(first);
    const standby = second.start();
    const systemuserid = CustomerEngagement.idOf(ANOTHER);
    const parking = { method: 'PATCH', path: `systemusers\\(${systemuserid}\\)`, nth: 1 };
    // Long enough to be frozen meanwhile, and over before the second can write: the lease lasts 6 s from the last heartbeat, and one
    // is sent every 2 s.
    await stage.control.setFaults([{ match: parking, fault: { kind: 'latency', ms: 4_000, when: 'after' } }]);
    await stage.rename(ANOTHER, 'frozen-40');
    await until('the record is parked', async () => (await stage.record(ANOTHER)).domainname.includes('ns-park'));
    first.pause();
    await standby;
    await stage.canLogOn('frozen-40');
    // The answer that it waited for is there when it wakes.
    first.resume();
    await stage.says(/lease was lost|another instance has taken over/, { product: first });
    await until('the repair has ended', async () => (await stage.repairOf(ANOTHER))?.state === 'repaired');
    const told = /: repaired .*frozen-40/;
    await stage.says(told, { product: second });
    expect((await first.lines()).filter(({ msg }) => told.test(msg))).toEqual([]);
    const writes = (await stage.control.requests()).filter(({ method, path }) => method === 'PATCH' && path.includes(systemuserid));
    expect(writes.map(({ body }) => body)).toEqual([expect.stringContaining('ns-park'), expect.stringContaining('frozen-40')]);
    expect(await stage.control.defects()).toEqual([]);
  });
});
