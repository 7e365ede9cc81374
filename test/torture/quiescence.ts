import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../support/chain-wait.ts';
import type { Controller } from './controller.ts';
import { acceptWithheld, compare } from './requests.ts';
import { SCOPE_EVERY, type World } from './world.ts';

const WITHIN = 90_000;
/** Milliseconds between two looks. */
const EVERY = 50;
/** Milliseconds that accounts which wait for their domain controller are left alone, before a new session makes the listener look at them. */
const HELD_FOR = 1_000;

/**
 * The listener has read all that is written on domain controllers which are up and have replicated, and nothing waits any more, neither
 * for a domain controller nor for a person.
 *
 * @param only after a roll-back: the one that is left. What was lost comes back from nowhere, so everything is compared, and what waits
 * is taken for true.
 */
export async function quiet(world: World, only?: Controller): Promise<void> {
  const { pair, listener, journal } = world;
  const { namingContext } = pair;
  for (const { line } of pair.all) line.delay = 0;
  if (!listener.isRunning) await listener.start();
  const marks = await Promise.all((only ? [only] : pair.all).map((each) => pair.mark(each, journal)));
  if (only === undefined) await pair.bed.replication.settled();
  const caughtUp = async () => {
    await restarted(world);
    await acceptWithheld(world);
    return await listener.look(async (known) => marks.every(({ objectGUID, mail }) => known.identity(objectGUID)?.mail === mail));
  };
  await until('the listener has read what was written last', caughtUp, WITHIN, EVERY);
  if (only !== undefined) await listener.start({ maxLag: 0 });
  const asked = only === undefined ? undefined : await compare(world);
  let held = performance.now();
  const drained = async () => {
    await restarted(world);
    await acceptWithheld(world);
    const position = await listener.position(namingContext);
    if (position === undefined || position.withheld !== undefined || position.comparing !== undefined) return false;
    if (asked !== undefined && !position.served.includes(asked)) return false;
    if (Object.keys(position.held).length === 0) return true;
    if (performance.now() - held > HELD_FOR) {
      held = performance.now();
      for (const { line } of pair.all) line.cut();
    }
    return false;
  };
  await until('nothing waits any more', drained, WITHIN, EVERY);
  // Who came in or left while a domain controller lagged behind is found at the next look.
  if (world.wasScoped) await delay(3 * SCOPE_EVERY);
  await until('and nothing waits after that', drained, WITHIN, EVERY);
}

/** A crash that was prepared earlier can come at any time. */
async function restarted({ listener }: World): Promise<void> {
  if (!listener.isRunning) await listener.start();
}
