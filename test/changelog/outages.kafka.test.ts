import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { FencedError, LogError } from '../../streams/change-log.ts';
import { BrokerProxy, END_TXN, PRODUCE } from './broker-proxy.ts';
import { create, expectKnown, expectSequence, history, toggle } from './expectations.ts';
import { kafkaPlace } from './kafka-place.ts';
import { guid, link, Model, NAMING_CONTEXT, repair } from './model.ts';
import { eventually, Pages } from './pages.ts';
import { expectConsistent, noLogError, persist } from './persistence.ts';
import { Appender } from './program.ts';

const NEVER = new AbortController().signal;
/** Milliseconds in which a process must be able to leave. */
const LEAVES_WITHIN = 5_000;

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ directory: false, brokers: 1 });
}, 90_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const broker = () => bed.broker.bootstrap[0] ?? '';

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

describe('a broken way to the broker', { concurrent: true }, () => {
  for (const [what, apiKey, visible] of [
    ['messages', PRODUCE, false],
    ['a commit', END_TXN, true],
  ] as const) {
    it(`that loses the answer to ${what} leaves the batch there once or not at all (SPEC rules 1, 2, 8)`, async () => {
      const place = kafkaPlace(bed);
      const model = new Model();
      await using proxy = await BrokerProxy.start(broker());
      {
        await using log = place.open('main', { brokers: [proxy.address] });
        await using listener = await log.openListener(NEVER);
        await listener.append(model.batch([create(1), create(2)], 'before'));
        proxy.swallow(apiKey);
        const lost = { ...model.batch([toggle(1), toggle(2), create(3)], 'lost') };
        await expect(listener.append(lost)).rejects.toBeInstanceOf(LogError);
        await expect(listener.append(lost)).rejects.toBeInstanceOf(LogError);
      }
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      const events = await history(log);
      expect(events).toHaveLength(visible ? 5 : 2);
      expect(listener.position(NAMING_CONTEXT)?.cookie).toBe(visible ? 'lost' : 'before');
      for (const event of events)
        expect(listener.identity(event.objectGUID)).toEqual(events.findLast((last) => last.objectGUID === event.objectGUID)?.after);
      const [next] = await listener.append(new Model().batch([create(9)], 'after'));
      expect(next?.sequence).toBe(events.length + 1);
      await expectConsistent(place, events.length + 1);
    });
  }

  it('that breaks again and again neither loses nor doubles anything (SPEC rules 1, 2, 3)', async () => {
    const place = kafkaPlace(bed);
    await using proxy = await BrokerProxy.start(broker());
    const through = { ...place, open: (instance?: string) => place.open(instance, { brokers: [proxy.address] }) };
    let acknowledged = 0;
    const appending = persist(through, 60, (sequence) => {
      acknowledged = sequence;
    });
    for (let cuts = 0; cuts < 12 && acknowledged < 50; cuts++) {
      await sleep(50 + Math.random() * 400);
      proxy.tcp.cut();
    }
    await appending;
    await expectConsistent(place, acknowledged);
  });

  it('that is slow is only slow', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using proxy = await BrokerProxy.start(broker());
    proxy.tcp.delay = 150;
    await using log = place.open('main', { brokers: [proxy.address] });
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([create(1)], 'first'));
    await listener.append(model.batch([toggle(1)], 'second'));
    expectKnown(listener, model);
    expect(await history(log, 2)).toEqual(model.events);
  });

  it('that falls silent is noticed, and a process can still leave', async () => {
    const place = kafkaPlace(bed);
    const model = new Model();
    await using proxy = await BrokerProxy.start(broker());
    const log = place.open('main', { brokers: [proxy.address] });
    const listener = await log.openListener(NEVER);
    const repairer = await log.openRepairer('contoso', NEVER);
    using pages = new Pages(repairer);
    await listener.append(model.batch([create(1)], 'first'));
    await pages.take(1);
    proxy.tcp.swallowing = true;
    const [append, record] = await Promise.allSettled([
      listener.append(model.batch([toggle(1)], 'second')),
      repairer.record({ repairs: [repair('contoso', 1)], links: [link('contoso', 1)] }),
    ]);
    expect([append, record]).toMatchObject([{ reason: expect.any(LogError) }, { reason: expect.any(LogError) }]);
    // The group has been silent for longer than a lease lasts: somebody else may have it by now.
    await expect(repairer.confirm()).rejects.toBeInstanceOf(LogError);
    await eventually(() => (listener.lost.aborted && repairer.lost.aborted ? true : undefined));
    const leaving = async () => {
      await Promise.all([listener[Symbol.asyncDispose](), repairer[Symbol.asyncDispose]()]);
      await log[Symbol.asyncDispose]();
    };
    expect(await elapsed(leaving)).toBeLessThan(LEAVES_WITHIN);
    await using again = place.open();
    await using _reopened = await again.openListener(NEVER);
    expectSequence(await history(again, 1));
  });

  it('that is silent from the start can be given up', async () => {
    const place = kafkaPlace(bed);
    await using proxy = await BrokerProxy.start(broker());
    proxy.tcp.swallowing = true;
    const log = place.open('main', { brokers: [proxy.address] });
    const abort = new AbortController();
    const opening = [log.openListener(abort.signal), log.openRepairer('contoso', abort.signal)];
    const reason = new Error('that is enough');
    setTimeout(() => abort.abort(reason), 500);
    const givenUp = async () => {
      for (const { reason: why } of (await Promise.allSettled(opening)) as PromiseRejectedResult[]) expect(why).toBe(reason);
    };
    // What follows, the farewell, has to fit into the stop as well.
    expect(await elapsed(givenUp)).toBeLessThan(500 + 1_900);
    expect(await elapsed(async () => log[Symbol.asyncDispose]())).toBeLessThan(LEAVES_WITHIN);
  });

  it('does not keep an absent broker from being told of', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open('main', { brokers: ['127.0.0.1:1'] });
    await expect(log.openListener(NEVER)).rejects.toBeInstanceOf(LogError);
    await expect(log.status()).rejects.toBeInstanceOf(LogError);
  });
});

describe('a listener that was stopped for a while', { concurrent: true }, () => {
  it('does not take the lease back from the one that went on, and cannot write (SPEC rule 2)', async () => {
    const place = kafkaPlace(bed);
    await using appender = new Appender(place.program({ accounts: 2, batches: 100_000 }));
    await appender.listening();
    await eventually(() => (appender.acknowledged >= 4 ? true : undefined));
    appender.pause();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const model = new Model();
    for (const account of [1, 2]) {
      const known = listener.identity(guid(account));
      if (known !== undefined) model.identities.set(guid(account), known);
    }
    await listener.append(model.batch([toggle(1)], 'taken over'));
    appender.resume();
    expect(await appender.error()).toContain(FencedError.name);
    const [last] = await listener.append(model.batch([toggle(2)], 'went on'));
    expect(listener.lost.aborted).toBe(false);
    await expectConsistent(place, last?.sequence ?? 0);
  });
});

describe('a broker that was away', () => {
  it('for ten seconds: nothing is lost or doubled (SPEC rules 1, 2)', async () => {
    const place = kafkaPlace(bed);
    await using log = place.open();
    const model = new Model();
    const listener = await log.openListener(NEVER);
    const repairer = await log.openRepairer('contoso', NEVER);
    const pages = new Pages(repairer);
    await listener.append(model.batch([create(1), create(2)], 'before'));
    await pages.take(2);
    await repairer.record({ repairs: [repair('contoso', 1)] });
    await bed.broker.stop();
    const back = sleep(10_000).then(() => bed.broker.start());
    const batch = model.batch([toggle(1), toggle(2)], 'during');
    await expect(listener.append(batch)).rejects.toBeInstanceOf(LogError);
    await expect(repairer.record({ links: [link('contoso', 1)] })).rejects.toBeInstanceOf(LogError);
    pages[Symbol.dispose]();
    await Promise.all([listener[Symbol.asyncDispose](), repairer[Symbol.asyncDispose]()]);
    await back;
    // The same log, opened anew as the pipelines do.
    await using again = await eventually(() => log.openListener(NEVER).catch(noLogError), 30_000);
    const durable = (await history(log)).length;
    expect([2, 4]).toContain(durable);
    if (durable === 2) await again.append(batch);
    expectKnown(again, model);
    await using repairing = await eventually(() => log.openRepairer('contoso', NEVER).catch(noLogError), 30_000);
    expect(repairing.openRepairs()).toEqual([repair('contoso', 1)]);
    using rest = new Pages(repairing);
    expect(await rest.take(2)).toEqual([3, 4]);
    await expectConsistent(place, 4);
  });

  it('killed in the middle of appends: nothing is lost or doubled (SPEC rules 1, 2, 3)', async () => {
    const place = kafkaPlace(bed, { partitions: 3 });
    let acknowledged = 0;
    const appending = persist(place, 1_000, (sequence) => {
      acknowledged = sequence;
    });
    await eventually(() => (acknowledged > 0 ? true : undefined));
    await sleep(Math.random() * 300);
    await bed.broker.kill();
    const before = acknowledged;
    expect(before).toBeLessThan(1_000);
    await bed.broker.start();
    await appending;
    await expectConsistent(place, 1_000);
  });
});
