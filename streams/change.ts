import { z } from 'zod';
import { Identity, sameName } from './identity.ts';
import { Origin } from './origin.ts';

/** In the order in which several of them are reported when one observation holds several. */
export const CHANGE_KINDS = [
  'created',
  'restored',
  'entered-scope',
  'moved-domain',
  'renamed',
  'upn-changed',
  'profile-updated',
  'disabled',
  'enabled',
  'left-scope',
  'deleted',
] as const;

export const ChangeKind = z.enum(CHANGE_KINDS);
export type ChangeKind = z.infer<typeof ChangeKind>;

/** How and where a change was seen. */
export const Observed = z.looseObject({
  /** When the listener saw it, ISO 8601 in UTC. */
  time: z.iso.datetime(),
  /** dnsHostName of the domain controller that showed it. */
  dc: z.string(),
  /** `comparison`: found by comparing everything with what was known, after a position was lost or because somebody asked. */
  via: z.enum(['dirsync', 'usn', 'comparison']),
  dn: z.string(),
  /** The write that made the change, the newest one if there were several; null where replication metadata do not tell. */
  origin: Origin.extend({ dc: z.string().nullable() }).nullable().optional(),
});
export type Observed = z.infer<typeof Observed>;

/** A change of one identity; `before` of a change is `after` of the change before it (SPEC rule 3). */
export const Change = z.looseObject({
  kind: ChangeKind,
  objectGUID: z.guid(),
  /** The attributes of the identity that differ. Empty where before or after is null. */
  changed: z.array(z.string()),
  /** Null for created, restored and entered-scope. */
  before: Identity.nullable(),
  /** Null for deleted and left-scope. */
  after: Identity.nullable(),
  /** The new name differs from the old one in nothing but case. */
  caseOnly: z.boolean(),
  /** objectGUID of the account that had this name before, when there was one. */
  formerHolder: z.guid().nullable(),
  /** objectGUID of another account that has the name as well: written on two domain controllers at once, until a person mends it. */
  sharedWith: z.guid().nullable().optional(),
  observed: Observed,
});
export type Change = z.infer<typeof Change>;

/** A change as it stands in the log. The object is open for readers: later versions add properties and never change one. */
export const ChangeEvent = Change.extend({
  /** Counts every event of the log from 1 without a hole, so that anyone can see whether one is missing or doubled. */
  sequence: z.int().positive(),
});
export type ChangeEvent = z.infer<typeof ChangeEvent>;

/** The id of an event: unique within its log, and the same in every log line and repair that follows from it. */
export function eventId(event: Pick<ChangeEvent, 'sequence' | 'objectGUID'>): string {
  return `${event.objectGUID}-${event.sequence}`;
}

/** The name that a change freed, if it freed one: its account is the former holder for whoever takes it next. */
export function releasedName(change: Change): { domain: string; sAMAccountName: string } | undefined {
  const { before, after } = change;
  if (before === null || (after !== null && after.domain === before.domain && sameName(after.sAMAccountName, before.sAMAccountName))) {
    return undefined;
  }
  return { domain: before.domain, sAMAccountName: before.sAMAccountName };
}
