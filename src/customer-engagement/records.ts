import { z } from 'zod';
import { CustomerEngagementError, PERSON_COLUMNS, type SystemUser, type Written } from '../../streams/customer-engagement.ts';

const Guid = z.guid().transform((guid) => guid.toLowerCase());

/** What is read of a systemuser: what the Web API holds, not what one would like, since it does not let its AD GUID be read. */
const Row = z
  .object({
    systemuserid: Guid,
    domainname: z.string().nullable(),
    fullname: z.string().nullable(),
    isdisabled: z.boolean().nullable(),
    applicationid: z.guid().nullable(),
    isintegrationuser: z.boolean().nullable(),
    setupuser: z.boolean().nullable(),
    accessmode: z.int().nullable(),
    firstname: z.string().nullable(),
    lastname: z.string().nullable(),
    internalemailaddress: z.string().nullable(),
    employeeid: z.string().nullable(),
    _businessunitid_value: Guid.nullable(),
    modifiedon: z.iso.datetime().nullable(),
  })
  .transform(
    (row): SystemUser => ({
      systemuserid: row.systemuserid,
      domainname: row.domainname ?? '',
      fullname: row.fullname ?? '',
      isdisabled: row.isdisabled === true,
      special: isSpecial(row),
      firstname: row.firstname ?? '',
      lastname: row.lastname ?? '',
      internalemailaddress: row.internalemailaddress ?? '',
      employeeid: row.employeeid ?? '',
      businessunitid: row._businessunitid_value ?? '',
      modifiedon: row.modifiedon ?? '',
      mark: '',
    }),
  );

export const RecordPage = z.object({ value: z.array(z.unknown()), '@odata.nextLink': z.string().optional() });
export type RecordPage = z.infer<typeof RecordPage>;

/**
 * One record of a page.
 *
 * @param markColumn what the settings name as a mark, if anything
 * @returns what is wrong with it, when it is not what the Web API shows
 */
export function readRecord(row: unknown, markColumn?: string): SystemUser | { readonly flaw: string } {
  const read = Row.safeParse(row);
  if (read.success) return markColumn === undefined ? read.data : { ...read.data, mark: textOf(Reflect.get(Object(row), markColumn)) };
  const issue = read.error.issues[0];
  return { flaw: `a record that cannot be understood${issue === undefined ? '' : `: ${issue.path.join('.')}: ${issue.message}`}` };
}

export const NamedRecord = z
  .object({
    systemuserid: Guid.optional(),
    domainname: z.string().nullable(),
    firstname: z.string().nullish(),
    lastname: z.string().nullish(),
    internalemailaddress: z.string().nullish(),
  })
  .transform(({ systemuserid, domainname, firstname, lastname, internalemailaddress }) => {
    const isTold = firstname !== undefined && lastname !== undefined && internalemailaddress !== undefined;
    const person = { firstname: firstname ?? '', lastname: lastname ?? '', internalemailaddress: internalemailaddress ?? '' };
    return { systemuserid, written: { domainname: domainname ?? '', person: isTold ? person : undefined } satisfies Written };
  });

export const Caller = z.object({ UserId: Guid });

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : String(value);
}

/** The columns of a record that its schema needs, and the one that the settings name. */
function select(markColumn: string | undefined): string {
  return `$select=${[...new Set([...Object.keys(Row.in.shape), ...(markColumn === undefined ? [] : [markColumn])])].join(',')}`;
}

const SUPPORT_USER = 3;
const DELEGATED_ADMINISTRATOR = 5;

interface SpecialMarks {
  readonly fullname: string | null;
  readonly applicationid: string | null;
  readonly isintegrationuser: boolean | null;
  readonly setupuser: boolean | null;
  readonly accessmode: number | null;
}

function isSpecial(row: SpecialMarks): boolean {
  return (
    row.applicationid !== null ||
    row.isintegrationuser === true ||
    row.setupuser === true ||
    row.accessmode === SUPPORT_USER ||
    row.accessmode === DELEGATED_ADMINISTRATOR ||
    row.fullname === 'SYSTEM' ||
    row.fullname === 'INTEGRATION'
  );
}

/** Path of one record, below the service root. */
export function recordPath(systemuserid: string): string {
  return `systemusers(${guidLiteral(systemuserid)})`;
}

/** Of its user name, and of what may change with that. */
export function namePath(systemuserid: string): string {
  return `${recordPath(systemuserid)}?$select=${['domainname', ...PERSON_COLUMNS].join(',')}`;
}

/** @param since only what was modified at or after it, ISO 8601 */
export function allPath(since: string | undefined, markColumn?: string): string {
  return `systemusers?${select(markColumn)}${since === undefined ? '' : `&$filter=${encodeURIComponent(`modifiedon ge ${since}`)}`}`;
}

/** IIS refuses a longer query with a 404 of its own (requestLimits maxQueryString, 2048 by default). */
const LONGEST_QUERY = 2048;

/**
 * One path, or as many as it takes to keep each short enough; none when there is nothing to look for.
 *
 * @throws CustomerEngagementError of kind 'refused' for a name that is too long to be looked for
 */
export function findPaths(query: { systemuserids?: readonly string[]; domainNames: readonly string[] }, markColumn?: string): string[] {
  const ids = (query.systemuserids ?? []).map((id) => `systemuserid eq ${guidLiteral(id)}`);
  const terms = [...ids, ...query.domainNames.map((name) => `domainname eq ${literal(name)}`)];
  const queries: string[] = [];
  for (const term of terms.map(encodeURIComponent)) {
    const longer = `${queries.at(-1)}${encodeURIComponent(' or ')}${term}`;
    if (queries.length > 0 && longer.length <= LONGEST_QUERY) queries[queries.length - 1] = longer;
    else queries.push(`${select(markColumn)}&$filter=${term}`);
    if ((queries.at(-1)?.length ?? 0) > LONGEST_QUERY) throw new CustomerEngagementError('refused', 'a name is too long to be looked for');
  }
  return queries.map((text) => `systemusers?${text}`);
}

/** A GUID stands bare in OData; whatever is not one would be read as something else. */
function guidLiteral(text: string): string {
  if (!z.guid().safeParse(text).success) throw new CustomerEngagementError('refused', 'a systemuserid must be a GUID');
  return text;
}

/** OData 4.0, URL conventions 5.1.1.6.1: in single quotes, a quote is doubled, a backslash means itself. */
function literal(text: string): string {
  return `'${text.toWellFormed().replaceAll("'", "''")}'`;
}
