import type { Observed } from '../change.ts';
import type { KnownAccounts } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import type { Observation } from '../observation.ts';
import { unlessAborted } from '../operators.ts';
import { coversAll, type Vector } from '../origin.ts';
import { hasLost, type Shown } from './settle.ts';

export interface LookedUp {
  /** As they are, deleted or alive. */
  readonly present: readonly Observation[];
  readonly absent: readonly {
    readonly objectGUID: string;
    /** The domain controller may only not have heard of the account yet. */
    readonly isBehind: boolean;
    /** The directory did not show it, which says nothing of whether it is there. */
    readonly isRefused: boolean;
    readonly observed: Observed;
  }[];
}

/** Objects that are asked for at once. */
const PORTION = 500;

/** Those for which `isWanted` says so, in portions. */
export function* inPortions(objectGUIDs: Iterable<string>, isWanted: (objectGUID: string) => boolean): Generator<string[]> {
  let portion: string[] = [];
  for (const objectGUID of objectGUIDs) {
    if (isWanted(objectGUID) && portion.push(objectGUID) === PORTION) {
      yield portion;
      portion = [];
    }
  }
  if (portion.length > 0) yield portion;
}

/**
 * What the directory says of accounts that are known and did not show up.
 *
 * @param view what had been seen before, and what the domain controller had seen before it is asked now
 */
export async function lookUp(
  objectGUIDs: readonly string[],
  session: DirectorySession,
  known: Pick<KnownAccounts, 'origins'>,
  { seen, shown }: { seen: Vector; shown: Shown },
  signal: AbortSignal,
): Promise<LookedUp> {
  const refused = new Set<string>();
  const found = await unlessAborted(
    session.readObjects(objectGUIDs, (objectGUID) => refused.add(objectGUID)),
    signal,
  );
  const observed: Observed = { time: new Date().toISOString(), dc: session.dc, via: 'comparison', dn: '', origin: null };
  const isBehind = (objectGUID: string) => {
    const creation = known.origins(objectGUID).objectClass;
    return creation === undefined ? !coversAll(shown.vector, seen) : !hasLost(shown, creation);
  };
  const absent = objectGUIDs.filter((objectGUID) => !found.has(objectGUID));
  return {
    // That it is alive does not say that it was brought back.
    present: [...found.values()].map(({ objectGUID, dn, seen, deleted }) => ({ objectGUID, dn, seen, ...(deleted && { deleted }) })),
    absent: absent.map((objectGUID) => ({ objectGUID, isBehind: isBehind(objectGUID), isRefused: refused.has(objectGUID), observed })),
  };
}
