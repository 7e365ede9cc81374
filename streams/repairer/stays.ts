import type { Repair } from '../repair.ts';

/** A time that a record spent on a parking account, when nobody could log on as its person; milliseconds since 1970. */
export interface Stay {
  readonly from: number;
  /** Undefined while it is there. */
  readonly until: number | undefined;
}

/**
 * Since when a record is on a parking account, as its last record in the journal tells: of one that was interrupted, since it was about to be
 * parked. Undefined when it is on none. Milliseconds since 1970.
 */
export function parkedSince({ parkingAccount, times: { parked, intended }, at }: Repair): number | undefined {
  return parkingAccount === null ? undefined : Date.parse(parked ?? intended ?? at);
}

/** How many people are parked, or about to be, and since when the one who has been for longest is; ISO 8601. */
export function parkedNow(repairs: readonly Repair[]): { readonly people: number; readonly since: string | null } {
  const since = repairs.flatMap((repair) => parkedSince(repair) ?? []);
  const longest = since.length === 0 ? undefined : Math.min(...since);
  return { people: since.length, since: longest === undefined ? null : new Date(longest).toISOString() };
}

/** Gathers from the journal when records were on parking accounts. */
export class Stays {
  readonly #there = new Map<string, { from: number; readonly intended: number }>();
  readonly #ended: Stay[] = [];

  /** In the order of the journal, at least for each systemuserid. */
  add(repair: Repair): void {
    const key = `${repair.organization}/${repair.systemuserid}`;
    const before = this.#there.get(key);
    const from = parkedSince(repair);
    const { intended, parked } = repair.times;
    const isAnother = before !== undefined && intended !== undefined && Date.parse(intended) > before.from;
    if (before !== undefined && (from === undefined || isAnother)) {
      this.#there.delete(key);
      this.#end(before, repair);
    }
    if (from === undefined) return;
    const there = this.#there.get(key);
    if (there === undefined) this.#there.set(key, { from, intended: intended === undefined ? from : Date.parse(intended) });
    else if (parked !== undefined) there.from = from;
  }

  /** Those that have ended, and those that have not. */
  get all(): Stay[] {
    return [...this.#ended, ...Array.from(this.#there.values(), ({ from }) => ({ from, until: undefined }))];
  }

  /** Whoever was about to be parked may not have been: the account was refused, or the write was never sent. */
  #end({ from, intended }: { from: number; intended: number }, { state, times: { parked, named }, at }: Repair): void {
    const left = named !== undefined && Date.parse(named) >= intended ? Date.parse(named) : undefined;
    const wasThere = left !== undefined || state === 'repaired' || (parked !== undefined && Date.parse(parked) >= intended);
    if (!wasThere) return;
    const since = parked !== undefined && Date.parse(parked) >= intended ? Date.parse(parked) : from;
    this.#ended.push({ from: since, until: Math.max(since, left ?? Date.parse(at)) });
  }
}
