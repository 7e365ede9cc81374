import { fault, notImitated, odataError } from './api-error.ts';
import { columnType, type Filter, parseFilter } from './filter.ts';
import type { Order } from './matching.ts';

/** The query options of a request, understood. */
export interface Query {
  /** Empty: everything. */
  readonly select: readonly string[];
  readonly filter: Filter | undefined;
  readonly orderBy: readonly Order[];
  readonly top: number | undefined;
  readonly count: boolean;
  readonly skipToken: string | undefined;
  /** The options as they were sent, without $skiptoken. */
  readonly text: string;
}

const KNOWN = new Set(['$select', '$filter', '$orderby', '$top', '$count', '$skiptoken']);
const NOT_IMITATED = new Set(['$expand', '$apply']);

/**
 * Names of options are case-sensitive, and unknown ones are refused, as on the server.
 *
 * @param text what stands after the question mark, still encoded
 * @throws ApiError
 */
export function parseQuery(text: string): Query {
  const options = split(text);
  for (const name of options.keys()) {
    if (NOT_IMITATED.has(name)) throw notImitated(name);
    if (!KNOWN.has(name) && !name.startsWith('@')) throw fault('httpError', `The query parameter ${name} is not supported`);
  }
  const filter = options.get('$filter');
  return {
    select: parseSelect(options.get('$select')),
    filter: filter === undefined ? undefined : parseFilter(filter, (name) => options.get(name)),
    orderBy: parseOrderBy(options.get('$orderby')),
    top: parseTop(options.get('$top')),
    count: parseCount(options.get('$count')),
    skipToken: options.get('$skiptoken'),
    text: text
      .split('&')
      .filter((part) => part !== '' && !part.startsWith('$skiptoken='))
      .join('&'),
  };
}

function split(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const part of text.split('&').filter((part) => part !== '')) {
    const equals = part.indexOf('=');
    const name = decode(equals === -1 ? part : part.slice(0, equals));
    if (options.has(name)) throw odataError(`Query option '${name}' was specified more than once, but it must be specified at most once.`);
    options.set(name, equals === -1 ? '' : decode(part.slice(equals + 1)));
  }
  return options;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw fault('httpError', 'The address is not correctly encoded.');
  }
}

function parseSelect(text: string | undefined): string[] {
  if (text === undefined || text.trim() === '*') return [];
  const names = text.split(',').map((name) => name.trim());
  for (const name of names) columnType(name);
  return names;
}

function parseOrderBy(text: string | undefined): Order[] {
  if (text === undefined) return [];
  return text.split(',').map((part) => {
    const [column = '', direction = 'asc', more] = part.trim().split(/\s+/);
    columnType(column);
    if ((direction !== 'asc' && direction !== 'desc') || more !== undefined) throw odataError(`Syntax error in '$orderby=${text}'.`);
    return { column, descending: direction === 'desc' };
  });
}

function parseTop(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text))
    throw odataError(`Invalid value '${text}' for $top query option found. The $top query option requires a non-negative integer value.`);
  return Number(text);
}

function parseCount(text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text !== 'true')
    throw odataError(`Invalid value '${text}' for $count query option found. The $count query option requires true or false.`);
  return true;
}
