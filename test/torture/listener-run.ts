import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Identity } from '../../streams/identity.ts';
import { isReadWhole } from '../../streams/position.ts';
import { until } from '../support/chain-wait.ts';

import { changeSomething, deleteMany } from './changes.ts';
import { faultsOfHistory } from './checks.ts';
import type { Controller } from './controller.ts';
import { disturbSomething } from './disturbances.ts';
import { readIdentities } from './object-state.ts';
import { faultsOfOrder } from './order.ts';
import type { Pair } from './pair.ts';
import { quiet } from './quiescence.ts';
import { toldOf } from './told.ts';
import { World } from './world.ts';

const ACCOUNTS = 10;
/** Of how many runs one has a roll-back, which takes seconds. */
const ROLL_BACK_EACH = 5;
/** Changes in a row on one domain controller. */
const BURST = 12;
const SAVED = 'saved';

export interface Outcome {
  readonly changes: number;
  readonly refused: number;
  readonly events: number;
  /** Sentences; none when all is well. */
  readonly faults: readonly string[];
  readonly trace: readonly string[];
  /** The domain controllers may differ for ever: nobody else should have them. */
  readonly spoiled: boolean;
}

/**
 * One run: accounts are changed at random on both domain controllers while these, the lines, the listener and its log are disturbed at
 * random; then all is put right and compared.
 *
 * @param folder for the log
 * @param changes how many
 */
export async function runListener(pair: Pair, seed: number, changes: number, folder: string): Promise<Outcome> {
  const spoiled = seed % ROLL_BACK_EACH === 0;
  await using world = new World(pair, seed, folder, spoiled);
  const { accounts, journal, listener } = world;
  const faults: string[] = [];
  let events = 0;
  try {
    await accounts.begin(pair.all[0], ACCOUNTS);
    await pair.settle(journal);
    const baseline = await identitiesOf(world, pair.all[0]);
    await listener.start();
    await until('the first read', async () => isReadWhole(await listener.position(pair.namingContext)), 60_000);
    if ((await listener.events()).length > 0) faults.push('the first read led to events');
    await torture(world, changes, spoiled);
    const directory = spoiled ? await endOfOne(world) : await endOfBoth(world);
    const history = await listener.events();
    events = history.length;
    await listener.look(async (known) => {
      const knownOf = (objectGUID: string) => known.identity(objectGUID);
      faults.push(...faultsOfHistory({ baseline, directory, events: history, known: knownOf, outOfSight: outOfSight(world) }));
    });
    faults.push(...faultsOfOrder(history, journal, world), ...world.untold());
    if (!spoiled) await accounts.end(pair.all[0]);
  } catch (error) {
    faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const refused = [...accounts.refused.values()].reduce((sum, each) => sum + each, 0);
  return { changes: accounts.count, refused, events, faults, trace: world.trace, spoiled: spoiled || faults.length > 0 };
}

/** @returns what both show in the end */
async function endOfBoth(world: World): Promise<Map<string, Identity>> {
  const { pair, journal, listener } = world;
  await pair.settle(journal);
  await quiet(world);
  await listener.stop();
  const [one, other] = [await identitiesOf(world, pair.all[0]), await identitiesOf(world, pair.all[1])];
  if (!isDeepStrictEqual(one, other)) throw new Error('the domain controllers differ: nothing can be said');
  return one;
}

/**
 * Numbers that were used twice can keep the two apart for ever, so one of them is left.
 *
 * @returns what it shows in the end
 */
async function endOfOne(world: World): Promise<Map<string, Identity>> {
  const { pair, journal, listener, random } = world;
  await pair.settle(journal).catch(async (error: Error) => {
    world.note(`they will never be the same again: ${error.message}`);
    world.apartAfter = (await listener.events()).length;
  });
  const read = random.pick(pair.all);
  await pair.other(read).kill();
  world.note(`${read.name} is left`);
  await quiet(world, read);
  await listener.stop();
  const { forgetful } = world;
  const since = forgetful === undefined ? [] : listener.reports.slice(forgetful.after);
  const isRead = since.some((report) => report.type === 'connected' && forgetful?.controller.isCalled(report.dc));
  if (forgetful !== undefined && isRead && !world.forgot) {
    world.losses.push({
      what: `${forgetful.controller.name} was rolled back`,
      reason: /was rolled back|has not heard/,
      after: forgetful.after,
    });
  }
  return identitiesOf(world, read);
}

/**
 * Who was created before a roll-back, and is unknown afterwards to one that was never told of it, looks as if it were only hidden: a
 * person is told, and no event is written.
 */
function outOfSight({ listener, rolledBack }: World): Set<string> {
  const setAside = listener.reports.flatMap((report) => (report.type === 'set-aside' && report.dn === '' ? [report.objectGUID] : []));
  return new Set(rolledBack === undefined ? [] : setAside);
}

async function identitiesOf(world: World, controller: Controller): Promise<Map<string, Identity>> {
  const { namingContext, bed } = world.pair;
  return readIdentities(await controller.client(), namingContext, bed.directory.netbios, (dn) => world.isFollowed(dn));
}

async function torture(world: World, changes: number, rollsBack: boolean): Promise<void> {
  const { accounts, journal, listener, pair, random } = world;
  const victim = random.pick(pair.all);
  const many = random.chance(0.3) ? Math.floor(changes / 2) : Number.POSITIVE_INFINITY;
  let saved = { order: -1, usn: 0n };
  for (let hasDeleted = false; accounts.count < changes; ) {
    const on = random.pick(world.pair.all.filter(({ isUp }) => isUp));
    const length = 1 + random.below(BURST);
    world.note(`${length} changes on ${on.name}`);
    for (let count = 0; count < length; count++) await changeSomething(accounts, on, random, world.rolledBack === undefined);
    if (!hasDeleted && accounts.count >= many) {
      hasDeleted = true;
      await deleteMany(accounts, on);
      world.note(`many deletions on ${on.name}`);
    }
    if (rollsBack && saved.order < 0 && accounts.count > changes / 3) {
      await victim.up();
      await victim.save(SAVED);
      saved = { order: journal.order, usn: await (await victim.admin()).highestCommittedUSN() };
      world.note(`${victim.name} was saved`);
    }
    if (rollsBack && world.rolledBack === undefined && accounts.count > (2 * changes) / 3) {
      await victim.up();
      if (pair.other(victim).isUp && random.chance(0.5)) await pair.pull(pair.other(victim), journal);
      await toldOf(victim, world);
      const { invocationId } = victim;
      world.rolledBack = { invocationId, from: saved.order, usn: await (await victim.admin()).highestCommittedUSN() };
      const { seen = {}, comparing } = (await listener.position(pair.namingContext)) ?? {};
      if (comparing === undefined && BigInt(seen[invocationId] ?? 0) > saved.usn) {
        world.forgetful = { controller: victim, after: listener.reports.length };
      }
      await victim.rollBack(SAVED);
      world.note(`${victim.name} was rolled back`);
    }
    if (random.chance(0.7)) await disturbSomething(world);
    if (!listener.isRunning && random.chance(0.6)) {
      await listener.start();
      world.note('the listener was started');
    }
    if (random.chance(0.3)) await delay(random.below(200));
  }
}
