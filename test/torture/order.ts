import type { ChangeEvent } from '../../streams/change.ts';
import { isNotice, type LogEvent } from '../../streams/notice.ts';
import { named } from './checks.ts';
import type { Held, Journal } from './journal.ts';
import { isNewerStamp } from './object-state.ts';

/**
 * A domain controller that was rolled back: what was written there in between may be lost, and so may be what it wrote afterwards under
 * numbers that it had used before, since the other one takes that for something it has already.
 */
export interface RolledBack {
  readonly invocationId: string;
  /** Of the journal, when its database was saved. */
  readonly from: number;
  /** The highest number that it had given out. */
  readonly usn: bigint;
}

/** What excuses an older value after a newer one. */
export interface Excuses {
  readonly rolledBack: RolledBack | undefined;
  /** What had been seen was lost, so a deletion that a domain controller has not heard of can be taken for an account that is new. */
  readonly forgot: boolean;
  /** The number of the last event before one of two that can never agree again is left: what only the other one had is lost as well. */
  readonly apartAfter: number;
  /** Not everybody was followed all the time. */
  readonly wasScoped: boolean;
}

/** What is wrong with the values that were told: each has to be one that the account really had, and none may come after a newer one. */
export function faultsOfOrder(
  events: readonly LogEvent[],
  journal: Journal,
  { rolledBack, forgot, apartAfter, wasScoped }: Excuses,
): string[] {
  const faults: string[] = [];
  const told = new Told(journal);
  const isLost = ({ stamp, order }: Held) =>
    rolledBack !== undefined &&
    stamp.invocationId === rolledBack.invocationId &&
    order > rolledBack.from &&
    BigInt(stamp.usn) <= rolledBack.usn;
  for (const event of events) {
    if (isNotice(event)) continue;
    for (const attribute of attributesOf(event)) {
      const all = journal.of(event.objectGUID, attribute);
      const value = toldValue(event, attribute);
      // Of those that were there before the run nothing was noted.
      if (all.length === 0) continue;
      if (attribute !== 'objectClass' && !all.some((held) => held.value === value)) {
        // What was lost was never there.
        const isUndone = rolledBack !== undefined && value === undefined;
        if (isUndone || journal.isFleeting(event.objectGUID, attribute, value)) told.forget(event.objectGUID, attribute);
        else faults.push(`${named(event)}: ${attribute} never was ${value}`);
        continue;
      }
      const before = told.last(event.objectGUID, attribute);
      // A deletion that was lost, or not heard of, makes an account look new.
      const isBack = LIFE.includes(attribute) && (forgot || rolledBack !== undefined);
      const isExcused = event.sequence > apartAfter || (before !== undefined && (isLost(before) || isBack));
      if (!told.tell(event, attribute) && !isExcused)
        faults.push(`${named(event)}: ${attribute} ${value} is older than ${before?.value}, which was told before`);
    }
    if (SIGHT.includes(event.kind) && !forgot && !wasScoped && rolledBack === undefined)
      faults.push(`${named(event)}: nobody was ever out of sight`);
    const isUndone = rolledBack !== undefined && (event.observed.origin ?? null) === null;
    if (!isUndone) faults.push(...faultsOfOrigin(event, journal));
    told.follow(event);
  }
  return faults;
}

/** Where everybody is followed only a deletion that was lost or forgotten can look like this. */
const SIGHT = ['entered-scope', 'left-scope'];
/** Of birth and death. */
const LIFE = ['objectClass', 'isDeleted'];
const VALUES = ['sAMAccountName', 'userPrincipalName', 'displayName', 'givenName', 'sn', 'mail', 'enabled'];

/** The write that was told last, of each attribute of each account. */
class Told {
  readonly #journal: Journal;
  readonly #last = new Map<string, Held>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  last(objectGUID: string, attribute: string): Held | undefined {
    return this.#last.get(`${objectGUID} ${attribute}`);
  }

  /** @returns whether it can be newer than what was told before */
  tell(event: ChangeEvent, attribute: string): boolean {
    const { objectGUID } = event;
    const value = toldValue(event, attribute);
    const before = this.last(objectGUID, attribute);
    const all = this.#journal.of(objectGUID, attribute).filter((held) => held.value === value || attribute === 'objectClass');
    const later = all.filter(({ stamp }) => before === undefined || isNewerStamp(stamp, before.stamp));
    // A value that was written several times can be any of those writes.
    const now = (later.length > 0 ? later : all).reduce<Held | undefined>(
      (oldest, held) => (oldest && isNewerStamp(held.stamp, oldest.stamp) ? oldest : held),
      undefined,
    );
    if (now !== undefined) this.#last.set(`${objectGUID} ${attribute}`, now);
    return later.length > 0;
  }

  forget(objectGUID: string, attribute: string): void {
    this.#last.delete(`${objectGUID} ${attribute}`);
  }

  /** Of whoever is gone nothing is known any more; of whoever is there again everything is told. */
  follow(event: ChangeEvent): void {
    if (event.before !== null && event.after !== null) return;
    for (const attribute of VALUES) {
      this.forget(event.objectGUID, attribute);
      // Of what was never set there is no write.
      if (toldValue(event, attribute) !== undefined) this.tell(event, attribute);
    }
  }
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
  const isFleeting = (attribute: string) => journal.isFleeting(event.objectGUID, attribute, toldValue(event, attribute));
  if (attributes.some(isFleeting)) return [];
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
