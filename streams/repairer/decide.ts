import type { SystemUser } from '../customer-engagement.ts';
import { domainName, type Identity, sameName } from '../identity.ts';
import type { Repair, RepairReason } from '../repair.ts';

/** What Customer Engagement and the directory say about one repair at one moment. */
export interface Situation {
  readonly repair: Repair;
  /** The account as the directory has it now; undefined when it is gone, or out of scope. */
  readonly identity: Identity | undefined;
  readonly record: SystemUser | undefined;
  /** systemuserid of the service's own record. */
  readonly own: string;
  /** Another record that shows the name that this one is to get and is not linked to another account: it may be mapped to this one. */
  readonly holder: SystemUser | undefined;
  /** A record on a parking account that exchanges a name with this one, unless this one's mapping is doubtful. */
  readonly exchanging: Repair | undefined;
  /** Another account that has the name that this one is to get. */
  readonly sharing: Identity | undefined;
  /** Whether the name that the record shows belongs to another account, and is not the one it had when last looked at. */
  readonly givenAway: boolean;
  /** The parking account that is kept for this repair, if there was one. */
  readonly parkingAccount: string | undefined;
}

export type Decision =
  | {
      readonly step: 'end';
      readonly state: 'repaired' | 'unneeded' | 'needs-person';
      readonly reason: RepairReason | null;
      readonly message?: string;
    }
  | { readonly step: 'wait'; readonly reason: RepairReason; readonly message?: string }
  | { readonly step: 'park'; readonly account: string; readonly to: string }
  | { readonly step: 'name'; readonly to: string };

/**
 * The next step of a repair (the table in SPEC.md). Pure; it looks at what is true now, not at what was done before (SPEC rule 8).
 *
 * Customer Engagement refuses a name whose account is on any record. What another linked record shows is therefore no obstacle,
 * and a parked record never waits: swaps and cycles need no more than one parking account. But a server that lags behind the
 * directory takes a name that changed hands for the account that had it before. As long as that account is on its record, the
 * name is refused and can be tried again; while that record is parked, the wrong account would be taken in silence. So of two
 * records that exchange a name, only one at a time is parked.
 */
export function decide(situation: Situation): Decision {
  const { repair, identity, record, holder, exchanging } = situation;
  if (record === undefined) return { step: 'end', state: 'needs-person', reason: 'record-missing' };
  if (record.systemuserid === situation.own) return { step: 'end', state: 'needs-person', reason: 'own-record' };
  if (record.special) return { step: 'end', state: 'needs-person', reason: 'special-user' };
  const parked = repair.parkingAccount !== null && sameName(record.domainname, repair.parkingAccount);
  if (identity === undefined) {
    return {
      step: 'end',
      state: parked ? 'needs-person' : 'unneeded',
      reason: repair.leftScope ? 'account-left-scope' : 'account-deleted',
    };
  }
  const to = domainName(identity);
  if (sameName(record.domainname, to)) {
    const wrote = repair.times.parked !== undefined || repair.state === 'repairing';
    return wrote ? { step: 'end', state: 'repaired', reason: null } : { step: 'end', state: 'unneeded', reason: 'names-agree' };
  }
  if (parked) return { step: 'name', to };
  if (situation.givenAway) {
    const message = `the record shows ${record.domainname || 'no user name'}, which is not a name of this account`;
    return { step: 'end', state: 'needs-person', reason: 'changed-by-hand', message };
  }
  if (situation.sharing !== undefined) {
    const message = `${to} is the name of the account ${situation.sharing.objectGUID} as well`;
    return { step: 'end', state: 'needs-person', reason: 'name-shared', message };
  }
  if (holder !== undefined) {
    return { step: 'end', state: 'needs-person', reason: 'held-by-another-record', message: shownBy(holder) };
  }
  if (exchanging !== undefined) {
    return { step: 'wait', reason: 'names-exchanged', message: `${exchanging.to} is being repaired first (${exchanging.systemuserid})` };
  }
  return situation.parkingAccount === undefined
    ? { step: 'wait', reason: 'no-parking-account-free' }
    : { step: 'park', account: situation.parkingAccount, to };
}

function shownBy(holder: SystemUser): string {
  return `${holder.domainname} is shown by the record of ${holder.fullname} (${holder.systemuserid})${holder.isdisabled ? ', which is disabled' : ''}`;
}
