import { fault, odataError } from './api-error.ts';
import { columnNamed, readableColumns } from './columns.ts';
import { type Answer, type Exchange, json, type Organization } from './exchange.ts';
import type { Filter } from './filter.ts';
import { ordering, predicate, type Row } from './matching.ts';
import { parseQuery, type Query } from './query.ts';
import { row, type UserRecord } from './records.ts';

/** Largest page, and where counting ends. */
const LARGEST = 5000;
/** Sent with every record, asked for or not: the keys of systemuser and of the principal that it derives from. */
const KEYS = ['systemuserid', 'ownerid'];

export function etag(record: UserRecord): string {
  return `W/"${record.version}"`;
}

/** GET systemusers(id) */
export function readUser(organization: Organization, exchange: Exchange, id: string): Answer {
  const query = readQuery(exchange);
  const record = existing(organization, id);
  if (exchange.headers['if-none-match'] === etag(record))
    return { status: 304, headers: { 'odata-version': '4.0', etag: etag(record) }, body: '' };
  return json(200, entity(exchange, record, query.select), { etag: etag(record) });
}

/** One record with its context, for a single read and for a representation. */
export function entity(exchange: Exchange, record: UserRecord, select: readonly string[]): Record<string, unknown> {
  return { '@odata.context': context(exchange, select, '/$entity'), ...shown(record, select) };
}

export function existing(organization: Organization, id: string): UserRecord {
  const record = organization.records.get(id);
  if (record === undefined) throw fault('objectDoesNotExist', `systemuser With Id = ${id} Does Not Exist`);
  return record;
}

/** GET systemusers */
export function readUsers(organization: Organization, exchange: Exchange): Answer {
  const query = readQuery(exchange);
  const wanted = exchange.prefer.get('odata.maxpagesize');
  const size = pageSize(exchange, wanted, query);
  const matching = matches(organization, query.filter);
  matching.sort((a, b) => ordering(query.orderBy)(row(a), row(b)));
  const rest = query.skipToken === undefined ? matching : after(exchange, matching, query, size);
  const page = rest.slice(0, query.top === undefined ? size : Math.min(query.top, LARGEST));
  const last = page.at(-1);
  const more = query.top === undefined && rest.length > page.length && last !== undefined;
  return json(
    200,
    {
      '@odata.context': context(exchange, query.select, ''),
      ...(query.count ? { '@odata.count': Math.min(matching.length, LARGEST) } : {}),
      value: page.map((record) => shown(record, query.select)),
      ...(more ? { '@odata.nextLink': nextLink(exchange, query, size, last) } : {}),
    },
    wanted === undefined || query.top !== undefined ? {} : { 'preference-applied': `odata.maxpagesize=${size}` },
  );
}

/** GET systemusers/$count */
export function countUsers(organization: Organization, exchange: Exchange): Answer {
  const { filter } = parseQuery(exchange.query);
  const count = Math.min(matches(organization, filter).length, LARGEST);
  return { status: 200, headers: { 'content-type': 'text/plain', 'odata-version': '4.0' }, body: String(count) };
}

function readQuery(exchange: Exchange): Query {
  const query = parseQuery(exchange.query);
  if (query.select.length === 0) exchange.defect('columns-not-selected', 'A read without $select transfers every column.');
  return query;
}

function matches({ records }: Organization, filter: Filter | undefined): UserRecord[] {
  if (filter === undefined) return [...records.all()];
  const matching = predicate(filter);
  return [...(candidates(filter, records) ?? records.all())].filter((record) => matching(row(record)));
}

/** The records that can match at all, where an index tells: equalities of key or user name, joined by `or`. */
function candidates(filter: Filter, records: Organization['records']): Set<UserRecord> | undefined {
  if (filter.kind === 'or') {
    const parts = filter.parts.map((part) => candidates(part, records));
    return parts.every((part) => part !== undefined) ? new Set(parts.flatMap((part) => [...part])) : undefined;
  }
  if (filter.kind !== 'compare' || filter.operator !== 'eq' || typeof filter.value !== 'string') return undefined;
  if (filter.column === 'domainname') return new Set(records.named(filter.value));
  if (filter.column !== 'systemuserid' && filter.column !== 'ownerid') return undefined;
  const record = records.get(filter.value);
  return new Set(record === undefined ? [] : [record]);
}

function pageSize(exchange: Exchange, wanted: string | undefined, query: Query): number {
  if (wanted !== undefined && !/^[1-9]\d{0,8}$/.test(wanted)) throw fault('httpError', `Invalid odata.maxpagesize '${wanted}'.`);
  if (Number(wanted ?? 1) > LARGEST) exchange.defect('page-size', `odata.maxpagesize=${wanted} is above ${LARGEST}.`);
  if (query.top !== undefined && query.count) exchange.defect('top-with-count', '$top and $count do not go together.');
  if (query.top !== undefined && wanted !== undefined) exchange.defect('page-size', '$top makes odata.maxpagesize void.');
  return Math.min(Number(wanted ?? LARGEST), LARGEST);
}

function context(exchange: Exchange, select: readonly string[], suffix: string): string {
  return `${exchange.base}$metadata#systemusers${select.length === 0 ? '' : `(${select.join(',')})`}${suffix}`;
}

function shown(record: UserRecord, select: readonly string[]): Record<string, unknown> {
  const columns = row(record);
  const names = select.length === 0 ? readableColumns : [...new Set([...select, ...KEYS])];
  return { '@odata.etag': etag(record), ...Object.fromEntries(names.map((name) => [name, columns(name)])) };
}

interface Cookie {
  readonly page: number;
  readonly size: number;
  readonly query: string;
  /** The last record sent: its key and what it was ordered by. */
  readonly last: Readonly<Record<string, ReturnType<Row>>>;
}

function nextLink(exchange: Exchange, query: Query, size: number, last: UserRecord): string {
  const columns = ['systemuserid', ...query.orderBy.map(({ column }) => column)];
  const page = query.skipToken === undefined ? 2 : readCookie(query.skipToken).page + 1;
  const values = Object.fromEntries(columns.map((column) => [column, row(last)(column)]));
  const cookie: Cookie = { page, size, query: query.text, last: values };
  const last64 = Buffer.from(JSON.stringify(cookie)).toString('base64url');
  // Encoded twice with a plain equals sign in between, as the real ones are: whoever decodes or encodes a link breaks it.
  const inner = encodeURIComponent(`<cookie page="${page - 1}"><systemuserid last="${last64}" /></cookie>`);
  const token = encodeURIComponent(`<cookie pagenumber="${page}" pagingcookie="${inner}" istracking="False" />`).replaceAll('%3D', '=');
  return `${exchange.base}systemusers?${query.text}${query.text === '' ? '' : '&'}$skiptoken=${token}`;
}

/** What comes after the page that the token tells of, by order and not by number, so that changes in between move nobody. */
function after(exchange: Exchange, matching: readonly UserRecord[], query: Query, size: number): UserRecord[] {
  const cookie = readCookie(query.skipToken ?? '');
  if (cookie.query !== query.text) {
    exchange.defect('next-link-altered', 'The options beside $skiptoken are not those of the link.');
    throw odataError('Malformed XML in the Paging Cookie');
  }
  if (cookie.size !== size)
    exchange.defect('next-link-altered', `odata.maxpagesize was ${cookie.size} on the page before, is ${size} now.`);
  const order = ordering(query.orderBy);
  const last: Row = (column) => cookie.last[column] ?? null;
  return matching.filter((record) => order(row(record), last) > 0);
}

function readCookie(token: string): Cookie {
  try {
    const inner = decodeURIComponent(/pagingcookie="([^"]*%3C[^"]*)"/.exec(token)?.[1] ?? '');
    const last64 = /last="([\w-]+)"/.exec(inner)?.[1] ?? '';
    const cookie: Cookie = JSON.parse(Buffer.from(last64, 'base64url').toString());
    if (typeof cookie.query !== 'string' || Object.keys(cookie.last).some((name) => columnNamed(name) === undefined))
      throw new Error('not of this server');
    return cookie;
  } catch {
    throw odataError('Malformed XML in the Paging Cookie');
  }
}
