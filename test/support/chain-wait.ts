import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds between two looks. */
const POLL = 20;

/**
 * Looks again and again until the check gives something other than undefined or false, which is returned.
 *
 * @param what is told when it does not come true within so many milliseconds
 */
export async function until<T>(what: string, check: () => Promise<T | undefined | false>, within = 20_000, every = POLL): Promise<T> {
  const deadline = performance.now() + within;
  let failure: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}`, { cause: failure });
    await delay(every);
  }
}
