import { columnNamed, type Value } from './columns.ts';
import type { Comparison, Filter, TextFunction } from './filter.ts';

/** Gives a column of a record. */
export type Row = (column: string) => Value;
export type Predicate = (row: Row) => boolean;

/**
 * Makes a filter executable. Text is compared without regard to case, as the usual collation of the organization database
 * does; a column without a value equals null only, and differs from everything else.
 */
export function predicate(filter: Filter): Predicate {
  switch (filter.kind) {
    case 'and': {
      const parts = filter.parts.map(predicate);
      return (row) => parts.every((part) => part(row));
    }
    case 'or': {
      const parts = filter.parts.map(predicate);
      return (row) => parts.some((part) => part(row));
    }
    case 'not': {
      const part = predicate(filter.part);
      return (row) => !part(row);
    }
    case 'compare':
      return comparison(filter.column, filter.operator, filter.value);
    case 'text':
      return textFunction(filter.column, filter.function, filter.value);
  }
}

function comparison(column: string, operator: Comparison, value: Value): Predicate {
  const wanted = sortable(column, value);
  return (row) => {
    const held = sortable(column, row(column));
    if (operator === 'eq') return held === wanted;
    if (operator === 'ne') return held !== wanted;
    if (held === null || wanted === null) return false;
    if (operator === 'gt') return held > wanted;
    if (operator === 'ge') return held >= wanted;
    if (operator === 'lt') return held < wanted;
    return held <= wanted;
  };
}

function textFunction(column: string, name: TextFunction, value: string): Predicate {
  const wanted = value.toLowerCase();
  return (row) => {
    const held = row(column);
    if (typeof held !== 'string') return false;
    const text = held.toLowerCase();
    if (name === 'contains') return text.includes(wanted);
    return name === 'startswith' ? text.startsWith(wanted) : text.endsWith(wanted);
  };
}

/** The form in which two values of a column can be compared. */
function sortable(column: string, value: Value): string | number | null {
  if (value === null) return null;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') return value;
  return columnNamed(column)?.type === 'datetime' ? Date.parse(value) : value.toLowerCase();
}

/** One part of $orderby. */
export interface Order {
  readonly column: string;
  readonly descending: boolean;
}

/** Compares two records by the given columns, what has no value first; ties by systemuserid, so that pages never overlap. */
export function ordering(orders: readonly Order[]): (a: Row, b: Row) => number {
  const all = [...orders, { column: 'systemuserid', descending: false }];
  return (a, b) => {
    for (const { column, descending } of all) {
      const result = compare(sortable(column, a(column)), sortable(column, b(column)));
      if (result !== 0) return descending ? -result : result;
    }
    return 0;
  };
}

function compare(a: string | number | null, b: string | number | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}
