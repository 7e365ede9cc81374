import type { ChangeEvent } from '../change.ts';
import type { RepairerLog } from '../change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, type SystemUser } from '../customer-engagement.ts';
import { domainName, domainNameParts, isUpn, namedAlike, nameKey, sameName } from '../identity.ts';
import { isOpen, type Link } from '../repair.ts';
import { indexTraits, type Trait, traitKey } from './traits.ts';

/** So many links are written to the log at once. */
const AT_ONCE = 500;
const BAD_REQUEST = 400;
/** What was being written when the records were read last can have got its time up to so many milliseconds before. */
const OVERLAP = 120_000;

/** A record that is on a parking account, or on none (null) although its repair ended on one. */
export interface Astray {
  readonly systemuserid: string;
  readonly parkingAccount: string | null;
}

/** What was found for an account without a link: its link from now on, or a record that may be its own or another account's. */
export type Found = { readonly link: Link } | { readonly uncertain: SystemUser };

interface Candidate {
  readonly objectGUID: string;
  readonly record: SystemUser;
  /** Why they are believed to belong together. */
  readonly by: 'name' | Trait;
}

export interface LinkerSettings {
  readonly parkingAccounts: readonly string[];
  /** Evidence that is enough to link a record whose name is no account's. */
  readonly trusted: readonly Trait[];
}

/**
 * Learns which record belongs to which account. A record or account that is linked already keeps its link, whatever names
 * they have now: names are re-used, links are not. Where more than one record or account could be meant, nothing is linked.
 */
export class Linker {
  readonly #ce: CustomerEngagement;
  readonly #log: RepairerLog;
  readonly #settings: LinkerSettings;
  /** Accounts and records whose links are on their way to the log. */
  readonly #pending = new Set<string>();
  /** The newest time at which a record was modified, of those that were read. */
  #modified = '';

  constructor(ce: CustomerEngagement, log: RepairerLog, settings: LinkerSettings) {
    this.#ce = ce;
    this.#log = log;
    this.#settings = settings;
  }

  /**
   * Looks at every record, and links those whose names agree with an account's.
   *
   * @param onAstray told of each record that is on a parking account, or that is on none any more although its repair ended on one
   * @returns how many links are new
   * @throws CustomerEngagementError @throws FencedError @throws LogError
   */
  async learn(signal: AbortSignal, onAstray: (astray: Astray) => void): Promise<number> {
    const records = await this.#read(undefined, onAstray, signal);
    return await this.#linkCandidates(records, await this.#candidates(records, this.#settings.trusted));
  }

  /** The same, of what was modified since: whether another record shows the same name has to be asked then. */
  async learnNews(signal: AbortSignal, onAstray: (astray: Astray) => void): Promise<number> {
    const records = await this.#read(this.#since, onAstray, signal);
    const candidates = await this.#candidates(records, []);
    if (candidates.length === 0) return 0;
    const named = await this.#ce.find({ domainNames: candidates.map(({ record }) => record.domainname) }, signal);
    return await this.#linkCandidates(
      named.filter((record) => this.#mayBeLinked(record)),
      candidates,
    );
  }

  get #since(): string | undefined {
    const time = Date.parse(this.#modified);
    return Number.isNaN(time) ? undefined : new Date(time - OVERLAP).toISOString().replace(/\.\d+Z$/, 'Z');
  }

  /** @returns those that are linked to no account and may be */
  async #read(since: string | undefined, onAstray: (astray: Astray) => void, signal: AbortSignal): Promise<SystemUser[]> {
    const unlinked: SystemUser[] = [];
    let newest = since ?? '';
    for await (const records of this.#ce.all({ since }, signal)) {
      for (const record of records) {
        if (record.modifiedon > newest) newest = record.modifiedon;
        const astray = this.#astray(record);
        if (astray !== undefined) onAstray(astray);
        if (this.#mayBeLinked(record)) unlinked.push(record);
      }
    }
    this.#modified = newest;
    return unlinked;
  }

  /** By their names; those whose names are no account's by what is trusted. */
  async #candidates(records: readonly SystemUser[], trusted: readonly Trait[]): Promise<Candidate[]> {
    const others: SystemUser[] = [];
    const candidates: Candidate[] = [];
    for (const record of records) {
      const objectGUID = this.#holder(record.domainname);
      if (objectGUID === undefined) others.push(record);
      else if (!this.#mayBeAnothers(record.domainname, objectGUID)) candidates.push({ objectGUID, record, by: 'name' });
    }
    const traits: Trait[] = ['upn', ...trusted];
    const index = await indexTraits(others, traits, this.#log.identities());
    for (const record of others) {
      for (const trait of traits) {
        const [objectGUID, another] = index.get(traitKey(trait, record) ?? '') ?? [];
        if (objectGUID === undefined || another !== undefined || this.#log.link(objectGUID) !== undefined) continue;
        candidates.push({ objectGUID, record, by: trait === 'upn' ? 'name' : trait });
        break;
      }
    }
    return candidates;
  }

  /** @param records among which there must be no other one that shows the same */
  async #linkCandidates(records: readonly SystemUser[], candidates: readonly Candidate[]): Promise<number> {
    const shownBy = new Map<string, number>();
    const count = (key: string | undefined) => key !== undefined && shownBy.set(key, (shownBy.get(key) ?? 0) + 1);
    for (const record of records) {
      count(nameKey(record.domainname));
      for (const trait of this.#settings.trusted) count(traitKey(trait, record));
    }
    const keyOf = ({ record, by }: Candidate) => (by === 'name' ? nameKey(record.domainname) : traitKey(by, record));
    const single = candidates.filter((candidate) => shownBy.get(keyOf(candidate) ?? '') === 1);
    let learned = 0;
    for (let from = 0; from < single.length; from += AT_ONCE) learned += (await this.#link(single.slice(from, from + AT_ONCE))).length;
    return learned;
  }

  /**
   * Finds the record of an account that was renamed before its link was learned: the one that still shows the name from before the
   * change. When another account has or had that name too, the record may be that one's, and nothing is linked.
   *
   * @throws CustomerEngagementError @throws FencedError @throws LogError
   */
  async byFormerName({ objectGUID, before }: ChangeEvent, stop: AbortSignal): Promise<Found | undefined> {
    if (before === null) return undefined;
    const upn = before.userPrincipalName;
    const former = [domainName(before), ...(upn !== undefined && isUpn(upn) ? [upn] : [])];
    const records = await this.#ce.find({ domainNames: former }, stop).catch((error: unknown) => {
      // A name that Customer Engagement will not even look for cannot be the name of a record.
      if (error instanceof CustomerEngagementError && isAboutTheName(error)) return [];
      throw error;
    });
    const [record, second] = records.filter((found) => former.some((name) => sameName(found.domainname, name)));
    if (record === undefined || second !== undefined) return undefined;
    if (this.#isUncertain(record)) return { uncertain: record };
    if (!this.#mayBeLinked(record)) return undefined;
    if (await this.#mayBeAnothersToo(record, objectGUID)) return { uncertain: record };
    const [link] = await this.#link([{ objectGUID, record, by: 'name' }]);
    return link && { link };
  }

  async #mayBeAnothersToo(record: SystemUser, objectGUID: string): Promise<boolean> {
    if (!isUpn(record.domainname)) return this.#mayBeAnothers(record.domainname, objectGUID);
    const index = await indexTraits([record], ['upn'], this.#log.identities());
    return [...index.values()].flat().some((holder) => holder !== objectGUID);
  }

  #astray({ systemuserid, domainname }: SystemUser): Astray | undefined {
    const parkingAccount = namedAlike(this.#settings.parkingAccounts, domainname) ?? null;
    if (parkingAccount !== null) return { systemuserid, parkingAccount };
    const repair = this.#log.repair(systemuserid);
    return repair === undefined || isOpen(repair) || repair.parkingAccount === null ? undefined : { systemuserid, parkingAccount };
  }

  #mayBeLinked(record: SystemUser): boolean {
    const { special, systemuserid, domainname } = record;
    if (special || this.#isUncertain(record) || namedAlike(this.#settings.parkingAccounts, domainname) !== undefined) return false;
    return this.#log.linkOfRecord(systemuserid) === undefined;
  }

  /** As long as it shows the name that two accounts had, a person has not decided. */
  #isUncertain({ systemuserid, domainname }: SystemUser): boolean {
    const repair = this.#log.repair(systemuserid);
    return repair?.reason === 'link-uncertain' && sameName(repair.from, domainname);
  }

  /** Whether another account that has or had this name is without a record: the one that shows it may be its own. */
  #mayBeAnothers(name: string, objectGUID: string): boolean {
    const { domain, sAMAccountName } = domainNameParts(name);
    const holders = [this.#log.holder(domain, sAMAccountName) ?? objectGUID, ...this.#log.formerHolders(domain, sAMAccountName)];
    return holders.some((holder) => holder !== objectGUID && this.#log.link(holder) === undefined);
  }

  #holder(name: string): string | undefined {
    const { domain, sAMAccountName } = domainNameParts(name);
    return this.#log.holder(domain, sAMAccountName);
  }

  /** Several can look at once, while what one of them found is not yet in the log. */
  async #link(candidates: readonly Candidate[]): Promise<Link[]> {
    const links: Link[] = [];
    for (const { objectGUID, record, by } of candidates) {
      if (this.#log.isDenied(objectGUID, record.systemuserid)) continue;
      const isLinked = this.#log.link(objectGUID) !== undefined || this.#log.linkOfRecord(record.systemuserid) !== undefined;
      if (isLinked || this.#pending.has(objectGUID) || this.#pending.has(record.systemuserid)) continue;
      this.#pending.add(objectGUID).add(record.systemuserid);
      links.push({ ...linkOf(this.#ce.name, objectGUID, record), by });
    }
    try {
      if (links.length > 0) await this.#log.record({ links });
    } finally {
      for (const { objectGUID, systemuserid } of links) {
        this.#pending.delete(objectGUID);
        this.#pending.delete(systemuserid);
      }
    }
    return links;
  }
}

/** Too long for a request, or refused by the API itself as a bad request. */
function isAboutTheName({ failure, status }: CustomerEngagementError): boolean {
  return failure === 'refused' && (status === undefined || status === BAD_REQUEST);
}

export function linkOf(organization: string, objectGUID: string, record: Pick<SystemUser, 'systemuserid' | 'domainname'>): Link {
  return { organization, objectGUID, systemuserid: record.systemuserid, domainname: record.domainname, learned: new Date().toISOString() };
}
