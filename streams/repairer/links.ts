import type { ChangeEvent } from '../change.ts';
import type { RepairerLog } from '../change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, type SystemUser } from '../customer-engagement.ts';
import { domainName, nameKey, sameName } from '../identity.ts';
import { isOpen, type Link } from '../repair.ts';

/** So many links are written to the log at once. */
const AT_ONCE = 500;
const BAD_REQUEST = 400;

/** A record that is on a parking account, or on none (null) although its repair ended on one. */
export interface Astray {
  readonly systemuserid: string;
  readonly parkingAccount: string | null;
}

/** What was found for an account without a link: its link from now on, or a record that may be its own or another account's. */
export type Found = { readonly link: Link } | { readonly uncertain: SystemUser };

/**
 * Learns which record belongs to which account. A record or account that is linked already keeps its link, whatever names
 * they have now: names are re-used, links are not. Where more than one record or account could be meant, nothing is linked.
 */
export class Linker {
  readonly #ce: CustomerEngagement;
  readonly #log: RepairerLog;
  readonly #parkingAccounts: readonly string[];
  /** Accounts and records whose links are on their way to the log. */
  readonly #pending = new Set<string>();

  constructor(ce: CustomerEngagement, log: RepairerLog, parkingAccounts: readonly string[]) {
    this.#ce = ce;
    this.#log = log;
    this.#parkingAccounts = parkingAccounts;
  }

  /**
   * Looks at every record, and links those whose names agree with an account's.
   *
   * @param onAstray told of each record that is on a parking account, or that is on none any more although its repair ended on one
   * @returns how many links are new
   * @throws CustomerEngagementError @throws FencedError @throws LogError
   */
  async learn(signal: AbortSignal, onAstray: (astray: Astray) => void): Promise<number> {
    const byName = new Map<string, SystemUser | 'several'>();
    for await (const records of this.#ce.all(signal)) {
      for (const record of records) {
        const astray = this.#astray(record);
        if (astray !== undefined) onAstray(astray);
        if (!this.#mayBeLinked(record)) continue;
        const name = nameKey(record.domainname);
        byName.set(name, byName.has(name) ? 'several' : record);
      }
    }
    const candidates = [...byName.values()].flatMap((record) => {
      const objectGUID = record === 'several' ? undefined : this.#holder(record.domainname);
      if (record === 'several' || objectGUID === undefined || this.#mayBeAnothers(record.domainname, objectGUID)) return [];
      return [{ objectGUID, record }];
    });
    let learned = 0;
    for (let from = 0; from < candidates.length; from += AT_ONCE) {
      learned += (await this.#link(candidates.slice(from, from + AT_ONCE))).length;
    }
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
    const former = domainName(before);
    const records = await this.#ce.find({ domainNames: [former] }, stop).catch((error: unknown) => {
      // A name that Customer Engagement will not even look for cannot be the name of a record.
      if (error instanceof CustomerEngagementError && isAboutTheName(error)) return [];
      throw error;
    });
    const [record, second] = records.filter((found) => sameName(found.domainname, former));
    if (record === undefined || second !== undefined) return undefined;
    if (this.#isUncertain(record)) return { uncertain: record };
    if (!this.#mayBeLinked(record)) return undefined;
    if (this.#mayBeAnothers(former, objectGUID)) return { uncertain: record };
    const [link] = await this.#link([{ objectGUID, record }]);
    return link && { link };
  }

  #astray({ systemuserid, domainname }: SystemUser): Astray | undefined {
    const parkingAccount = this.#parkingAccounts.find((account) => sameName(account, domainname)) ?? null;
    if (parkingAccount !== null) return { systemuserid, parkingAccount };
    const repair = this.#log.repair(systemuserid);
    return repair === undefined || isOpen(repair) || repair.parkingAccount === null ? undefined : { systemuserid, parkingAccount };
  }

  #mayBeLinked(record: SystemUser): boolean {
    const { special, systemuserid, domainname } = record;
    if (special || this.#isUncertain(record) || this.#parkingAccounts.some((account) => sameName(account, domainname))) return false;
    return this.#log.linkOfRecord(systemuserid) === undefined;
  }

  /** As long as it shows the name that two accounts had, a person has not decided. */
  #isUncertain({ systemuserid, domainname }: SystemUser): boolean {
    const repair = this.#log.repair(systemuserid);
    return repair?.reason === 'link-uncertain' && sameName(repair.from, domainname);
  }

  /** Whether another account that has or had this name is without a record: the one that shows it may be its own. */
  #mayBeAnothers(name: string, objectGUID: string): boolean {
    const [domain = '', sAMAccountName = ''] = name.split('\\');
    const holders = [this.#log.holder(domain, sAMAccountName) ?? objectGUID, ...this.#log.formerHolders(domain, sAMAccountName)];
    return holders.some((holder) => holder !== objectGUID && this.#log.link(holder) === undefined);
  }

  #holder(name: string): string | undefined {
    const [domain, sAMAccountName] = name.split('\\');
    return domain === undefined || sAMAccountName === undefined ? undefined : this.#log.holder(domain, sAMAccountName);
  }

  /** Several can look at once, while what one of them found is not yet in the log. */
  async #link(candidates: readonly { objectGUID: string; record: SystemUser }[]): Promise<Link[]> {
    const links: Link[] = [];
    for (const { objectGUID, record } of candidates) {
      const isLinked = this.#log.link(objectGUID) !== undefined || this.#log.linkOfRecord(record.systemuserid) !== undefined;
      if (isLinked || this.#pending.has(objectGUID) || this.#pending.has(record.systemuserid)) continue;
      this.#pending.add(objectGUID).add(record.systemuserid);
      links.push(linkOf(this.#ce.name, objectGUID, record));
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
