import type { ChangeEvent } from '../../streams/change.ts';
import { isNotice, type LogEvent } from '../../streams/notice.ts';
import { named } from './checks.ts';
import type { Held, Journal } from './journal.ts';
import { isNewerStamp } from './object-state.ts';

/** A domain controller that was rolled back: what was written there in between may be lost. */
export interface RolledBack {
  readonly invocationId: string;
  /** Of the journal. */
  readonly from: number;
  readonly to: number;
}

/** What is wrong with the values that were told: each has to be one that the account really had, and none may come after a newer one. */
export function faultsOfOrder(events: readonly LogEvent[], journal: Journal, rolledBack: RolledBack | undefined): string[] {
  const faults: string[] = [];
  const last = new Map<string, Held>();
  const isLost = ({ stamp, order }: Held) =>
    rolledBack !== undefined && stamp.invocationId === rolledBack.invocationId && order > rolledBack.from && order <= rolledBack.to;
  for (const event of events) {
    if (isNotice(event)) continue;
    for (const attribute of attributesOf(event)) {
      const value = toldValue(event, attribute);
      const all = journal.of(event.objectGUID, attribute).filter((held) => held.value === value || attribute === 'objectClass');
      // Of those that were there before the run nothing was noted.
      if (journal.of(event.objectGUID, attribute).length === 0) continue;
      if (all.length === 0) {
        faults.push(`${named(event)}: ${attribute} never was ${value}`);
        continue;
      }
      const key = `${event.objectGUID} ${attribute}`;
      const before = last.get(key);
      // A value that was written several times can be any of those writes.
      const later = all.filter(({ stamp }) => before === undefined || isNewerStamp(stamp, before.stamp));
      const now = later.reduce<Held | undefined>(
        (oldest, held) => (oldest && isNewerStamp(held.stamp, oldest.stamp) ? oldest : held),
        undefined,
      );
      if (now !== undefined) last.set(key, now);
      else if (before !== undefined && isLost(before)) last.set(key, all[0] ?? before);
      else faults.push(`${named(event)}: ${attribute} ${value} is older than ${before?.value}, which was told before`);
    }
    faults.push(...faultsOfOrigin(event, journal));
  }
  return faults;
}

/** The write that an event names has to be one that wrote what it says. */
function faultsOfOrigin(event: ChangeEvent, journal: Journal): string[] {
  const { origin, via } = event.observed;
  const attributes = attributesOf(event).filter((attribute) => journal.of(event.objectGUID, attribute).length > 0);
  if (attributes.length === 0) return [];
  if (origin === null || origin === undefined) {
    // Who is not even found as deleted has nothing to show.
    return event.kind === 'deleted' && via === 'comparison' ? [] : [`${named(event)}: no origin`];
  }
  const isIt = attributes.some((attribute) =>
    journal
      .of(event.objectGUID, attribute)
      .some(
        ({ value, stamp }) =>
          stamp.invocationId === origin.invocationId &&
          stamp.usn === origin.usn &&
          stamp.version === origin.version &&
          (attribute === 'objectClass' || value === toldValue(event, attribute)),
      ),
  );
  return isIt ? [] : [`${named(event)}: its origin ${JSON.stringify(origin)} wrote none of ${attributes.join()}`];
}

function attributesOf({ kind, changed }: ChangeEvent): readonly string[] {
  if (kind === 'created') return ['objectClass'];
  return kind === 'restored' || kind === 'deleted' ? ['isDeleted'] : changed;
}

function toldValue({ kind, after }: ChangeEvent, attribute: string): string | undefined {
  if (attribute === 'isDeleted') return kind === 'deleted' ? 'true' : undefined;
  const value = after?.[attribute];
  return value === undefined ? undefined : String(value);
}
