import type { Repair } from '../repair.ts';

/** Reasons for which a repair waits that another one will wake: whoever waits for it waits for no person and no server. */
const PASSING: readonly Repair['reason'][] = [null, 'name-in-use', 'names-exchanged', 'no-parking-account-free'];

/**
 * The repair that should go first because its record shows the name that this one is to get. All open repairs together are a graph in
 * which each record points to the one that shows its target. Along a chain the last one goes first; of a cycle one has to begin, the one
 * with the lowest systemuserid; and nobody waits for a repair that cannot go on.
 *
 * @param target the name that the record of this repair is to get
 * @param showing open repairs whose records show a name unless they are parked
 * @param targetOf the name that the record of another is to get
 */
export function standsInFront(
  repair: Repair,
  target: string,
  showing: (name: string) => readonly Repair[],
  targetOf: (repair: Repair) => string,
): Repair | undefined {
  const shownBy = (name: string) =>
    showing(name).findLast(({ parkingAccount, reason }) => parkingAccount === null && PASSING.includes(reason));
  const first = shownBy(target);
  if (first === undefined || first.systemuserid === repair.systemuserid) return undefined;
  const seen = new Set<string>();
  let lowest = true;
  for (let next: Repair | undefined = first; next !== undefined; next = shownBy(targetOf(next))) {
    if (next.systemuserid === repair.systemuserid) return lowest ? undefined : first;
    // A cycle further along, of which this one is no part.
    if (seen.has(next.systemuserid)) return first;
    seen.add(next.systemuserid);
    if (next.systemuserid < repair.systemuserid) lowest = false;
  }
  return first;
}
