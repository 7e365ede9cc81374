import type { Change, ChangeEvent, ChangeKind } from '../../streams/change.ts';
import type { Batch, ListenerRequest } from '../../streams/change-log.ts';
import type { Identity } from '../../streams/identity.ts';
import type { LogEvent, Notice } from '../../streams/notice.ts';
import type { Origins } from '../../streams/origin.ts';
import { Position } from '../../streams/position.ts';
import type { Link, Repair } from '../../streams/repair.ts';
import type { RepairAnswer, RepairRequest } from '../../streams/repair-request.ts';

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
  return Position.parse({
    namingContext,
    dc: 'dc1.corp.example.test',
    invocationId: guid(0),
    highestCommittedUSN: '4711',
    filter: '(objectClass=user)',
    attributes: ['sAMAccountName'],
    cookie,
  });
}

/** Of the nth write of these attributes. */
export function origins(version: number, ...attributes: string[]): Origins {
  const origin = { version, time: TIME, invocationId: guid(0), usn: String(1000 + version) };
  return Object.fromEntries(attributes.map((attribute) => [attribute, origin]));
}

export function request(id: string, more: Partial<ListenerRequest> = {}): ListenerRequest {
  return { id, kind: 'compare', namingContext: NAMING_CONTEXT, time: TIME, ...more };
}

export function repairRequest(id: string, number: number, more: Partial<RepairRequest> = {}): RepairRequest {
  return { id, kind: 'retry', organization: 'contoso', systemuserid: guid(1000 + number), time: TIME, ...more };
}

export function repairAnswer({ id, organization, systemuserid }: RepairRequest): RepairAnswer {
  return { id, organization, systemuserid, done: true, message: 'is looked at', time: TIME };
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
  /** The events, and the notices among them. */
  readonly log: LogEvent[] = [];
  /** Of the accounts that are known, and of those that are gone. */
  readonly origins = new Map<string, Origins>();
  readonly formerHolders = new Map<string, string>();
  position: Position | undefined;

  /** The batch of these deeds; the model stands after it at once. `traced`: with the writes that the identities come from. */
  batch(deeds: readonly Deed[], cookie?: string, { notices = 0, traced = false } = {}): Batch {
    const touched = new Map<string, Identity | null>();
    const changes: Change[] = [];
    const told = Array.from({ length: notices }, (_, index) => noticeOf(`reason ${index}`));
    for (const notice of told) this.log.push({ sequence: this.log.length + 1, ...notice });
    for (const deed of deeds) {
      const change = this.#change(deed);
      if (change === undefined) continue;
      changes.push(change);
      touched.set(change.objectGUID, change.after);
      this.#apply(change);
    }
    const where = cookie === undefined ? undefined : position(cookie);
    this.position = where ?? this.position;
    const writes = new Map(Array.from(touched.keys(), (objectGUID) => [objectGUID, origins(this.log.length, 'sAMAccountName', 'mail')]));
    for (const [objectGUID, write] of writes) this.origins.set(objectGUID, traced ? write : {});
    return {
      namingContext: NAMING_CONTEXT,
      changes,
      identities: touched,
      ...(traced && { origins: writes }),
      ...(notices > 0 && { notices: told }),
      position: where,
    };
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
    const event = { sequence: this.log.length + 1, ...change };
    this.events.push(event);
    this.log.push(event);
  }
}

function noticeOf(reason: string): Notice {
  return { kind: 'position-lost', namingContext: NAMING_CONTEXT, dc: 'dc1.corp.example.test', reason, time: TIME };
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
