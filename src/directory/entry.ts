import { isUtf8 } from 'node:buffer';
import type { Observation, SeenAttributes } from '../../streams/observation.ts';
import { printable } from './failure.ts';
import { guidText, sidText } from './identifiers.ts';
import type { LdapAttribute, LdapEntry } from './message.ts';
import { USUAL, type Watched } from './watched.ts';

/** Nothing but the class: a deleted object loses objectCategory, and a filter on anything that changes hides what leaves it. */
export const USER_FILTER = '(objectClass=user)';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The name that a deleted object gets, whatever stood before it (MS-ADTS 3.1.1.5.5.1). */
const DELETED_DN = /^(?:[^,\\]|\\.)*\\0ADEL:[0-9a-f-]{36},CN=Deleted Objects,/is;

/** Takes a sentence about something that was set aside, since it cannot be what it should be. */
export type Warn = (message: string) => void;

/**
 * What an entry says of its object. A value that cannot be used (not UTF-8, several where one belongs) is warned
 * about and says nothing.
 *
 * @param whole the entry is known to hold all that is set: what it does not hold is cleared
 * @returns undefined, after a warning, when the entry does not tell which object it is about
 */
export function toObservation(entry: LdapEntry, warn: Warn, whole = false, watched: Watched = USUAL): Observation | undefined {
  const seen: Mutable<SeenAttributes> = {};
  const absent = new Set(watched.clearable);
  let objectGUID: string | undefined;
  let deleted: boolean | undefined = whole ? false : undefined;

  for (const attribute of entry.attributes) {
    const name = watched.byName.get(attribute.type.toLowerCase());
    if (name === undefined) continue; // instanceType comes unasked
    absent.delete(name);
    if (name === 'objectClass') {
      if (attribute.values.length > 0) seen.objectClass = attribute.values.map((value) => value.toString());
    } else if (attribute.values.length === 0) {
      if (name === 'isDeleted') deleted = false;
      else if (watched.clearable.includes(name)) seen[name] = null;
    } else if (name === 'objectGUID') {
      objectGUID = guidText(single(attribute));
    } else if (name === 'isDeleted') {
      deleted = booleanOf(single(attribute)) ?? deleted;
    } else if (!take(seen, name, single(attribute))) {
      warn(`${printable(entry.dn)}: ${attribute.values.length} unusable value(s) of ${name}, left as known`);
    }
  }

  // DirSync reports an object whole when it is new to the reader (in a full read every one is) and only then sends what never changes.
  const isWhole = whole || (seen.objectClass !== undefined && seen.objectSid !== undefined);
  if (isWhole) {
    for (const name of absent) seen[name] = null;
  }

  if (objectGUID === undefined) {
    warn(`${printable(entry.dn)}: an entry without a usable objectGUID, set aside`);
    return undefined;
  }
  // After a deletion that met a later change on another domain controller only the name tells. One that comes whole and is not marked is
  // alive, as any search shows it: a deletion that met a reanimation can leave it in that place.
  if (!isWhole && !deleted && DELETED_DN.test(entry.dn)) deleted ??= true;
  return { objectGUID, dn: entry.dn, seen, ...(deleted !== undefined && { deleted }) };
}

/** @returns false when the value is not one of that attribute */
function take(seen: Mutable<SeenAttributes>, name: string, value: Buffer | undefined): boolean {
  if (value === undefined || !(name === 'objectSid' || isUtf8(value))) return false;
  if (name === 'objectSid') {
    const sid = sidText(value);
    if (sid === undefined) return false;
    seen.objectSid = sid;
  } else if (name === 'userAccountControl') {
    const text = value.toString('latin1');
    if (!/^-?\d{1,10}$/.test(text)) return false;
    seen.userAccountControl = Number(text);
  } else if (name === 'sAMAccountName' && value.length === 0) {
    return false;
  } else {
    seen[name] = value.toString();
  }
  return true;
}

function booleanOf(value: Buffer | undefined): boolean | undefined {
  const text = value?.toString('latin1');
  return text === 'TRUE' ? true : text === 'FALSE' ? false : undefined;
}

function single({ values }: LdapAttribute): Buffer | undefined {
  return values.length === 1 ? values[0] : undefined;
}
