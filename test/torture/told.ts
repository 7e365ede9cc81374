import { setTimeout as delay } from 'node:timers/promises';
import type { Controller } from './controller.ts';
import type { World } from './world.ts';

/** Looks, and milliseconds between two of them, after which it is no matter whether the listener has told what it should. */
const WITHIN = 100;
const EVERY = 10;

/** Resolves when the listener has told what was written last on this domain controller, or when that takes too long. */
export async function toldOf(on: Controller, { journal, listener, pair }: World): Promise<void> {
  const { objectGUID, mail } = await pair.mark(on, journal);
  const isTold = () => listener.look(async (known) => known.identity(objectGUID)?.mail === mail);
  for (let looks = 0; looks < WITHIN && !(await isTold()); looks++) await delay(EVERY);
}
