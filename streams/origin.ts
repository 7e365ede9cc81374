import { z } from 'zod';

/**
 * The write that the value of an attribute comes from, as replication metadata tell it; the same on every domain controller
 * (MS-ADTS 3.1.1.1.9).
 */
export const Origin = z.looseObject({
  /** Counts the writes of this attribute of this object. */
  version: z.int().nonnegative(),
  /** When it was written, ISO 8601 in UTC; the directory keeps seconds. */
  time: z.iso.datetime(),
  /** Of the database of the domain controller on which it was written. */
  invocationId: z.guid(),
  /** Update sequence number there; text, since it has 64 bits. */
  usn: z.string().regex(/^\d+$/),
});
export type Origin = z.infer<typeof Origin>;

/** By attribute name; what is not known is absent. `isDeleted` tells of the deletion, `objectClass` of the creation. */
export const Origins = z.record(z.string(), Origin);
export type Origins = z.infer<typeof Origins>;

/** The order in which the directory itself settles conflicting writes: version, then time, then invocationId (MS-DRSR 4.1.10.5.22). */
export function isNewer(one: Origin, other: Origin): boolean {
  if (one.version !== other.version) return one.version > other.version;
  if (one.time !== other.time) return Date.parse(one.time) > Date.parse(other.time);
  return one.invocationId > other.invocationId;
}

/** A database that was put back to an earlier state gives a number to a second write: that one has another version, or time. */
export function isSameWrite(one: Origin, other: Origin): boolean {
  return hasSameNumber(one, other) && one.version === other.version && Date.parse(one.time) === Date.parse(other.time);
}

export function hasSameNumber(one: Origin, other: Origin): boolean {
  return one.invocationId === other.invocationId && one.usn === other.usn;
}

/**
 * An up-to-dateness vector: for each database, by invocationId, the update sequence number up to which everything written there
 * has been seen. It means the same on every domain controller (MS-DRSR 5.166).
 */
export const Vector = z.record(z.guid(), z.string().regex(/^\d+$/));
export type Vector = z.infer<typeof Vector>;

/** Whoever has seen this much has seen the write, or a later one that took its place. */
export function covers(vector: Vector, { invocationId, usn }: Pick<Origin, 'invocationId' | 'usn'>): boolean {
  const seen = vector[invocationId];
  return seen !== undefined && BigInt(seen) >= BigInt(usn);
}

/** Whoever has seen `one` has seen all of `other`. */
export function coversAll(one: Vector, other: Vector): boolean {
  return Object.entries(other).every(([invocationId, usn]) => covers(one, { invocationId, usn }));
}

/** Less what was seen of these databases. */
export function without(vector: Vector, invocationIds: readonly string[]): Vector {
  return Object.fromEntries(Object.entries(vector).filter(([invocationId]) => !invocationIds.includes(invocationId)));
}

/** What has been seen by one or the other. */
export function joined(one: Vector, other: Vector): Vector {
  const result = { ...one };
  for (const [invocationId, usn] of Object.entries(other)) {
    if (!covers(one, { invocationId, usn })) result[invocationId] = usn;
  }
  return result;
}
