import { z } from 'zod';

/** Which Customer Engagement record belongs to which account. Never guessed from a name that may have been re-used. */
export const Link = z.looseObject({
  organization: z.string(),
  objectGUID: z.guid(),
  systemuserid: z.guid(),
  /** The user name that the record showed when it was last looked at. */
  domainname: z.string(),
  learned: z.iso.datetime(),
  /** Why it is believed: `name` (they agreed), `person`, or the evidence that is configured as trusted. Absent in older links: `name`. */
  by: z.string().optional(),
  /** A person said that they do not belong together; it is no link then. */
  denied: z.boolean().optional(),
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
  /** Waits: another record, whose repair can go on, still shows the name that this one is to get. */
  'name-in-use',
  /** Waits: this organization is written at other hours only. */
  'change-window',
  /** Waits: nothing is written in a dry run; the message says what would be. */
  'dry-run',
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
  /** Not needed: the settings say that the record is not to be touched. */
  'do-not-touch',
  /** Not needed: a person said so. */
  'skipped',
  /** Needs a person: another record is mapped to this account, or shows its name without being linked to another account. */
  'held-by-another-record',
  /** Needs a person: the record shows a name that two accounts had before either was linked; it may be the one's or the other's. */
  'link-uncertain',
  /** Needs a person: another account has the same name, written on two domain controllers at once; one of them has to be renamed. */
  'name-shared',
  /** Needs a person: the account was deleted and made anew under its name. It is another account, which may be another person's. */
  'account-recreated',
  /** Needs a person: the record shows a UPN, and its account has none. */
  'upn-missing',
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

/** When a person logged on last, as far as the directory tells; ISO 8601. */
export const LastLogon = z.looseObject({
  /** By the domain controller that was asked; others may have seen a later one. */
  seen: z.iso.datetime().nullable(),
  /** As it is replicated: up to 14 days behind. */
  replicated: z.iso.datetime().nullable(),
  /** When that was asked. */
  asked: z.iso.datetime(),
});
export type LastLogon = z.infer<typeof LastLogon>;

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
  /** Of that event; of a repair that a person asked for, the last event that was known. */
  sequence: z.int().nonnegative(),
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
  /**
   * The record is mapped to another account than its name tells: it has to go by way of a parking account although it may show the right
   * name, since writing the name that is shown changes nothing.
   */
  remap: z.boolean().optional(),
  /** objectGUID of the account that was made under the name of this one after it was deleted, while its repair was open. */
  recreatedAs: z.guid().optional(),
  /** First name, last name and e-mail of the record before it was written, for as long as the server may have changed them with the name. */
  person: z.looseObject({ firstname: z.string(), lastname: z.string(), internalemailaddress: z.string() }).nullable().optional(),
  /** A write was sent, and its answer did not come. */
  sent: z.boolean().optional(),
  /** It was tried in one step, and the account was on a record already. */
  twoSteps: z.boolean().optional(),
  /** What is written of the person's name together with `to`, if anything; of one that has ended, what was. */
  names: z
    .looseObject({
      firstname: z.string().optional(),
      lastname: z.string().optional(),
      /** Why one of them, or both, are not written; for a person. */
      leftOut: z.string().optional(),
      /** Customer Engagement would not have them: the user name is written alone. */
      refused: z.boolean().optional(),
    })
    .optional(),
  times: z.looseObject({
    /** When the change was made in the directory, as its replication metadata tell. */
    changed: z.iso.datetime().optional(),
    /** When the listener saw the change, or a person asked for a repair. */
    observed: z.iso.datetime(),
    /** When the listener saw that the account has the name that the record is to get; absent once a person asked for the repair. */
    target: z.iso.datetime().optional(),
    /** When the repairer took it over. */
    planned: z.iso.datetime().optional(),
    /** When the intent to park it was written; it was parked right after that, if it was. */
    intended: z.iso.datetime().optional(),
    parked: z.iso.datetime().optional(),
    named: z.iso.datetime().optional(),
  }),
  /** Of the person, while it was being repaired. */
  lastLogon: LastLogon.optional(),
  /** When this was written. */
  at: z.iso.datetime(),
});
export type Repair = z.infer<typeof Repair>;

export function isOpen(repair: Pick<Repair, 'state'>): boolean {
  return repair.state === 'waiting' || repair.state === 'repairing';
}
