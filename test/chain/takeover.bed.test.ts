import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { Namesake } from '../../infra/testbed/namesake.ts';
import { ENGINES, type Engine, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

/** Times that one instance takes over from another in a row. */
const TIMES = 5;
/** Milliseconds within which another instance has to be at work after a kill and after a stop, also on a busy machine. */
const WITHIN = { kill: 10_000, stop: 2_000 } as const;
type Ending = keyof typeof WITHIN;

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 40 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** Milliseconds from the end of the one to when the other listens, and to when a change that was made right after it is told. */
interface TakeOver {
  readonly listens: number;
  readonly tells: number;
}

/** What the log says from this many lines on. */
async function linesAfter(product: Namesake, count: number) {
  return (await product.lines()).slice(count);
}

/** Resolves when it waits for its turn. */
async function standBy(stage: Stage, product: Namesake): Promise<void> {
  const after = (await product.lines()).length;
  // That it is at work is waited for later.
  product.start().catch(() => {});
  await stage.says(/^stands by while another instance listens/, { product, after });
}

async function takeOver(stage: Stage, from: Namesake, to: Namesake, ending: Ending, number: number): Promise<TakeOver> {
  const after = (await to.lines()).length;
  const begun = Date.now();
  const ended = ending === 'kill' ? from.kill() : from.stop();
  const name = `${stage.engine}-${ending}-${number}`;
  await stage.admin.create({ sAMAccountName: name });
  await ended;
  const timeOf = async (what: string, pattern: RegExp) => {
    const found = async () => (await linesAfter(to, after)).find(({ msg }) => pattern.test(msg));
    return Date.parse((await until(what, found, 30_000)).time) - begun;
  };
  return {
    listens: await timeOf('the other one listens', /^listening/),
    tells: await timeOf('it tells', new RegExp(`^created .*${name}`)),
  };
}

async function measured(engine: Engine, ending: Ending): Promise<TakeOver[]> {
  await using stage = await Stage.prepare(bed, engine, { command: 'listen' });
  let [working, waiting] = [stage.product, await stage.another()];
  await working.start();
  const all: TakeOver[] = [];
  for (let number = 1; number <= TIMES; number++) {
    await standBy(stage, waiting);
    all.push(await takeOver(stage, working, waiting, ending, number));
    [working, waiting] = [waiting, working];
  }
  const { events } = await stage.history();
  expect(events.map(({ kind }) => kind)).toEqual(Array(TIMES).fill('created'));
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  return all;
}

describe.each(ENGINES)('one instance takes over from another, on %s (rules 1, 2)', (engine) => {
  it.each<[string, Ending]>([
    ['killed', 'kill'],
    ['stopped', 'stop'],
  ])('that was %s, again and again', async (_, ending) => {
    const all = await measured(engine, ending);
    console.log(
      `${engine}, ${ending}: listens after ${all.map(({ listens }) => listens)} ms, tells after ${all.map(({ tells }) => tells)} ms`,
    );
    for (const { listens } of all) expect(listens).toBeLessThan(WITHIN[ending]);
  });
});
