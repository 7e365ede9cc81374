import { type Change, releasedName } from '../change.ts';
import { type Identity, type KnownIdentities, nameKey } from '../identity.ts';
import type { Origins } from '../origin.ts';

/** What will be known once a page is published: the changes of the page laid over what the log knows. */
export class Draft implements KnownIdentities {
  readonly changes: Change[] = [];
  readonly identities = new Map<string, Identity | null>();
  readonly origins = new Map<string, Origins>();
  readonly #log: KnownIdentities;
  readonly #holders = new Map<string, string | undefined>();
  readonly #former = new Map<string, string>();

  constructor(log: KnownIdentities) {
    this.#log = log;
  }

  /**
   * @param changes none where an account is learned and nobody is told
   * @param origins the writes that the values come from, or that it is gone, if they are known
   */
  add(objectGUID: string, identity: Identity | null, changes: readonly Change[], origins?: Origins): void {
    const before = this.identity(objectGUID);
    if (before) this.#holders.set(key(before.domain, before.sAMAccountName), this.#otherHolder(before));
    if (identity) this.#holders.set(key(identity.domain, identity.sAMAccountName), objectGUID);
    this.identities.set(objectGUID, identity);
    if (origins !== undefined) this.origins.set(objectGUID, origins);
    for (const change of changes) {
      const released = releasedName(change);
      if (released) this.#former.set(key(released.domain, released.sAMAccountName), objectGUID);
      this.changes.push(change);
    }
  }

  identity(objectGUID: string): Identity | undefined {
    const drafted = this.identities.get(objectGUID);
    return drafted === undefined ? this.#log.identity(objectGUID) : (drafted ?? undefined);
  }

  holder(domain: string, sAMAccountName: string): string | undefined {
    const name = key(domain, sAMAccountName);
    return this.#holders.has(name) ? this.#holders.get(name) : this.#log.holder(domain, sAMAccountName);
  }

  formerHolder(domain: string, sAMAccountName: string): string | undefined {
    return this.#former.get(key(domain, sAMAccountName)) ?? this.#log.formerHolder(domain, sAMAccountName);
  }

  /** Two accounts can be seen with one name for a moment (a swap read half-way): the one that took it last keeps it. */
  #otherHolder(before: Identity): string | undefined {
    const holder = this.holder(before.domain, before.sAMAccountName);
    return holder === before.objectGUID ? undefined : holder;
  }
}

function key(domain: string, sAMAccountName: string): string {
  return nameKey(`${domain}\\${sAMAccountName}`);
}
