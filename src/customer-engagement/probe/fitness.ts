import type { RepairerLog } from '../../../streams/change-log.ts';
import type { SystemUser } from '../../../streams/customer-engagement.ts';
import { domainName, domainNameParts, type Identity, namedAlike } from '../../../streams/identity.ts';
import { isOpen } from '../../../streams/repair.ts';
import { type ChangeWindow, isOpenAt } from '../../../streams/repairer/change-window.ts';
import { showsNameOf } from '../../../streams/repairer/decide.ts';
import { type DoNotTouch, whyNotTouched } from '../../../streams/repairer/do-not-touch.ts';
import type { ParkingCheck } from '../../../streams/repairer/parking.ts';
import type { ParkingAccount } from './questions.ts';

/** Why nobody should be probed with this record, not even by reading; undefined when it may be. */
export function whyNotProbed(user: SystemUser, own: string): string | undefined {
  if (user.systemuserid === own) return 'it is the record of the service itself: take a user that was made for tests';
  if (user.special) return 'it is SYSTEM, INTEGRATION, a support or application user: take a user that was made for tests';
  return undefined;
}

/** Without that nobody would put it back, should this process die. */
export const UNLINKED =
  'it is not known which account it belongs to: run "namesake run --dry-run" until it says that it is repairing, stop it, and see namesake link list';

export interface WritingRules {
  readonly parkingAccounts: readonly string[];
  readonly doNotTouch: DoNotTouch;
  readonly changeWindow?: ChangeWindow | undefined;
}

/**
 * Why this record must not be written to. Whoever repairs should find nothing under way, and be able to put it back: so it has to be
 * linked, in step, and in nobody's hands.
 */
export async function whyNotWritten(user: SystemUser, log: RepairerLog, rules: WritingRules): Promise<string | undefined> {
  const { systemuserid, domainname } = user;
  if (user.isdisabled) return 'the record is disabled: take one of a user who can log on';
  if (namedAlike(rules.parkingAccounts, domainname) !== undefined) return 'it is on a parking account: see namesake drift';
  const link = log.linkOfRecord(systemuserid);
  const identity = link && log.identity(link.objectGUID);
  if (!log.baselined || identity === undefined) return UNLINKED;
  if (!showsNameOf(identity, user)) return `it shows ${domainname}, and its account is ${domainName(identity)}: see namesake drift`;
  const untouched = whyNotTouched(user, [link?.domainname ?? ''], rules.doNotTouch);
  if (untouched !== undefined) return untouched;
  if (rules.changeWindow !== undefined && !isOpenAt(rules.changeWindow, Date.now()))
    return 'the organization is written at other hours (changeWindow)';
  const repair = log.repair(systemuserid);
  if (repair !== undefined && (isOpen(repair) || repair.state === 'needs-person'))
    return `its repair is ${repair.state}${repair.reason === null ? '' : ` (${repair.reason})`}: see namesake repairs`;
  if ((await log.requests()).some((request) => request.systemuserid === systemuserid))
    return 'somebody asked the repairer for something about it that is not done yet: start namesake repair, and stop it again';
  return undefined;
}

/** The account of a record that may be written to. */
export function accountOf(user: SystemUser, log: RepairerLog): Identity {
  const link = log.linkOfRecord(user.systemuserid);
  const identity = link && log.identity(link.objectGUID);
  if (identity === undefined) throw new Error(`${user.systemuserid} is linked to no account that is known`);
  return identity;
}

/** Those that can be used and that no repair is on or may be on, enabled ones first. */
export function freeParkingAccounts({ usable }: ParkingCheck, log: RepairerLog): ParkingAccount[] {
  const inUse = log.openRepairs().flatMap(({ parkingAccount }) => parkingAccount ?? []);
  const free = usable.filter((account) => namedAlike(inUse, account) === undefined);
  return free
    .map((name): ParkingAccount => {
      const { domain, sAMAccountName } = domainNameParts(name);
      const objectGUID = log.holder(domain, sAMAccountName);
      const identity = objectGUID === undefined ? undefined : log.identity(objectGUID);
      return { name, enabled: identity?.enabled, userPrincipalName: identity?.userPrincipalName };
    })
    .toSorted((a, b) => Number(b.enabled ?? false) - Number(a.enabled ?? false));
}
