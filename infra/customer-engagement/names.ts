import type { Account, Directory } from './directory.ts';

interface Sighting {
  readonly at: number;
  readonly account: Account | undefined;
  /** The account that has the name already, although this server has not heard of it. */
  readonly awaited?: string;
}

/**
 * User names as the CE server resolves them: `DOMAIN\name` by sAMAccountName, a name with @ by userPrincipalName.
 *
 * The lag stands for what a real server has between itself and the truth, the LSA cache and its own domain controller:
 * an answer, found or not found, is repeated for that long; and an account that was known here under another name of the same
 * form is found under a new one only that long after the first look-up of the new name. A name that was never seen of an account
 * that was never seen is found at once.
 */
export class Names {
  readonly #directory: Directory;
  readonly #netbios: string;
  readonly #seen = new Map<string, Sighting>();
  /** Form and objectGUID to the name under which the account was seen last. */
  readonly #knownAs = new Map<string, string>();
  #lag = 0;

  constructor(directory: Directory, netbios: string) {
    this.#directory = directory;
    this.#netbios = netbios;
  }

  get lag(): number {
    return this.#lag;
  }

  /** Sets the lag in milliseconds. What is known so far counts as known since now. */
  set lag(milliseconds: number) {
    this.#lag = milliseconds;
    const at = performance.now();
    for (const [name, { account }] of this.#seen) this.#seen.set(name, { at, account });
  }

  /** @throws DirectoryUnreachable */
  async resolve(name: string): Promise<Account | undefined> {
    const key = name.toLowerCase();
    const seen = this.#seen.get(key);
    if (seen !== undefined && performance.now() - seen.at < this.#lag) return seen.account;
    return this.#see(key, (await this.#look([name])).get(key));
  }

  /** Resolves many names in few searches, for seeding: without lag. */
  async resolveAll(names: readonly string[]): Promise<Map<string, Account>> {
    const found = await this.#look(names);
    for (const name of names) this.#learn(name.toLowerCase(), found.get(name.toLowerCase()));
    return found;
  }

  /** `DOMAIN\name` of an account. */
  nameOf(account: Account): string {
    return `${this.#netbios}\\${account.sAMAccountName}`;
  }

  #see(key: string, account: Account | undefined): Account | undefined {
    const former = account === undefined ? undefined : this.#knownAs.get(formKey(key, account));
    const moved = account !== undefined && former !== undefined && former !== key;
    if (this.#lag > 0 && moved && this.#seen.get(key)?.awaited !== account.objectGUID) {
      this.#seen.set(key, { at: performance.now(), account: undefined, awaited: account.objectGUID });
      return undefined;
    }
    this.#learn(key, account);
    return account;
  }

  #learn(key: string, account: Account | undefined): void {
    this.#seen.set(key, { at: performance.now(), account });
    if (account !== undefined) this.#knownAs.set(formKey(key, account), key);
  }

  /** Found accounts by the name that was asked for, in lower case. */
  async #look(names: readonly string[]): Promise<Map<string, Account>> {
    const found = new Map<string, Account>();
    const prefix = `${this.#netbios}\\`.toLowerCase();
    const accountNames = names.filter((name) => name.toLowerCase().startsWith(prefix)).map((name) => name.slice(prefix.length));
    for (const account of await this.#find('sAMAccountName', accountNames)) found.set(this.nameOf(account).toLowerCase(), account);
    const principalNames = names.filter((name) => name.includes('@') && !name.includes('\\'));
    for (const account of await this.#find('userPrincipalName', principalNames))
      if (account.userPrincipalName !== undefined) found.set(account.userPrincipalName.toLowerCase(), account);
    return found;
  }

  async #find(key: 'sAMAccountName' | 'userPrincipalName', values: readonly string[]): Promise<Account[]> {
    const wanted = values.filter((value) => value !== '');
    return wanted.length === 0 ? [] : this.#directory.find(key, wanted);
  }
}

function formKey(key: string, account: Account): string {
  return `${key.includes('\\') ? 'account' : 'principal'} ${account.objectGUID}`;
}
