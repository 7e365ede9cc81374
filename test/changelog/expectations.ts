import { expect } from 'vitest';
import type { ChangeEvent } from '../../streams/change.ts';
import type { ChangeLog, KnownAccounts, RepairerLog } from '../../streams/change-log.ts';
import { isNotice, type LogEvent } from '../../streams/notice.ts';
import { type Deed, DOMAIN, type Model, NAMING_CONTEXT } from './model.ts';
import { eventually } from './pages.ts';

export const create = (account: number): Deed => ({ do: 'create', account });
export const rename = (account: number, to: string): Deed => ({ do: 'rename', account, to });
export const remove = (account: number): Deed => ({ do: 'delete', account });
export const toggle = (account: number): Deed => ({ do: 'toggle', account });

/** The changes of the whole history. */
export async function history(log: ChangeLog, atLeast = 0): Promise<ChangeEvent[]> {
  return (await everything(log, atLeast)).filter((event) => !isNotice(event));
}

/** The whole history in the order of its sequence; in the order of arrival every account's events must be in order too. */
export async function everything(log: ChangeLog, atLeast = 0): Promise<LogEvent[]> {
  // What was appended becomes visible to other readers a moment after the writer knows that it is durable.
  const events = await eventually(async () => {
    const read: LogEvent[] = [];
    await log.replay((more) => {
      read.push(...more);
    });
    return read.length < atLeast ? undefined : read;
  });
  for (const own of Map.groupBy(events, (event) => (isNotice(event) ? event.namingContext : event.objectGUID)).values()) {
    expect(own.map(({ sequence }) => sequence)).toEqual(own.map(({ sequence }) => sequence).sort((a, b) => a - b));
  }
  return events.sort((a, b) => a.sequence - b.sequence);
}

/** Reads up until this event is known. */
export async function refreshUntil(repairer: RepairerLog, sequence: number): Promise<void> {
  await eventually(async () => {
    await repairer.refresh();
    return repairer.knownSequence >= sequence ? true : undefined;
  });
}

/** Without a hole or a double, and `before` is the `after` of the event before. */
export function expectSequence(events: readonly ChangeEvent[]): void {
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  const known = new Map<string, ChangeEvent['after']>();
  for (const event of events) {
    expect(event.before).toEqual(known.get(event.objectGUID) ?? null);
    known.set(event.objectGUID, event.after);
  }
}

export function expectKnown(listener: KnownAccounts, model: Model): void {
  expect(listener.count(DOMAIN)).toBe(model.identities.size);
  expect([...listener.objectGUIDs(DOMAIN)].sort()).toEqual([...model.identities.keys()].sort());
  expect(listener.position(NAMING_CONTEXT)).toEqual(model.position);
  for (const { objectGUID } of model.events) {
    expect(listener.identity(objectGUID)).toEqual(model.identities.get(objectGUID));
    expect(listener.origins(objectGUID)).toEqual(model.origins.get(objectGUID) ?? {});
  }
  const names = new Set([...model.formerHolders.keys(), ...[...model.identities.values()].map(({ sAMAccountName }) => sAMAccountName)]);
  for (const name of names) {
    expect(listener.holder(DOMAIN, name)).toBe(model.holder(name));
    expect(listener.formerHolder(DOMAIN, name)).toBe(model.formerHolders.get(name.toLowerCase()));
  }
}

export function lastByAccount(events: readonly ChangeEvent[]): Map<string, ChangeEvent> {
  return new Map(events.map((event) => [event.objectGUID, event]));
}

/** Whether these are all events of the model, those of one account in order. */
export function isOrdered(model: Model): (sequences: number[]) => boolean {
  return (sequences) => {
    const all = new Set(sequences).size === model.events.length && sequences.length === model.events.length;
    const accounts = Map.groupBy(sequences, (sequence) => model.events[sequence - 1]?.objectGUID);
    return all && [...accounts.values()].every((own) => own.every((sequence, index) => index === 0 || sequence > (own[index - 1] ?? 0)));
  };
}
