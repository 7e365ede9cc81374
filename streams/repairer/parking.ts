import type { AccountFacts } from '../account-desk.ts';
import type { RepairerLog } from '../change-log.ts';
import type { CustomerEngagement } from '../customer-engagement.ts';
import { domainNameParts, nameKey, sameName } from '../identity.ts';
import { isOpen, type Repair } from '../repair.ts';

/** Milliseconds for which it is believed that no record is on a parking account. Customer Engagement refuses one that is taken. */
const SEEN_FREE = 60_000;

/** The parking accounts of one organization; one of them serves one repair at a time (SPEC rule 7), and then the next (assumption A6). */
export class ParkingPool {
  readonly size: number;
  readonly #accounts: readonly string[];
  /** The accounts by all their names: where a server shows them by their UPNs, by those too. */
  readonly #byName: ReadonlyMap<string, string>;
  readonly #users = new Map<string, string>();
  readonly #avoided = new Map<string, number>();
  /** When it was last seen that no record is on it. */
  readonly #seenFree = new Map<string, number>();

  /** @param upnOf the UPN of an account, if it has one */
  constructor(accounts: readonly string[], upnOf: (account: string) => string | undefined = () => undefined) {
    this.#accounts = accounts;
    this.#byName = new Map(accounts.flatMap((account) => namesOf(account, upnOf).map((name) => [nameKey(name), account] as const)));
    this.size = accounts.length;
  }

  /**
   * The account kept for this record, or else a free one, kept from now on; undefined when there is none, and for a record that may be
   * on an account outside the pool: it needs no other one to be named.
   */
  take({ systemuserid, parkingAccount }: Pick<Repair, 'systemuserid' | 'parkingAccount'>): string | undefined {
    if (parkingAccount !== null && this.find(parkingAccount) === undefined) return undefined;
    const kept = this.#accounts.find((account) => this.#users.get(nameKey(account)) === systemuserid);
    if (kept !== undefined) return kept;
    const free = this.#accounts.find((account) => this.#isFree(account));
    if (free !== undefined) this.#users.set(nameKey(free), systemuserid);
    return free;
  }

  /** Keeps a certain account for a record, as the journal says. */
  keep(account: string, systemuserid: string): void {
    this.#users.set(nameKey(this.find(account) ?? account), systemuserid);
  }

  isKeptForAnother(account: string, systemuserid: string): boolean {
    const user = this.#users.get(nameKey(this.find(account) ?? account));
    return user !== undefined && user !== systemuserid;
  }

  /** @returns whether it had one */
  release(systemuserid: string): boolean {
    let released = false;
    for (const [account, user] of this.#users) {
      if (user === systemuserid) released = this.#users.delete(account);
    }
    return released;
  }

  /** The records for which an account is kept. */
  users(): string[] {
    return [...this.#users.values()];
  }

  /** The account of this name, if it is one of the pool's. */
  find(userName: string): string | undefined {
    return this.#byName.get(nameKey(userName));
  }

  /** No record is on this account, as was just seen. */
  sawFree(account: string): void {
    this.#seenFree.set(nameKey(account), Date.now());
  }

  /** Whether that was seen not long ago. */
  isSeenFree(account: string): boolean {
    return Date.now() - (this.#seenFree.get(nameKey(account)) ?? 0) < SEEN_FREE;
  }

  /** Customer Engagement would not have this account: leave it alone for so many milliseconds. */
  avoid(account: string, milliseconds: number): void {
    this.#avoided.set(nameKey(account), Date.now() + milliseconds);
    this.#seenFree.delete(nameKey(account));
  }

  /** Whether there is another account that may serve, now or once its repair is through. */
  hasAnother(account: string): boolean {
    return this.#accounts.some((other) => !sameName(other, account) && !this.#isAvoided(other));
  }

  #isFree(account: string): boolean {
    return !this.#users.has(nameKey(account)) && !this.#isAvoided(account);
  }

  #isAvoided(account: string): boolean {
    return (this.#avoided.get(nameKey(account)) ?? 0) > Date.now();
  }
}

/** The names under which a record may be seen to be on this parking account (assumption A8). */
function namesOf(account: string, upnOf: (account: string) => string | undefined): string[] {
  const upn = upnOf(account);
  return upn === undefined ? [account] : [account, upn];
}

/** Those of all these accounts. */
export function parkingNames(accounts: readonly string[], log: Pick<RepairerLog, 'holder' | 'identity'>): string[] {
  return accounts.flatMap((account) => namesOf(account, upnOf(log)));
}

/** The UPN of the account of a name, if it has one. */
export function upnOf(log: Pick<RepairerLog, 'holder' | 'identity'>): (account: string) => string | undefined {
  return (account) => {
    const { domain, sAMAccountName } = domainNameParts(account);
    const objectGUID = log.holder(domain, sAMAccountName);
    return objectGUID === undefined ? undefined : log.identity(objectGUID)?.userPrincipalName;
  };
}

export interface ParkingCheck {
  readonly usable: readonly string[];
  readonly refused: readonly { readonly account: string; readonly why: string }[];
}

/**
 * Says which of the configured accounts may be used for parking. Whoever can log on as a parking account is, for a moment,
 * the person whose record is parked on it; so it has to be an account made for that, and in no record.
 *
 * @param ou below which they have to be
 * @param facts what the directory says of them now; undefined where it could not be asked
 * @throws CustomerEngagementError
 */
export async function checkParkingAccounts(
  accounts: readonly string[],
  ce: CustomerEngagement,
  log: RepairerLog,
  { ou, facts }: { ou: string | undefined; facts: readonly AccountFacts[] | undefined },
  stop: AbortSignal,
): Promise<ParkingCheck> {
  const records = accounts.length === 0 ? [] : await ce.find({ domainNames: parkingNames(accounts, log) }, stop);
  const usable: string[] = [];
  const refused: { account: string; why: string }[] = [];
  for (const account of accounts) {
    const why = problemOf(account);
    if (why === undefined) usable.push(account);
    else refused.push({ account, why });
  }
  return { usable, refused };

  function problemOf(account: string): string | undefined {
    const { domain, sAMAccountName } = domainNameParts(account);
    const objectGUID = log.holder(domain, sAMAccountName);
    const identity = objectGUID === undefined ? undefined : log.identity(objectGUID);
    if (identity === undefined) return 'there is no such account in the directory: create it, or correct its name (DOMAIN\\name)';
    if (identity.givenName !== undefined || identity.sn !== undefined || identity.mail !== undefined) {
      return 'it looks like a person (it has a first name, a last name or an e-mail address): use accounts made for parking only';
    }
    const fact = facts?.find(({ objectGUID }) => objectGUID === identity.objectGUID);
    const flaw = fact && parkingFlaws(fact, ou).at(-1);
    if (flaw !== undefined) return flaw;
    if (log.link(identity.objectGUID) !== undefined)
      return 'it is linked to a Customer Engagement user: use accounts made for parking only';
    const names = parkingNames([account], log);
    const record = records.find(({ domainname }) => names.some((name) => sameName(domainname, name)));
    if (record !== undefined) {
      // One that was ever repaired may have come here by a write that was given up and carried out late: it is looked after.
      const repair = log.repair(record.systemuserid);
      const leftForAPerson =
        repair !== undefined && !isOpen(repair) && (repair.parkingAccount !== null || repair.reason === 'link-uncertain');
      if (repair === undefined || leftForAPerson) {
        return `the record of ${record.fullname} (${record.systemuserid}) holds it and no repair is under way: give that record its right user name first`;
      }
    }
    return undefined;
  }
}

/**
 * What the directory says against an account for parking, the worst last.
 *
 * @param ou below which it has to be
 */
export function parkingFlaws({ dn, privileges }: Pick<AccountFacts, 'dn' | 'privileges'>, ou: string | undefined): string[] {
  const isOutside = ou !== undefined && !nameKey(dn).endsWith(`,${nameKey(ou)}`);
  return [
    ...(isOutside ? [`it is not below ${ou}`] : []),
    ...(privileges.length > 0
      ? [`it is privileged (${privileges.join(', ')}): whoever is parked on it would be that; use accounts that can do nothing`]
      : []),
  ];
}
