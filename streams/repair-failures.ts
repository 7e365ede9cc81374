import type { CustomerEngagementError, CustomerEngagementFailure } from './customer-engagement.ts';
import type { Repair, RepairReason } from './repair.ts';

/** The caller cannot change their own domain name (Web service error codes). */
const CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME = 0x80044161;
/** How often a name that was somebody else's is tried while it is refused as held: with the delays in between, about half an hour. */
const HELD_ATTEMPTS = 12;

const WAITS: Partial<Record<CustomerEngagementFailure, RepairReason>> = {
  transient: 'unavailable',
  'unknown-outcome': 'unavailable',
  conflict: 'unavailable',
  'not-in-directory': 'not-in-directory-yet',
  credentials: 'credentials-refused',
  privilege: 'privilege-missing',
};

export type Meaning = { readonly step: 'wait' | 'end'; readonly reason: RepairReason };

/** What a refusal or failure of Customer Engagement means for a repair. */
export function meaningOf(error: CustomerEngagementError, { attempts, formerHolder }: Pick<Repair, 'attempts' | 'formerHolder'>): Meaning {
  const reason = WAITS[error.failure];
  if (reason !== undefined) return { step: 'wait', reason };
  switch (error.failure) {
    case 'held':
      // A server that has not heard of the change takes the name for the account that had it before.
      return typeof formerHolder === 'string' && attempts < HELD_ATTEMPTS
        ? { step: 'wait', reason: 'not-in-directory-yet' }
        : { step: 'end', reason: 'held-by-another-record' };
    case 'impossible':
      return { step: 'end', reason: error.code === CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME ? 'own-record' : 'special-user' };
    case 'missing':
      return { step: 'end', reason: 'record-missing' };
    default:
      return attempts === 0 ? { step: 'wait', reason: 'unavailable' } : { step: 'end', reason: 'refused' };
  }
}
