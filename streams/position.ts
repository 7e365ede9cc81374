import { z } from 'zod';
import { PROFILE_ATTRIBUTES } from './identity.ts';
import { Origin, Vector } from './origin.ts';

/** One write that was seen, with the number that the domain controller gave it when it came to it. */
export const SeenWrite = z.object({ objectGUID: z.guid(), attribute: z.string(), origin: Origin, localUsn: z.string() });
export type SeenWrite = z.infer<typeof SeenWrite>;

/**
 * Where a listener stands in one naming context. The cookie is good only together with all it was read with: any other filter,
 * attribute list or flags need a full comparison (MS-ADTS 3.1.1.3.4.1.3).
 */
export const Position = z.object({
  namingContext: z.string(),
  /** dnsHostName of the domain controller. */
  dc: z.string(),
  /** Of that domain controller's database; a restored one has another. */
  invocationId: z.string(),
  /** As rootDSE told before the read; text, since a 64-bit number does not fit into a JavaScript one. */
  highestCommittedUSN: z.string(),
  source: z.enum(['dirsync', 'usn']).default('dirsync'),
  filter: z.string(),
  attributes: z.array(z.string()),
  /** Those of them that a setting names. */
  profile: z.array(z.string()).default([...PROFILE_ATTRIBUTES]),
  /** Whose accounts are followed, in one spelling; empty: everybody's. */
  scope: z.string().default(''),
  /** Of the DirSync control. */
  flags: z.int().default(0),
  /** Of the domain: one that was built anew under the same name has another. */
  domainSid: z.string().default(''),
  /** DirSync cookie, base64; opaque, of any length. Empty: a read of everything has begun, and how far it came is not known. */
  cookie: z.string(),
  /** Every write up to here has been seen, on whichever domain controller. */
  seen: Vector.default({}),
  /** The last writes that were reported, by which a roll-back shows that has caught up with its numbers meanwhile. */
  recent: z.array(SeenWrite).default([]),
  /** The same of domain controllers that were read before this one, by invocationId; the one left last comes last. */
  recentElsewhere: z.record(z.guid(), z.array(SeenWrite)).default({}),
  /** By invocationId, a number that a domain controller has given to a write at this time of its own clock at the latest. */
  shown: z.record(z.guid(), z.object({ usn: z.string(), at: z.iso.datetime() })).default({}),
  /** Accounts whose domain controller shows something older than what is known, by objectGUID, with when that was seen first. */
  held: z.record(z.guid(), z.iso.datetime()).default({}),
  /** Since when there are more of them than can be listed: everything is compared again and again, by which the others are found. */
  heldSince: z.iso.datetime().optional(),
  /** The last write of each database that was reported; `seen` also counts what nobody else ever hears of. */
  told: Vector.default({}),
  /** Since when the domain controller lacks something of `seen`. */
  lackingSince: z.iso.datetime().optional(),
  /** Why accounts were set aside when they were looked at last, by objectGUID; as many as can be listed. */
  setAside: z.record(z.guid(), z.string()).default({}),
  /** Preferred domain controllers that were not taken when this one was connected to. */
  passedOver: z.array(z.object({ dc: z.string(), reason: z.string() })).default([]),
  /** When the read ended, ISO 8601. */
  readAt: z.string().default(''),
  /** When everything was read last and what came of it; of the first read nothing is told. */
  compared: z.object({ at: z.iso.datetime(), objects: z.int(), differences: z.int() }).optional(),
  /**
   * From when it is noticed that everything has to be compared until that is done. Lossy: who is not found any more is gone; rebuilt: it is
   * another domain under the same name.
   */
  comparing: z.object({ reason: z.string(), lossy: z.boolean(), rebuilt: z.boolean().optional() }).optional(),
  /** Deletions that are not reported until a person accepts them. */
  withheld: z.object({ deletions: z.int(), digest: z.string(), since: z.iso.datetime() }).optional(),
  /** The last requests that were served. */
  served: z.array(z.string()).default([]),
});

export type Position = z.infer<typeof Position>;
export type PositionInput = z.input<typeof Position>;

/** Stands in the log from the first page of the baseline to its end, so that a baseline that was cut off is no lost position. */
export function begun(namingContext: string, dc: string): Position {
  return Position.parse({ namingContext, dc, invocationId: '', highestCommittedUSN: '0', filter: '', attributes: [], cookie: '' });
}

/** The directory was read to its end at least once. */
export function isReadWhole(position: Pick<Position, 'cookie'> | undefined): boolean {
  return position !== undefined && position.cookie !== '';
}

/** What somebody waits for, or must not be forgotten. */
export function isNews(position: Position, stored: Position): boolean {
  const digest = ({ held, setAside, passedOver, served, withheld, comparing }: Position) =>
    JSON.stringify([Object.keys(held).sort(), Object.keys(setAside).sort(), passedOver, served, withheld?.digest, comparing]);
  return position.dc !== stored.dc || digest(position) !== digest(stored);
}

/** How many of the last writes are remembered to know a roll-back by. */
const REMEMBERED = 5;

/** Of how many domain controllers besides the one that is read. */
const REMEMBERED_ELSEWHERE = 8;

/** What is remembered of the writes that a domain controller has shown: their numbers are its own. */
export function recentOn(invocationId: string, position: Position): readonly SeenWrite[] {
  return position.invocationId === invocationId ? position.recent : (position.recentElsewhere[invocationId] ?? []);
}

/** What a domain controller must have written, as another one has shown: there the number is that of the write itself. */
export function recentFrom(invocationId: string, { recent, recentElsewhere }: Position): SeenWrite[] {
  return [recent, ...Object.values(recentElsewhere)]
    .flat()
    .flatMap((write) => (write.origin.invocationId === invocationId ? [{ ...write, localUsn: write.origin.usn }] : []));
}

/** What is remembered of the others, once that one is read. */
export function recentBesides(invocationId: string, before: Position | undefined): Position['recentElsewhere'] {
  if (before === undefined || before.invocationId === '') return {};
  const { [before.invocationId]: _, ...rest } = before.recentElsewhere;
  const others = Object.entries({ ...rest, [before.invocationId]: before.recent }).filter(
    ([other, writes]) => other !== invocationId && writes.length > 0,
  );
  return Object.fromEntries(others.slice(-REMEMBERED_ELSEWHERE));
}

/** What is remembered of the numbers of each, the one that is read included. Its clock may have been put back since it gave some. */
export function shownBy({ invocationId, shown }: Position, before: Position | undefined): Position['shown'] {
  const { [invocationId]: earlier, ...rest } = before?.shown ?? {};
  const now = shown[invocationId];
  const here = now && { ...now, at: earlier !== undefined && earlier.at > now.at ? earlier.at : now.at };
  return Object.fromEntries(Object.entries({ ...rest, ...(here && { [invocationId]: here }) }).slice(-1 - REMEMBERED_ELSEWHERE));
}

/** Those of the highest numbers. */
export function lastOf(writes: readonly SeenWrite[]): readonly SeenWrite[] {
  return writes.toSorted((one, other) => (BigInt(one.localUsn) < BigInt(other.localUsn) ? 1 : -1)).slice(0, REMEMBERED);
}
