import { expect } from 'vitest';
import { type ListenerLog, LogError } from '../../streams/change-log.ts';
import { create, expectSequence, history, toggle } from './expectations.ts';
import type { KafkaPlace } from './kafka-place.ts';
import { guid, Model } from './model.ts';

const NEVER = new AbortController().signal;

/**
 * A listener as the pipeline runs it: after each LogError it is opened anew and goes on from what the log knows. Appends until
 * there are this many events.
 */
export async function persist(place: KafkaPlace, until: number, onAppended: (sequence: number) => void = () => {}): Promise<void> {
  for (;;) {
    await using log = place.open();
    const listener = await log.openListener(NEVER).catch(noLogError);
    if (listener === undefined) continue;
    try {
      if (await appendFrom(listener, until, onAppended)) return;
    } catch (error) {
      noLogError(error);
    } finally {
      await listener[Symbol.asyncDispose]();
    }
  }
}

async function appendFrom(listener: ListenerLog, until: number, onAppended: (sequence: number) => void): Promise<boolean> {
  const model = new Model();
  for (const account of [1, 2]) {
    const known = listener.identity(guid(account));
    if (known !== undefined) model.identities.set(guid(account), known);
  }
  for (let cookie = 0; ; cookie++) {
    const events = await listener.append(model.batch([create(1), create(2), toggle(1), toggle(2)], `cookie ${cookie}`));
    const last = events.at(-1)?.sequence ?? 0;
    onAppended(last);
    if (last >= until) return true;
  }
}

export function noLogError(error: unknown): undefined {
  if (!(error instanceof LogError)) throw error;
  return undefined;
}

/** Seen with a cache of its own, by a reader that has never been here. */
export async function expectConsistent(place: KafkaPlace, atLeast: number): Promise<void> {
  await using log = place.open('auditor');
  const events = await history(log, atLeast);
  expectSequence(events);
  const status = await log.status();
  expect(status.sequence).toBe(events.length);
  expect(status.lastEvent).toEqual(events.at(-1));
}
