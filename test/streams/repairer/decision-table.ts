import type { RepairReason, RepairState } from '../../../streams/repair.ts';
import type { Decision } from '../../../streams/repairer/decide.ts';

/** What Customer Engagement shows of the record. */
export type Shows = 'no record' | 'own record' | 'special user' | 'new name' | 'parking account' | 'known name' | "another account's name";
export type Account = 'present' | 'deleted' | 'out of scope';
/** What stands in the way, in the order in which it counts. */
export type Obstacle = 'another account' | 'another record' | 'exchanging record' | 'former holder' | 'no parking account' | 'none';

export type Row = Decision['step'] | 'repaired or unneeded' | RepairReason;

const needsNothingElse = (row: Row): Record<Account, Record<Obstacle, Row>> => ({
  present: whatever(row),
  deleted: whatever(row),
  'out of scope': whatever(row),
});

function whatever(row: Row): Record<Obstacle, Row> {
  return {
    'another account': row,
    'another record': row,
    'exchanging record': row,
    'former holder': row,
    'no parking account': row,
    none: row,
  };
}

/** The next step of a repair, for everything that can be true at once. The compiler asks for every case. */
export const DECISIONS: Record<Shows, Record<Account, Record<Obstacle, Row>>> = {
  'no record': needsNothingElse('record-missing'),
  'own record': needsNothingElse('own-record'),
  'special user': needsNothingElse('special-user'),
  'new name': {
    present: whatever('repaired or unneeded'),
    deleted: whatever('account-deleted'),
    'out of scope': whatever('account-left-scope'),
  },
  'parking account': {
    present: { ...whatever('name'), 'former holder': 'not-in-directory-yet' },
    deleted: whatever('account-deleted'),
    'out of scope': whatever('account-left-scope'),
  },
  'known name': {
    present: {
      'another account': 'name-shared',
      'another record': 'held-by-another-record',
      'exchanging record': 'names-exchanged',
      'former holder': 'not-in-directory-yet',
      'no parking account': 'no-parking-account-free',
      none: 'park',
    },
    deleted: whatever('account-deleted'),
    'out of scope': whatever('account-left-scope'),
  },
  "another account's name": {
    present: whatever('changed-by-hand'),
    deleted: whatever('account-deleted'),
    'out of scope': whatever('account-left-scope'),
  },
};

/** Which journal record may follow which, for one systemuser. */
export const FOLLOWS: Record<RepairState | 'nothing', Record<RepairState, boolean>> = {
  nothing: { waiting: true, repairing: true, repaired: false, unneeded: true, 'needs-person': true },
  // It can be on its new name already: the answer to the write was lost.
  waiting: { waiting: true, repairing: true, repaired: true, unneeded: true, 'needs-person': true },
  repairing: { waiting: true, repairing: true, repaired: true, unneeded: true, 'needs-person': true },
  repaired: { waiting: true, repairing: true, repaired: false, unneeded: true, 'needs-person': true },
  unneeded: { waiting: true, repairing: true, repaired: false, unneeded: true, 'needs-person': true },
  'needs-person': { waiting: true, repairing: true, repaired: false, unneeded: true, 'needs-person': true },
};

/** How a state can be left in the end, and with which reasons. */
export const REASONS: Record<RepairState, readonly (RepairReason | null)[]> = {
  waiting: [
    null,
    'no-parking-account-free',
    'names-exchanged',
    'name-in-use',
    'change-window',
    'dry-run',
    'not-in-directory-yet',
    'unavailable',
    'credentials-refused',
    'privilege-missing',
  ],
  repairing: [null],
  repaired: [null],
  unneeded: ['names-agree', 'account-deleted', 'account-left-scope', 'do-not-touch', 'skipped'],
  'needs-person': [
    'account-deleted',
    'account-left-scope',
    'held-by-another-record',
    'link-uncertain',
    'name-shared',
    'account-recreated',
    'upn-missing',
    'changed-by-hand',
    'special-user',
    'own-record',
    'record-missing',
    'refused',
  ],
};
