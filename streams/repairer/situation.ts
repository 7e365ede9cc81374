import type { RepairerLog } from '../change-log.ts';
import type { SystemUser } from '../customer-engagement.ts';
import { domainName, domainNameParts, isUpn, sameName } from '../identity.ts';
import type { Repair } from '../repair.ts';
import type { Situation } from './decide.ts';
import { type DoNotTouch, whyNotTouched } from './do-not-touch.ts';
import { standsInFront } from './order.ts';
import { namesToWrite } from './person-names.ts';

/**
 * Milliseconds after a change for which a server is thought to lag behind the directory (assumption A7). Shorter for a record whose own mapping is
 * doubtful: then that may well be what the other one waits for, and nobody can log on as that person meanwhile.
 */
const LAG_MILLISECONDS = { usual: 3_600_000, doubtful: 300_000 };

/** What is known besides the records. */
interface Place {
  readonly log: Pick<RepairerLog, 'identity' | 'holder' | 'formerHolders' | 'link' | 'linkOfRecord'>;
  /** systemuserid of the service's own record. */
  readonly own: string;
  readonly doNotTouch: DoNotTouch;
  readonly withheld: Situation['withheld'];
  /** Whether the settings allow one step where the account is on no record. */
  readonly oneStep: boolean;
  /** Milliseconds for which a server may take a name for the account that had it before. */
  readonly nameLag: number;
  /** Whether first and last name are written together with the user name. */
  readonly writeNames: boolean;
  /** The repairs that have not ended whose records show a name unless they are parked, and the name that each record is to get. */
  readonly showing: (name: string) => readonly Repair[];
  readonly targetOf: (repair: Repair) => string;
  /** Repairs whose records are on parking accounts, or are about to be. */
  readonly parked: readonly Repair[];
  /** The one that is kept for this repair, if there is one. */
  readonly parkingAccount: string | undefined;
}

/**
 * What is true of a repair at this moment.
 *
 * @param target the name that the record is to get
 * @param records those found by systemuserid and by the names that matter
 */
export function situationOf(repair: Repair, target: string, records: readonly SystemUser[], place: Place): Situation {
  const { log, own, parkingAccount, withheld } = place;
  const record = records.find((found) => found.systemuserid === repair.systemuserid);
  const holder = records.find(
    (found) =>
      found.systemuserid !== repair.systemuserid &&
      sameName(found.domainname, target) &&
      (log.linkOfRecord(found.systemuserid)?.objectGUID ?? repair.objectGUID) === repair.objectGUID,
  );
  const sharing = repair.sharedWith ? log.identity(repair.sharedWith) : undefined;
  const identity = log.identity(repair.objectGUID);
  return {
    repair,
    identity,
    record,
    sharing: sharing !== undefined && sameName(domainName(sharing), target) ? sharing : undefined,
    own,
    holder,
    unheard: unheard(repair, target, place),
    exchanging: record && exchanging(repair, record.domainname, target, place),
    inFront: standsInFront(repair, target, place.showing, place.targetOf),
    untouched: record && whyNotTouched(record, [repair.from, log.linkOfRecord(record.systemuserid)?.domainname ?? ''], place.doNotTouch),
    withheld,
    names: place.writeNames && identity !== undefined && record !== undefined ? namesToWrite(identity, record) : undefined,
    // A user whose name is a UPN may be one that no domain controller of the server knows: then there is nothing to be held.
    oneStep: isUpn(repair.from) || (place.oneStep && repair.remap === true && record !== undefined && !sameName(record.domainname, target)),
    givenAway: record !== undefined && isGivenAway(repair, record, log),
    parkingAccount,
  };
}

/** A parked record that exchanges a name with this one: by what they show and are to get, or by who had these names before. */
function exchanging(repair: Repair, shown: string, target: string, { log, parked, targetOf }: Place): Repair | undefined {
  const lag = repair.doubtful ? LAG_MILLISECONDS.doubtful : LAG_MILLISECONDS.usual;
  const former = formerHolders(repair, target, log);
  return parked.find(
    (other) =>
      other.systemuserid !== repair.systemuserid &&
      other.parkingAccount !== null &&
      !hasWaitedInVain(other, lag) &&
      (sameName(other.from, target) ||
        sameName(other.to, shown) ||
        former.includes(other.objectGUID) ||
        formerHolders(other, targetOf(other), log).includes(repair.objectGUID)),
  );
}

/**
 * A server that refuses a name although it cannot lag any more wants the other record to give it up first: that one is mapped to the
 * account, or the server compares names and not accounts (none is known that does).
 */
function hasWaitedInVain({ reason, times }: Repair, lag: number): boolean {
  return reason === 'not-in-directory-yet' && Date.now() - Date.parse(times.observed) > lag;
}

/**
 * A server that has not heard of the change takes the name for the account that had it before. It refuses that while the account is on
 * a record; one that is on none, or on this very record, it would map in silence: that one is returned.
 */
function unheard(repair: Repair, to: string, { log, nameLag }: Place): string | undefined {
  const { systemuserid, from, times } = repair;
  // A record that shows a UPN gets another one, whoever had the account's name before.
  if (times.target === undefined || isUpn(from)) return undefined;
  if (Date.now() - Date.parse(times.target) >= nameLag) return undefined;
  return formerHolders(repair, to, log).find((objectGUID) => (log.link(objectGUID)?.systemuserid ?? systemuserid) === systemuserid);
}

/**
 * The accounts for which a server may take a name that is to be given. Not only the last one before: when a name goes from hand to hand
 * within a short time, the server may have heard of any of them last.
 */
function formerHolders({ objectGUID, formerHolder }: Repair, name: string, log: Place['log']): string[] {
  const { domain, sAMAccountName } = domainNameParts(name);
  const known = log.formerHolders(domain, sAMAccountName);
  return [...(formerHolder == null ? [] : [formerHolder]), ...known].filter((former) => former !== objectGUID);
}

/** The record shows a name that neither it nor its account is known to have had, and that is somebody else's. */
function isGivenAway(repair: Repair, { systemuserid, domainname }: SystemUser, log: Place['log']): boolean {
  const own = [repair.from, repair.to, repair.parkingAccount, log.linkOfRecord(systemuserid)?.domainname];
  if (own.some((name) => typeof name === 'string' && sameName(name, domainname))) return false;
  const { domain, sAMAccountName } = domainNameParts(domainname);
  // Not a name of the account's domain at all: a user outside it, one of a domain that is not watched, or somebody's hand.
  const home = log.identity(repair.objectGUID)?.domain ?? domain;
  if (domain === '' || !sameName(domain, home)) return true;
  const holder = log.holder(domain, sAMAccountName);
  return holder !== undefined && holder !== repair.objectGUID;
}
