import type { CustomerEngagementError, CustomerEngagementFailure } from '../customer-engagement.ts';
import type { Repair, RepairReason } from '../repair.ts';

/** The caller cannot change their own domain name (Web service error codes). */
const CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME = 0x80044161;
/**
 * How often a name that is refused as held is tried, with growing delays in between. For about 20 seconds, since the listener
 * may not yet have told that the account has another name by now; for some hours when the name was another account's, which
 * a server that has not heard of the change still takes it for (between sites that takes three hours by default).
 */
const HELD_ATTEMPTS = { own: 4, takenOver: 60 };
/**
 * How often a refusal that is not known (assumption A1) is tried: once again, unless the record is parked. Then it may be one that passes, as that of a
 * name which the server has yet to hear of, and nobody can log on as that person until it has; so for about an hour.
 */
const REFUSED_ATTEMPTS = { usual: 1, parked: 60 };

const WAITS: Partial<Record<CustomerEngagementFailure, RepairReason>> = {
  transient: 'unavailable',
  'unknown-outcome': 'unavailable',
  conflict: 'unavailable',
  'not-in-directory': 'not-in-directory-yet',
  credentials: 'credentials-refused',
  privilege: 'privilege-missing',
};

export type Meaning = { readonly step: 'wait' | 'end'; readonly reason: RepairReason };

/**
 * What a refusal or failure of Customer Engagement means for a repair.
 *
 * @param attempts how often it failed in the very same way before, in a row
 */
export function meaningOf(
  error: Pick<CustomerEngagementError, 'failure' | 'code'>,
  { attempts, formerHolder, parkingAccount }: Pick<Repair, 'attempts' | 'formerHolder' | 'parkingAccount'>,
): Meaning {
  const reason = WAITS[error.failure];
  if (reason !== undefined) return { step: 'wait', reason };
  switch (error.failure) {
    case 'held':
      return attempts < (formerHolder ? HELD_ATTEMPTS.takenOver : HELD_ATTEMPTS.own)
        ? { step: 'wait', reason: 'not-in-directory-yet' }
        : { step: 'end', reason: 'held-by-another-record' };
    case 'impossible':
      return { step: 'end', reason: error.code === CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME ? 'own-record' : 'special-user' };
    case 'missing':
      return { step: 'end', reason: 'record-missing' };
    default:
      return attempts < (parkingAccount === null ? REFUSED_ATTEMPTS.usual : REFUSED_ATTEMPTS.parked)
        ? { step: 'wait', reason: 'unavailable' }
        : { step: 'end', reason: 'refused' };
  }
}
