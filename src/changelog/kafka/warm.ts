import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Reads up what others write for as long as something is waited for, so that whoever waits can go on at once.
 *
 * @param wait is given what begins the reading up
 * @param readUp may fail: it is tried again, and once more by whoever goes on
 * @param every milliseconds from one reading up to the next
 */
export async function whileWarm<T>(wait: (begin: () => void) => Promise<T>, readUp: () => Promise<void>, every: number): Promise<T> {
  const over = new AbortController();
  let isBegun = false;
  const keepUp = async () => {
    while (!over.signal.aborted) {
      await readUp().catch(() => {});
      await sleep(every, undefined, { signal: over.signal }).catch(() => {});
    }
  };
  try {
    return await wait(() => {
      if (!isBegun) void keepUp();
      isBegun = true;
    });
  } finally {
    over.abort();
  }
}
