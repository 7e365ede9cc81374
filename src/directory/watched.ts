import { PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import { ATTRIBUTE_IDS } from './metadata.ts';

/** Asked for in every read. */
const ALWAYS = [
  'objectGUID',
  'objectSid',
  'objectClass',
  'sAMAccountName',
  'userAccountControl',
  'isDeleted',
  'userPrincipalName',
] as const;

export interface Watched {
  /** Those that a setting names. */
  readonly profile: readonly string[];
  /**
   * What is asked for. The list is a filter too: without isDeleted no deletion would be reported. A position is good
   * only for the list that it was read with.
   */
  readonly names: readonly string[];
  /** By lower-case name. */
  readonly byName: ReadonlyMap<string, string>;
  /** What can be cleared of a user: the rest is mandatory. */
  readonly clearable: readonly string[];
  /** By the number that stands for each in replication metadata. */
  readonly ids: ReadonlyMap<number, string>;
}

/**
 * @param ids of attributes of the profile, where they are not known anyway
 * @param moves an object is reported as well when nothing but its name or its parent changed
 */
export function watching(profile: readonly string[], { ids = [] as Iterable<readonly [number, string]>, moves = false } = {}): Watched {
  const names = [...ALWAYS, ...profile];
  return {
    profile,
    names: moves ? [...names, 'name'] : names,
    byName: new Map(names.map((name) => [name.toLowerCase(), name])),
    clearable: ['userPrincipalName', ...profile],
    ids: new Map([...ATTRIBUTE_IDS].concat([...ids].map(([id, name]) => [id, name])).filter(([, name]) => names.includes(name))),
  };
}

export const USUAL = watching(PROFILE_ATTRIBUTES);
