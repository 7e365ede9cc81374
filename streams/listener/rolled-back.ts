import type { WholeObject } from '../directory-source.ts';
import { hasSameNumber, isNewer, isSameWrite } from '../origin.ts';
import type { SeenWrite } from '../position.ts';

/** Attributes whose writes are read in any case. */
const ALWAYS = ['objectClass', 'isDeleted', 'objectSid', 'sAMAccountName', 'userAccountControl', 'userPrincipalName'];

/** Those that are shown again, after other attributes are watched than before. */
export function stillWatched(recent: readonly SeenWrite[], attributes: readonly string[]): SeenWrite[] {
  return recent.filter(({ attribute }) => ALWAYS.includes(attribute) || attributes.includes(attribute));
}

/**
 * Whether a domain controller was put back to an earlier state without a new invocationId. Its numbers may have caught up meanwhile, so
 * writes that it has shown are looked at again: one that is older now, that came to it a second time, or whose number another one has, gives it
 * away.
 *
 * @param found the same objects as it shows them now; of one that is not there nothing can be told
 * @returns the first write that is not as it was
 */
export function rolledBackWrite(recent: readonly SeenWrite[], found: ReadonlyMap<string, WholeObject>): SeenWrite | undefined {
  return recent.find(({ objectGUID, attribute, origin, localUsn }) => {
    const whole = found.get(objectGUID);
    const write = whole?.writes[attribute];
    if (whole === undefined || Object.keys(whole.writes).length === 0) return false;
    if (write === undefined) return true;
    if (isSameWrite(write, origin)) return write.localUsn !== localUsn;
    return hasSameNumber(write, origin) || isNewer(origin, write);
  });
}
