import { until } from '../support/chain-wait.ts';
import { acceptWithheld, compare } from './requests.ts';
import type { World } from './world.ts';

const WITHIN = 90_000;
/** Milliseconds between two looks. */
const EVERY = 50;
/** Milliseconds that accounts which wait for their domain controller are left alone, before a new session makes the listener look at them. */
const HELD_FOR = 1_000;

/**
 * On domain controllers that are up and have replicated: the listener has read all of it, and nothing waits any more, neither for a
 * domain controller nor for a person.
 *
 * @param lost what a roll-back lost comes back from nowhere: then everything is compared, and what waits is taken for true
 */
export async function quiet(world: World, lost: boolean): Promise<void> {
  const { pair, listener, journal } = world;
  const { namingContext } = pair;
  if (!listener.isRunning) await listener.start();
  const marks = await Promise.all(pair.all.map((each) => pair.mark(each, journal)));
  await pair.bed.replication.settled();
  const caughtUp = async () => {
    await restarted(world);
    await acceptWithheld(world);
    return await listener.look(async (known) => marks.every(({ objectGUID, mail }) => known.identity(objectGUID)?.mail === mail));
  };
  await until('the listener has read what was written last', caughtUp, WITHIN, EVERY);
  if (lost) await listener.start({ maxLag: 0 });
  const asked = lost ? await compare(world) : undefined;
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
}

/** A crash that was prepared earlier can come at any time. */
async function restarted({ listener }: World): Promise<void> {
  if (!listener.isRunning) await listener.start();
}
