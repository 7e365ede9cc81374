import type { Change, ChangeEvent, ChangeKind } from '../../streams/change.ts';
import type { Batch } from '../../streams/change-log.ts';
import type { Identity } from '../../streams/identity.ts';
import type { Position } from '../../streams/position.ts';
import type { Link, Repair } from '../../streams/repair.ts';

export const NAMING_CONTEXT = 'DC=corp,DC=example,DC=test';
export const DOMAIN = 'CORP';
const TIME = '2026-01-02T03:04:05.678Z';

/** The objectGUID of the nth account. */
export function guid(number: number): string {
  return `0a1b2c3d-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export function person(number: number, sAMAccountName = `user${number}`): Identity {
  return { objectGUID: guid(number), objectSid: `S-1-5-21-1-2-3-${1000 + number}`, domain: DOMAIN, sAMAccountName, enabled: true };
}

export function position(cookie: string, namingContext = NAMING_CONTEXT): Position {
  return {
    namingContext,
    dc: 'dc1.corp.example.test',
    invocationId: guid(0),
    highestCommittedUSN: '4711',
    filter: '(objectClass=user)',
    attributes: ['sAMAccountName'],
    cookie,
  };
}

export function link(organization: string, number: number, systemuserid = guid(1000 + number)): Link {
  return { organization, objectGUID: guid(number), systemuserid, domainname: `${DOMAIN}\\user${number}`, learned: TIME };
}

export function repair(organization: string, number: number, more: Partial<Repair> = {}): Repair {
  return {
    organization,
    systemuserid: guid(1000 + number),
    objectGUID: guid(number),
    state: 'waiting',
    reason: null,
    message: null,
    from: `${DOMAIN}\\user${number}`,
    to: `${DOMAIN}\\renamed${number}`,
    parkingAccount: null,
    attempts: 0,
    notBefore: null,
    eventId: `${guid(number)}-1`,
    sequence: 1,
    times: { observed: TIME },
    at: TIME,
    ...more,
  };
}

/** One thing that happens to one account in the directory. */
export type Deed =
  | { readonly do: 'create' | 'delete' | 'toggle'; readonly account: number; readonly to?: never }
  | { readonly do: 'rename'; readonly account: number; readonly to: string };

/**
 * What a log should hold, in memory and as plain as can be. Deeds become changes the way a listener would report them; a deed that
 * cannot be (a rename to a name that another account has) is passed over.
 */
export class Model {
  readonly identities = new Map<string, Identity>();
  readonly events: ChangeEvent[] = [];
  readonly formerHolders = new Map<string, string>();
  position: Position | undefined;

  /** The batch of these deeds; the model stands after it at once. */
  batch(deeds: readonly Deed[], cookie?: string): Batch {
    const touched = new Map<string, Identity | null>();
    const changes: Change[] = [];
    for (const deed of deeds) {
      const change = this.#change(deed);
      if (change === undefined) continue;
      changes.push(change);
      touched.set(change.objectGUID, change.after);
      this.#apply(change);
    }
    const where = cookie === undefined ? undefined : position(cookie);
    this.position = where ?? this.position;
    return { namingContext: NAMING_CONTEXT, changes, identities: touched, position: where };
  }

  holder(name: string): string | undefined {
    return [...this.identities.values()].find((identity) => same(identity.sAMAccountName, name))?.objectGUID;
  }

  #change(deed: Deed): Change | undefined {
    const before = this.identities.get(guid(deed.account)) ?? null;
    if (deed.do === 'create') {
      const after = person(deed.account);
      return before !== null || this.holder(after.sAMAccountName) !== undefined ? undefined : changeOf('created', null, after, []);
    }
    if (before === null) return undefined;
    if (deed.do === 'delete') return changeOf('deleted', before, null, []);
    if (deed.do !== 'rename') {
      return changeOf(before.enabled ? 'disabled' : 'enabled', before, { ...before, enabled: !before.enabled }, ['enabled']);
    }
    const holder = this.holder(deed.to);
    if (before.sAMAccountName === deed.to || (holder !== undefined && holder !== before.objectGUID)) return undefined;
    return changeOf('renamed', before, { ...before, sAMAccountName: deed.to }, ['sAMAccountName']);
  }

  #apply(change: Change): void {
    const { before, after, objectGUID } = change;
    if (before !== null && (after === null || !same(before.sAMAccountName, after.sAMAccountName))) {
      this.formerHolders.set(before.sAMAccountName.toLowerCase(), objectGUID);
    }
    if (after === null) this.identities.delete(objectGUID);
    else this.identities.set(objectGUID, after);
    this.events.push({ sequence: this.events.length + 1, ...change });
  }
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function changeOf(kind: ChangeKind, before: Identity | null, after: Identity | null, changed: string[]): Change {
  const objectGUID = (after ?? before)?.objectGUID ?? '';
  const caseOnly = kind === 'renamed' && before !== null && after !== null && same(before.sAMAccountName, after.sAMAccountName);
  const dn = `CN=${objectGUID},${NAMING_CONTEXT}`;
  const observed = { time: TIME, dc: 'dc1.corp.example.test', via: 'dirsync' as const, dn };
  return { kind, objectGUID, changed, before, after, caseOnly, formerHolder: null, observed };
}
