import { z } from 'zod';
import type { SystemUser } from './customer-engagement.ts';
import { domainName, type Identity, sameName } from './identity.ts';

/** Which Customer Engagement record belongs to which account. Never guessed from a name that may have been re-used. */
export const Link = z.looseObject({
  organization: z.string(),
  objectGUID: z.guid(),
  systemuserid: z.guid(),
  /** The user name that the record showed when it was last looked at. */
  domainname: z.string(),
  learned: z.iso.datetime(),
});
export type Link = z.infer<typeof Link>;

/** Why a repair waits, was not needed, or needs a person. */
export const RepairReason = z.enum([
  /** Waits: all parking accounts are in use. */
  'no-parking-account-free',
  /** Waits: a record with which this one exchanges a name is on a parking account; one after the other. */
  'names-exchanged',
  /** Waits: the server's own domain controller does not know the name yet. */
  'not-in-directory-yet',
  /** Waits: Customer Engagement cannot be reached or is busy. */
  'unavailable',
  /** Waits: Customer Engagement refuses the service's credentials, or shows a sign-in page. */
  'credentials-refused',
  /** Waits: the service's user lacks a privilege (prvReadUser, prvWriteUser). */
  'privilege-missing',
  /** Not needed: the record shows the right name. */
  'names-agree',
  /** Not needed: the account was deleted. Needs a person when the record was on a parking account then. */
  'account-deleted',
  /** Not needed: the account is not followed any more. Needs a person when the record was on a parking account then. */
  'account-left-scope',
  /** Needs a person: another record is mapped to this account, or shows its name without being linked to another account. */
  'held-by-another-record',
  /** Needs a person: the record shows a name that two accounts had before either was linked; it may be the one's or the other's. */
  'link-uncertain',
  /** Needs a person: another account has the same name, written on two domain controllers at once; one of them has to be renamed. */
  'name-shared',
  /** Needs a person: somebody gave the record to another account. */
  'changed-by-hand',
  /** Needs a person: SYSTEM, INTEGRATION, support or application user. */
  'special-user',
  /** Needs a person: the service may not rename its own record (0x80044161). */
  'own-record',
  /** Needs a person: there is no such record any more. */
  'record-missing',
  /** Needs a person: Customer Engagement refused for a reason that is not known; the message has its words. */
  'refused',
]);
export type RepairReason = z.infer<typeof RepairReason>;

/**
 * The states of a repair. Open: `waiting` (nothing is under way, or it is parked and cannot go on yet) and `repairing`
 * (written before the first write to Customer Engagement). Ended: `repaired`, `unneeded`, `needs-person`.
 */
export const RepairState = z.enum(['waiting', 'repairing', 'repaired', 'unneeded', 'needs-person']);
export type RepairState = z.infer<typeof RepairState>;

/** One record of the journal: what is known of the repair of one systemuser from now on. The last one for a systemuserid counts. */
export const Repair = z.looseObject({
  organization: z.string(),
  systemuserid: z.guid(),
  objectGUID: z.guid(),
  state: RepairState,
  reason: RepairReason.nullable(),
  /** In the words of Customer Engagement or for a person; null when the reason says it all. */
  message: z.string().nullable(),
  /** The user name before the repair and the one that it is to get. */
  from: z.string(),
  to: z.string(),
  /** The account on which the record is, or is about to be, parked; null when it certainly is not. */
  parkingAccount: z.string().nullable(),
  /** How often it was tried without success in a row. */
  attempts: z.int().nonnegative(),
  /** Not to be tried again before this time; null when at once. */
  notBefore: z.iso.datetime().nullable(),
  /** The event that asked for it. */
  eventId: z.string(),
  sequence: z.int().positive(),
  /** objectGUID of the account that had the new name before, when there was one: a server that lags may still take it for that one. */
  formerHolder: z.guid().nullable().optional(),
  /** objectGUID of the account that was seen to have the new name as well. */
  sharedWith: z.guid().nullable().optional(),
  /** The last that was heard of the account is that it left the scope. */
  leftScope: z.boolean().optional(),
  /**
   * The record was given the name that it shows so shortly before its account lost it, that the name may have been another
   * account's by then: it may be mapped to that one, whose own record cannot be named until this repair is through.
   */
  doubtful: z.boolean().optional(),
  times: z.looseObject({
    /** When the listener saw the change. */
    observed: z.iso.datetime(),
    parked: z.iso.datetime().optional(),
    named: z.iso.datetime().optional(),
  }),
  /** When this was written. */
  at: z.iso.datetime(),
});
export type Repair = z.infer<typeof Repair>;

export function isOpen(repair: Pick<Repair, 'state'>): boolean {
  return repair.state === 'waiting' || repair.state === 'repairing';
}

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
