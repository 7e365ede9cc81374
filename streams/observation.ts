/**
 * What a directory source saw of one object: never what changed, only what is.
 * Reading the same thing twice is harmless, since the detector compares.
 */
export interface Observation {
  /** Lower-case text form. */
  readonly objectGUID: string;
  /** May be empty: a directory can hide the name of an object that it still reports. */
  readonly dn: string;
  /** True: a tombstone. False: seen to be brought back (isDeleted was cleared). Absent: the source did not say. */
  readonly deleted?: boolean;
  /**
   * Attributes that the answer held. A value of null means cleared; an attribute that the answer
   * did not hold is absent here, which says nothing about it (DirSync sends only what changed).
   */
  readonly seen: SeenAttributes;
}

export interface SeenAttributes {
  readonly objectClass?: readonly string[];
  readonly objectSid?: string;
  readonly sAMAccountName?: string;
  readonly userAccountControl?: number;
  readonly userPrincipalName?: string | null;
  readonly displayName?: string | null;
  readonly givenName?: string | null;
  readonly sn?: string | null;
  readonly mail?: string | null;
  /** Whatever else is watched is text. */
  readonly [attribute: string]: string | number | readonly string[] | null | undefined;
}
