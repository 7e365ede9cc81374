import type { KnownRepairs, Look } from '../change-log.ts';
import type { CustomerEngagement, SystemUser } from '../customer-engagement.ts';
import { domainNameParts, type Identity, isUpn, namedAlike, nameKey, userNameLike } from '../identity.ts';
import { isOpen, type Link, type Repair, type RepairReason } from '../repair.ts';
import { decide, showsNameOf, targetOf } from './decide.ts';
import type { DoNotTouch } from './do-not-touch.ts';
import { type Suggestion, suggestAccounts } from './evidence.ts';
import { newRepair } from './open-repairs.ts';
import { parkingNames } from './parking.ts';
import { tellNames } from './person-names.ts';
import { situationOf } from './situation.ts';

/** A record that is out of step with the directory. */
export interface DriftRow {
  readonly organization: string;
  readonly systemuserid: string;
  readonly fullname: string;
  readonly isdisabled: boolean;
  /** The user name that the record shows. */
  readonly userName: string;
  /** objectGUID of its account; null where none is known. */
  readonly objectGUID: string | null;
  /** The user name that it should show; null where that is not known. */
  readonly should: string | null;
  /** When the directory was changed, or that was seen, as far as the log tells; ISO 8601. */
  readonly since: string | null;
  /** `repair`: its repair would begin, or go on. `link`: a person has to say whose it is. `none`: nothing, for the reason. */
  readonly action: 'repair' | 'link' | 'none';
  readonly reason: RepairReason | 'unmatched' | 'parked' | null;
  readonly message: string | null;
  /** Of an unmatched record: whose it may be, the likeliest first. */
  readonly suggestions: readonly Suggestion[];
}

export interface Drift {
  readonly organization: string;
  /** How many records were looked at. */
  readonly records: number;
  /** How many of them show the name of their account. */
  readonly inStep: number;
  /** How many are special users, have no user name or one of a domain that is not listened to, or belong to an account that is gone. */
  readonly others: number;
  readonly rows: readonly DriftRow[];
}

export interface DriftSettings {
  readonly parkingAccounts: readonly string[];
  readonly doNotTouch: DoNotTouch;
  readonly oneStep: boolean;
  /** Whether first and last name are written together with the user name. */
  readonly writeNames: boolean;
}

type Known = Look & KnownRepairs;

/**
 * Compares every record of an organization with what the log knows of the accounts, and writes nothing.
 *
 * @throws CustomerEngagementError
 */
export async function findDrift(ce: CustomerEngagement, look: Look, settings: DriftSettings, stop?: AbortSignal): Promise<Drift> {
  const known: Known = { ...look, ...look.organization(ce.name) };
  const own = await ce.whoAmI(stop);
  const records: SystemUser[] = [];
  for await (const page of ce.all({}, stop)) records.push(...page);
  const domains = new Set<string>();
  for await (const page of look.identities()) for (const { domain } of page) domains.add(nameKey(domain));
  const comparison = new Comparison(ce.name, records, own, known, settings);
  const rows: DriftRow[] = [];
  const unmatched: SystemUser[] = [];
  let others = 0;
  let inStep = 0;
  for (const record of records) {
    const link = known.linkOfRecord(record.systemuserid);
    const row = link && comparison.row(record, link);
    if (row !== undefined) rows.push(row);
    else if (link !== undefined && known.identity(link.objectGUID) === undefined) others++;
    else if (link !== undefined || comparison.isNamedAlike(record)) inStep++;
    else if (comparison.isOther(record, domains)) others++;
    else unmatched.push(record);
  }
  const suggestions = await suggestAccounts(unmatched, look, (objectGUID) => known.link(objectGUID) !== undefined);
  for (const record of unmatched) {
    const own = suggestions.get(record.systemuserid) ?? [];
    // One of another domain is out of step only if there is something that says so.
    if (isUpn(record.domainname) && own.length === 0) others++;
    else rows.push(comparison.unmatched(record, own));
  }
  return { organization: ce.name, records: records.length, inStep, others, rows };
}

class Comparison {
  readonly #organization: string;
  readonly #byName: ReadonlyMap<string, readonly SystemUser[]>;
  readonly #own: string;
  readonly #known: Known;
  readonly #settings: DriftSettings;
  /** Open repairs by the name that their records show. */
  readonly #showing: ReadonlyMap<string, readonly Repair[]>;

  constructor(organization: string, records: readonly SystemUser[], own: string, known: Known, settings: DriftSettings) {
    this.#organization = organization;
    this.#byName = Map.groupBy(records, ({ domainname }) => nameKey(domainname));
    this.#own = own;
    this.#known = known;
    this.#settings = settings;
    this.#showing = Map.groupBy(known.openRepairs(), ({ from }) => nameKey(from));
  }

  /** Of a linked record; undefined when it is in step. */
  row(record: SystemUser, link: Link): DriftRow | undefined {
    const identity = this.#known.identity(link.objectGUID);
    const last = this.#known.repair(record.systemuserid);
    if (identity === undefined) return this.#parkedRow(record, link, last);
    if (showsNameOf(identity, record) && !(last !== undefined && isOpen(last) && last.remap)) return undefined;
    const parked = this.#parkedOn(record);
    const form = parked === undefined ? record.domainname : (last?.from ?? link.domainname);
    const should = targetOf({ from: form }, identity, parked !== undefined) ?? null;
    const since =
      (last !== undefined && isOpen(last) ? last.times.changed : undefined) ?? this.#since(identity) ?? last?.times.observed ?? null;
    const base = { ...this.#base(record), objectGUID: link.objectGUID, should, since };
    if (last?.state === 'needs-person') return { ...base, action: 'none', reason: last.reason, message: last.message };
    if (parked !== undefined) return { ...base, action: 'repair', reason: 'parked', message: `it is on the parking account ${parked}` };
    if (last !== undefined && isOpen(last)) return { ...base, action: 'repair', reason: last.reason, message: last.message };
    return { ...base, ...this.#verdict(record, link, identity) };
  }

  unmatched(record: SystemUser, suggestions: readonly Suggestion[]): DriftRow {
    const parked = this.#parkedOn(record) !== undefined;
    const base = { ...this.#base(record), action: 'link' as const, reason: parked ? ('parked' as const) : ('unmatched' as const) };
    const last = this.#known.repair(record.systemuserid);
    if (last?.reason === 'link-uncertain') return { ...base, reason: last.reason, message: last.message, suggestions };
    return { ...base, message: parked ? 'it is on a parking account, and linked to no account' : null, suggestions };
  }

  /** Nobody's, and nothing to be done about: special users, no name, other domains. */
  isOther(record: SystemUser, domains: ReadonlySet<string>): boolean {
    const { special, systemuserid, domainname } = record;
    if (special || systemuserid === this.#own || domainname === '') return true;
    return !isUpn(domainname) && !domains.has(nameKey(domainNameParts(domainname).domain));
  }

  /** It shows the name of an account, and will be linked to it. */
  isNamedAlike(record: SystemUser): boolean {
    const { domain, sAMAccountName } = domainNameParts(record.domainname);
    const objectGUID = this.#known.holder(domain, sAMAccountName);
    if (objectGUID === undefined || this.#known.isDenied(objectGUID, record.systemuserid)) return false;
    const isUncertain = this.#known.repair(record.systemuserid)?.reason === 'link-uncertain';
    return this.#parkedOn(record) === undefined && !isUncertain && this.#byName.get(nameKey(record.domainname))?.length === 1;
  }

  /** What a repair would do first. */
  #verdict(record: SystemUser, link: Link, identity: Identity): Pick<DriftRow, 'action' | 'reason' | 'message'> {
    const target = userNameLike(record.domainname, identity) ?? '';
    // The name that was last seen tells whether somebody has given it another one since.
    const from = isUpn(record.domainname) === isUpn(link.domainname) ? link.domainname : record.domainname;
    const cause = { eventId: '', sequence: 0, observed: new Date().toISOString() };
    const repair: Repair = { ...newRepair({ ...link, systemuserid: record.systemuserid }, cause), from, to: target };
    const records = [record, ...(this.#byName.get(nameKey(target)) ?? [])];
    const { doNotTouch, oneStep, writeNames, parkingAccounts } = this.#settings;
    const place = {
      log: this.#known,
      own: this.#own,
      doNotTouch,
      oneStep,
      writeNames,
      withheld: undefined,
      nameLag: 0,
      parked: [],
      parkingAccount: parkingAccounts[0],
    };
    const situation = situationOf(repair, target, records, {
      ...place,
      showing: (name) => this.#showing.get(nameKey(name)) ?? [],
      targetOf: (other) => other.to,
    });
    const decision = decide(situation);
    if (decision.step === 'end') return { action: 'none', reason: decision.reason, message: decision.message ?? null };
    if (decision.step === 'wait') return { action: 'repair', reason: decision.reason, message: decision.message ?? null };
    return { action: 'repair', reason: null, message: tellNames(situation.names).trim() || null };
  }

  /** One whose account is gone matters only while it is on a parking account. */
  #parkedRow(record: SystemUser, link: Link, last: Repair | undefined): DriftRow | undefined {
    if (this.#parkedOn(record) === undefined) return undefined;
    const message = 'it is on a parking account, and its account is gone';
    return { ...this.#base(record), objectGUID: link.objectGUID, action: 'none', reason: last?.reason ?? 'account-deleted', message };
  }

  #parkedOn({ domainname }: SystemUser): string | undefined {
    return namedAlike(parkingNames(this.#settings.parkingAccounts, this.#known), domainname);
  }

  #since({ objectGUID }: Identity): string | undefined {
    return this.#known.origins(objectGUID).sAMAccountName?.time;
  }

  #base({ systemuserid, fullname, isdisabled, domainname }: SystemUser): Omit<DriftRow, 'action' | 'reason'> {
    const organization = this.#organization;
    const nothing = { objectGUID: null, should: null, since: null, message: null, suggestions: [] };
    return { organization, systemuserid, fullname, isdisabled, userName: domainname, ...nothing };
  }
}
