import type { SystemUser } from '../customer-engagement.ts';
import { sameName } from '../identity.ts';

/** Records that are never written, whatever their accounts are called. */
export interface DoNotTouch {
  /** User names or systemuserids. */
  readonly users: readonly string[];
  /** businessunitids. */
  readonly businessUnits: readonly string[];
  readonly column?: string | undefined;
  /** Of that column. */
  readonly values: readonly string[];
}

/**
 * Why a record is not to be touched; undefined when it may be.
 *
 * @param names those that it has or had: one that is being repaired shows that of a parking account
 */
export function whyNotTouched(record: SystemUser, names: readonly string[], settings: DoNotTouch): string | undefined {
  const { users, businessUnits, column, values } = settings;
  const listed = users.find((user) => [record.systemuserid, record.domainname, ...names].some((name) => sameName(name, user)));
  if (listed !== undefined) return `${listed} is on the list of users that are not touched`;
  if (businessUnits.some((unit) => sameName(unit, record.businessunitid)))
    return `it is of the business unit ${record.businessunitid}, whose records are not touched`;
  if (column !== undefined && values.some((value) => sameName(value, record.mark))) return `its column ${column} is ${record.mark}`;
  return undefined;
}
