import type { RepairReason } from './repair.ts';

/** What a reason means, and what a person can do about it. */
export interface Explanation {
  readonly meaning: string;
  readonly next: string;
}

const NOTHING = 'nothing: it goes on by itself';
const DECIDED = 'nothing';

/** Of every reason; the table in SPEC.md is the same. */
export const EXPLANATIONS: Readonly<Record<RepairReason, Explanation>> = {
  'no-parking-account-free': {
    meaning: 'all parking accounts are in use, or Customer Engagement takes none of the others',
    next: 'nothing, or more parking accounts if it happens often',
  },
  'names-exchanged': { meaning: 'a record with which it exchanges a name is on a parking account; one after the other', next: NOTHING },
  'name-in-use': { meaning: 'a record that is about to be repaired still shows its new name', next: NOTHING },
  'change-window': { meaning: 'the organization is written at other hours (changeWindow)', next: NOTHING },
  'dry-run': { meaning: 'nothing is written in a dry run', next: 'run it without --dry-run' },
  'not-in-directory-yet': {
    meaning: 'the domain controller of Customer Engagement does not know the new name yet, or still takes it for its former holder',
    next: 'nothing, or have the domain controllers replicate; namesake retry tries at once',
  },
  unavailable: {
    meaning: 'Customer Engagement cannot be reached, is busy, or refuses for a reason that is not known and may pass',
    next: 'nothing, or see to the server; it is tried again with growing pauses',
  },
  'credentials-refused': {
    meaning: 'Customer Engagement refuses the credentials of the service, or shows a sign-in page',
    next: 'correct auth, or unlock the account of the service; nobody is tried meanwhile',
  },
  'privilege-missing': {
    meaning: 'the user of the service lacks a privilege for this record (prvReadUser, prvWriteUser)',
    next: 'grant it, for all business units',
  },
  'names-agree': { meaning: 'the record shows the right name already', next: DECIDED },
  'account-deleted': {
    meaning: 'the account was deleted',
    next: 'nothing; of a record on a parking account: namesake link set, or give it another user name by hand',
  },
  'account-left-scope': {
    meaning: 'the account is not followed any more',
    next: 'nothing; of a record on a parking account: follow the account again, or give it its user name by hand',
  },
  'do-not-touch': { meaning: 'the settings say that the record is not to be touched', next: DECIDED },
  skipped: { meaning: 'a person ended it', next: 'nothing; namesake retry begins it again' },
  'held-by-another-record': {
    meaning: 'another record holds the account, or shows its name',
    next: 'give the other record its right user name, then namesake retry',
  },
  'link-uncertain': {
    meaning: 'the record shows a name that two accounts had before either was linked',
    next: 'say whose it is: namesake link set',
  },
  'name-shared': {
    meaning: 'another account has the same name, written on two domain controllers at once',
    next: 'rename one of the two in the directory; it goes on by itself then',
  },
  'account-recreated': {
    meaning: 'the account was deleted, and another one was made under its name, which may be another person’s',
    next: 'if it is the same person: namesake link set; or organizations.N.recreated: repair for all',
  },
  'upn-missing': {
    meaning: 'the record shows a UPN, and its account has none any more',
    next: 'give the account a UPN; it goes on by itself then',
  },
  'changed-by-hand': {
    meaning: 'somebody gave the record the name of another account',
    next: 'if that is wrong, set its user name by hand; if it is right: namesake link set',
  },
  'special-user': { meaning: 'SYSTEM, INTEGRATION, a support or application user: nobody may write it', next: 'namesake link remove' },
  'own-record': {
    meaning: 'the service may not rename its own record (0x80044161)',
    next: 'give it its user name by hand, as another user',
  },
  'record-missing': { meaning: 'there is no such record any more', next: 'namesake link remove' },
  refused: {
    meaning: 'Customer Engagement refused for a reason that is not known; the message has its words',
    next: 'see to it, then namesake retry',
  },
};
