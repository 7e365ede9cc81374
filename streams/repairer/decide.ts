import type { SystemUser } from '../customer-engagement.ts';
import { domainName, type Identity, sameName, userNameLike } from '../identity.ts';
import type { Repair, RepairReason } from '../repair.ts';
import { tellNames } from './person-names.ts';

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
  /** A record on a parking account that exchanges a name with this one, and has not waited in vain for the server to hear of it. */
  readonly exchanging: Repair | undefined;
  /** objectGUID of an account that had the name before, to which a server that has not heard of the change would map the record in silence. */
  readonly unheard: string | undefined;
  /** Another repair that can go on, whose record shows the name that this one is to get. */
  readonly inFront: Repair | undefined;
  /** Another account that has the name that this one is to get. */
  readonly sharing: Identity | undefined;
  /** Whether the name that the record shows belongs to another account, and is not the one it had when last looked at. */
  readonly givenAway: boolean;
  /** Why the settings forbid to write to it, if they do. */
  readonly untouched: string | undefined;
  /** Why nothing may be begun now, if so. */
  readonly withheld: 'change-window' | 'dry-run' | undefined;
  /** Whether one step is tried where the account may be on no record. */
  readonly oneStep: boolean;
  /** What would be written of the person's name together with the user name. */
  readonly names: Repair['names'];
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
  | { readonly step: 'name'; readonly to: string }
  /** In one step, without a parking account. */
  | { readonly step: 'direct'; readonly to: string };

/**
 * The next step of a repair (the table in SPEC.md). Pure; it looks at what is true now, not at what was done before (SPEC rule 8).
 *
 * Customer Engagement refuses a name whose account is on any record. What another linked record shows is therefore no obstacle by
 * itself, and a parked record waits for no other one: swaps and cycles need no more than one parking account. Still, where one of several can go
 * first without that it does, so that no two records show one name unless they exchange them. A server that lags behind the directory
 * takes a name that changed hands for the account that had it before. As long as that account is on its record, the name is refused and
 * can be tried again; while that record is parked, the wrong account would be taken in silence. So of two records that exchange a name,
 * only one at a time is parked.
 */
export function decide(situation: Situation): Decision {
  const { repair, identity, record } = situation;
  if (record === undefined) return { step: 'end', state: 'needs-person', reason: 'record-missing' };
  if (record.systemuserid === situation.own) return { step: 'end', state: 'needs-person', reason: 'own-record' };
  if (record.special) return { step: 'end', state: 'needs-person', reason: 'special-user' };
  const parked = repair.parkingAccount !== null && sameName(record.domainname, repair.parkingAccount);
  if (identity === undefined && repair.recreatedAs !== undefined) {
    const message = `the account was deleted, and ${repair.recreatedAs} was made anew under its name`;
    return { step: 'end', state: 'needs-person', reason: 'account-recreated', message };
  }
  if (identity === undefined) {
    return {
      step: 'end',
      state: parked ? 'needs-person' : 'unneeded',
      reason: repair.leftScope ? 'account-left-scope' : 'account-deleted',
    };
  }
  if (situation.untouched !== undefined && !parked) {
    return { step: 'end', state: 'unneeded', reason: 'do-not-touch', message: situation.untouched };
  }
  const to = targetOf(repair, identity, parked);
  const agrees = showsNameOf(identity, record);
  // One that has to be remapped shows the right name before it is parked, too.
  if (agrees && (!repair.remap || repair.times.parked !== undefined)) {
    const wrote = repair.times.parked !== undefined || repair.state === 'repairing' || repair.sent === true;
    return wrote ? { step: 'end', state: 'repaired', reason: null } : { step: 'end', state: 'unneeded', reason: 'names-agree' };
  }
  if (to === undefined) {
    const message = `the record showed ${repair.from}, and ${domainName(identity)} has no userPrincipalName`;
    return { step: 'end', state: 'needs-person', reason: 'upn-missing', message };
  }
  if (parked) return waitsForServer(situation, to) ?? { step: 'name', to };
  return mayBegin(situation, record, to) ?? begin(situation, to);
}

/** What keeps a repair from being begun; undefined when nothing does. */
function mayBegin(
  { repair, sharing, holder, exchanging, unheard, inFront, withheld, givenAway, names }: Situation,
  record: SystemUser,
  to: string,
): Decision | undefined {
  if (givenAway && !repair.remap) {
    const message = `the record shows ${record.domainname || 'no user name'}, which is not a name of this account`;
    return { step: 'end', state: 'needs-person', reason: 'changed-by-hand', message };
  }
  if (sharing !== undefined) {
    return {
      step: 'end',
      state: 'needs-person',
      reason: 'name-shared',
      message: `${to} is the name of the account ${sharing.objectGUID} as well`,
    };
  }
  if (holder !== undefined) return { step: 'end', state: 'needs-person', reason: 'held-by-another-record', message: shownBy(holder) };
  if (exchanging !== undefined) {
    return { step: 'wait', reason: 'names-exchanged', message: `${exchanging.to} is being repaired first (${exchanging.systemuserid})` };
  }
  if (inFront !== undefined) {
    return { step: 'wait', reason: 'name-in-use', message: `${to} is shown by ${inFront.systemuserid}, which is to get ${inFront.to}` };
  }
  const waits = waitsForServer({ unheard }, to);
  if (waits !== undefined) return waits;
  if (withheld === 'dry-run') {
    return { step: 'wait', reason: 'dry-run', message: `would set ${record.domainname} to ${to}${tellNames(names)}` };
  }
  return withheld === undefined ? undefined : { step: 'wait', reason: withheld };
}

/** Also a parked record: what it is to get may have changed since it was parked. */
function waitsForServer({ unheard }: Pick<Situation, 'unheard'>, to: string): Decision | undefined {
  if (unheard === undefined) return undefined;
  const message = `${to} was the name of ${unheard}: a server that has not heard of the change yet would take that account`;
  return { step: 'wait', reason: 'not-in-directory-yet', message };
}

function begin({ repair, oneStep, parkingAccount }: Situation, to: string): Decision {
  if (oneStep && !repair.twoSteps) return { step: 'direct', to };
  return parkingAccount === undefined ? { step: 'wait', reason: 'no-parking-account-free' } : { step: 'park', account: parkingAccount, to };
}

/**
 * The user name that a record is to get: in the form that it had. One that is on a parking account must not stay there (SPEC rule 7), and
 * gets the other form where its account has no UPN any more; of any other one a person decides, and it is undefined.
 */
export function targetOf({ from }: Pick<Repair, 'from'>, identity: Identity, parked: boolean): string | undefined {
  return userNameLike(from, identity) ?? (parked ? domainName(identity) : undefined);
}

/** In either form: a person may have given a record the other one. */
export function showsNameOf(identity: Identity, { domainname }: Pick<SystemUser, 'domainname'>): boolean {
  return [domainName(identity), identity.userPrincipalName ?? ''].some((name) => name !== '' && sameName(domainname, name));
}

function shownBy(holder: SystemUser): string {
  return `${holder.domainname} is shown by the record of ${holder.fullname} (${holder.systemuserid})${holder.isdisabled ? ', which is disabled' : ''}`;
}
