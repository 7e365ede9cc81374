import { isDeepStrictEqual } from 'node:util';
import type { ChangeEvent } from '../../streams/change.ts';
import type { Identity } from '../../streams/identity.ts';
import { isNotice, type LogEvent } from '../../streams/notice.ts';

/** Everything that a run has left behind, once all is quiet. */
export interface Remains {
  /** What the directory showed when the log began. */
  readonly baseline: ReadonlyMap<string, Identity>;
  /** What it shows now, on the domain controller that the listener reads. */
  readonly directory: ReadonlyMap<string, Identity>;
  readonly events: readonly LogEvent[];
  /** What the log knows of whoever is in the directory or in an event. */
  readonly known: (objectGUID: string) => Identity | undefined;
  /** Who is known and need not be in the directory. */
  readonly outOfSight: ReadonlySet<string>;
}

/** What is wrong with a history, in sentences: SPEC rules 1 to 3 and the numbers. */
export function faultsOfHistory({ baseline, directory, events, known, outOfSight }: Remains): string[] {
  const changes = events.filter((event): event is ChangeEvent => !isNotice(event));
  const replayed = new Map<string, Identity>(baseline);
  const faults = events.flatMap(({ sequence }, index) => (sequence === index + 1 ? [] : [`event ${index + 1} has the number ${sequence}`]));
  for (const change of changes) {
    const { objectGUID, before, after } = change;
    const last = replayed.get(objectGUID) ?? null;
    if (!isDeepStrictEqual({ ...before }, { ...last }))
      faults.push(`${named(change)}: before is ${show(before)}, and it was ${show(last)}`);
    faults.push(...faultsOfDifference(change));
    if (after === null) replayed.delete(objectGUID);
    else replayed.set(objectGUID, after);
  }
  for (const objectGUID of new Set([...directory.keys(), ...replayed.keys()])) {
    if (!directory.has(objectGUID) && outOfSight.has(objectGUID)) continue;
    const [now, told, stored] = [directory.get(objectGUID), replayed.get(objectGUID), known(objectGUID)];
    if (!isDeepStrictEqual(now, told)) faults.push(`${objectGUID}: the directory has ${show(now)}, and the history comes to ${show(told)}`);
    if (!isDeepStrictEqual(now, stored)) faults.push(`${objectGUID}: the directory has ${show(now)}, and the log knows ${show(stored)}`);
  }
  return faults;
}

const APPEARING = ['created', 'restored', 'entered-scope'];
const DISAPPEARING = ['deleted', 'left-scope'];

/** An event says what differs, all of it and nothing else. */
function faultsOfDifference(change: ChangeEvent): string[] {
  const { kind, before, after, changed } = change;
  if (before === null || after === null) {
    const isRight = before === null ? after !== null && APPEARING.includes(kind) : DISAPPEARING.includes(kind);
    return isRight && changed.length === 0 ? [] : [`${named(change)}: from ${show(before)} to ${show(after)}`];
  }
  const differing = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => before[key] !== after[key]);
  const isRight = differing.length > 0 && isDeepStrictEqual(differing.sort(), [...changed].sort());
  return isRight ? [] : [`${named(change)}: says that ${changed.join()} changed, and ${differing.join()} did`];
}

export function named({ sequence, kind, objectGUID }: Pick<ChangeEvent, 'sequence' | 'kind' | 'objectGUID'>): string {
  return `event ${sequence}, ${kind} of ${objectGUID}`;
}

function show(identity: Identity | null | undefined): string {
  if (identity === null || identity === undefined) return 'nothing';
  const { objectGUID, objectSid, domain, ...rest } = identity;
  return JSON.stringify(rest);
}
