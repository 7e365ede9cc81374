import { setTimeout as delay } from 'node:timers/promises';
import { changeSomething } from './changes.ts';
import type { Controller } from './controller.ts';
import { acceptWithheld, compare } from './requests.ts';
import { toldOf } from './told.ts';
import { DAMAGES } from './tortured-listener.ts';
import type { World } from './world.ts';

interface Disturbance {
  readonly weight: number;
  /** @returns what was done; undefined when it is not possible now */
  readonly disturb: (world: World) => Promise<string | undefined>;
}

/** Milliseconds for which a line is bad at most: an answer comes within them as a rule. */
const BAD_LINE = 700;

const MISHAPS = ['gone-before', 'gone-after', 'fails-before', 'fails-after'] as const;

/** By what is done to the domain controllers, to what they tell each other, to the listener, and to its log. */
const DISTURBANCES: readonly Disturbance[] = [
  {
    weight: 8,
    disturb: async ({ pair, random }) => {
      const chosen = random.pick(pair.all);
      if (!chosen.isUp) return undefined;
      await chosen.setPulls(!chosen.pulls);
      return `${chosen.name} ${chosen.pulls ? 'pulls again' : 'pulls nothing'}`;
    },
  },
  {
    weight: 3,
    disturb: async ({ pair, random, journal, rolledBack }) => {
      const to = random.pick(pair.all);
      // After a roll-back that can be impossible.
      if (rolledBack !== undefined || pair.all.some(({ isUp }) => !isUp)) return undefined;
      await pair.pull(to, journal);
      return `${to.name} has pulled`;
    },
  },
  {
    weight: 4,
    disturb: async ({ pair, random }) => {
      const { line, name } = random.pick(pair.all);
      line.cut();
      return `the line to ${name} was cut`;
    },
  },
  {
    weight: 1,
    disturb: async ({ pair, random }) => {
      const { line, name } = random.pick(pair.all);
      line.halfClose();
      return `the line from ${name} was closed`;
    },
  },
  {
    weight: 2,
    disturb: async ({ pair, random }) => {
      const { line, name } = random.pick(pair.all);
      // Also within a record of TLS, and within its handshake.
      line.corrupting = true;
      await delay(random.below(BAD_LINE));
      line.corrupting = false;
      return `the line from ${name} was bad for a while`;
    },
  },
  {
    weight: 2,
    disturb: async ({ pair, random }) => {
      const { line, name } = random.pick(pair.all);
      line.delay = 1 + random.below(50);
      return `the line from ${name} takes ${line.delay} ms`;
    },
  },
  { weight: 7, disturb: leftBehind },
  { weight: 2, disturb: async (world) => goes(world, 'frozen', async (controller) => controller.freeze()) },
  { weight: 1, disturb: async (world) => goes(world, 'killed', (controller) => controller.kill()) },
  { weight: 1, disturb: async (world) => goes(world, 'stopped', (controller) => controller.stop()) },
  {
    weight: 6,
    disturb: async ({ pair, random }) => {
      const chosen = pair.all.find(({ isUp }) => !isUp);
      if (chosen === undefined) return undefined;
      // What is written meanwhile is written on the other one.
      if (!chosen.isFrozen && random.chance(0.5)) chosen.comeBack();
      else await chosen.up();
      return `${chosen.name} comes back`;
    },
  },
  {
    weight: 4,
    disturb: async ({ listener, random }) => {
      await listener.kill();
      if (random.chance(0.5)) await delay(random.below(300));
      return 'the listener was killed';
    },
  },
  {
    weight: 2,
    disturb: async ({ listener }) => {
      await listener.stop();
      return 'the listener was stopped';
    },
  },
  {
    weight: 6,
    disturb: async ({ listener, random }) => {
      const mishap = random.pick(MISHAPS);
      listener.arm(mishap);
      return `the next append: ${mishap}`;
    },
  },
  {
    weight: 2,
    disturb: async (world) => {
      const { listener, random, pair } = world;
      await listener.stop();
      const damage = random.pick(DAMAGES);
      const position = await listener.position(pair.namingContext);
      if (position?.cookie === undefined || !listener.damage(damage)) return undefined;
      // Of one that was lost already it has been told.
      if (position.comparing === undefined) {
        world.losses.push({ what: `the position was lost: ${damage}`, reason: /./, after: listener.reports.length });
      }
      if (damage === 'deleted') world.forgot = true;
      return `the stored position: ${damage}`;
    },
  },
  {
    weight: 8,
    disturb: async (world) => {
      if (world.rollsBack) return undefined;
      await world.listener.stop();
      world.excludesUnit = !world.excludesUnit;
      world.wasScoped = true;
      return world.excludesUnit ? `${world.accounts.fixedUnit} is not followed any more` : 'everybody is followed';
    },
  },
  {
    weight: 2,
    disturb: async (world) => {
      const withheld = await acceptWithheld(world);
      return withheld === undefined ? undefined : `${withheld} deletions were accepted`;
    },
  },
  {
    weight: 1,
    disturb: async (world) => {
      await compare(world);
      return 'a comparison was asked for';
    },
  },
  {
    weight: 5,
    disturb: async ({ random }) => {
      await delay(random.below(400));
      return 'a while passed';
    },
  },
];

const DRAWN = DISTURBANCES.flatMap((each) => Array<Disturbance>(each.weight).fill(each));

/** Something random that can be done now. At most one of the two is away at a time. */
export async function disturbSomething(world: World): Promise<void> {
  const done = await world.random.pick(DRAWN).disturb(world);
  if (done !== undefined) world.note(done);
}

/** The one that is read is left for the other one, which knows nothing of what was told last, and has news of its own of the same accounts. */
async function leftBehind(world: World): Promise<string | undefined> {
  const { accounts, listener, pair, random, rolledBack } = world;
  const { dc } = (await listener.position(pair.namingContext)) ?? {};
  const read = pair.all.find((each) => each.isCalled(dc));
  if (read === undefined || !listener.isRunning || pair.all.some(({ isUp }) => !isUp)) return undefined;
  for (const each of pair.all) await each.setPulls(false);
  const change = async (on: Controller) => {
    for (let count = 3 + random.below(8); count > 0; count--) await changeSomething(accounts, on, random, rolledBack === undefined);
  };
  await change(read);
  await toldOf(read, world);
  await change(pair.other(read));
  read.line.cut();
  return `${read.name} was left for the other one, which had pulled nothing`;
}

async function goes({ pair, random }: World, how: string, body: (controller: Controller) => Promise<void>): Promise<string | undefined> {
  const chosen = random.pick(pair.all);
  if (pair.all.some(({ isUp }) => !isUp)) return undefined;
  await body(chosen);
  return `${chosen.name} is ${how}`;
}
