import { Ber, type BerReader } from 'ldapts';

/** A search filter as it came over the wire (RFC 4511 section 4.5.1.7), with values as bytes. */
export type SearchFilter =
  | { readonly type: 'and' | 'or'; readonly filters: readonly SearchFilter[] }
  | { readonly type: 'not'; readonly filter: SearchFilter }
  | { readonly type: 'equal' | 'greaterOrEqual' | 'lessOrEqual'; readonly attribute: string; readonly value: Buffer }
  | { readonly type: 'present'; readonly attribute: string }
  | { readonly type: 'extensible'; readonly attribute: string; readonly rule: string; readonly value: Buffer }
  /** What no test has needed so far: substrings and approximate matches. */
  | { readonly type: 'unsupported'; readonly tag: number };

const COMPARISONS: ReadonlyMap<number, 'equal' | 'greaterOrEqual' | 'lessOrEqual'> = new Map([
  [0xa3, 'equal'],
  [0xa5, 'greaterOrEqual'],
  [0xa6, 'lessOrEqual'],
]);

/** Reads the filter at which the reader stands, and leaves the reader behind it. */
export function readFilter(reader: BerReader): SearchFilter {
  const tag = reader.peek() ?? 0;
  if (tag === 0x87) return { type: 'present', attribute: reader.readString(tag) ?? '' };
  reader.readSequence();
  const end = reader.offset + reader.length;
  const filter = readContent(tag, reader, end);
  reader.offset = end;
  return filter;
}

function readContent(tag: number, reader: BerReader, end: number): SearchFilter {
  if (tag === 0xa0 || tag === 0xa1) {
    const filters: SearchFilter[] = [];
    while (reader.offset < end) filters.push(readFilter(reader));
    return { type: tag === 0xa0 ? 'and' : 'or', filters };
  }
  if (tag === 0xa2) return { type: 'not', filter: readFilter(reader) };
  if (tag === 0xa9) return readExtensible(reader, end);
  const type = COMPARISONS.get(tag);
  if (type === undefined) return { type: 'unsupported', tag };
  const attribute = reader.readString() ?? '';
  return { type, attribute, value: reader.readString(Ber.OctetString, true) ?? Buffer.alloc(0) };
}

/** [1] matching rule, [2] attribute, [3] value, [4] whether the DN counts too. */
function readExtensible(reader: BerReader, end: number): SearchFilter {
  const parts = new Map<number, Buffer>();
  while (reader.offset < end) {
    const tag = reader.peek() ?? 0;
    parts.set(tag, reader.readString(tag, true) ?? Buffer.alloc(0));
  }
  const text = (tag: number) => parts.get(tag)?.toString() ?? '';
  return { type: 'extensible', attribute: text(0x82), rule: text(0x81), value: parts.get(0x83) ?? Buffer.alloc(0) };
}

/**
 * Whether an object passes; texts are compared without regard to case and whole numbers as numbers.
 *
 * @param valuesOf none for an attribute that the object does not have; as ATTRIBUTE:RULE those that a matching rule compares with
 * @throws Error where the filter has something that is not supported here
 */
export function matches(filter: SearchFilter, valuesOf: (attribute: string) => readonly Buffer[]): boolean {
  switch (filter.type) {
    case 'and':
      return filter.filters.every((each) => matches(each, valuesOf));
    case 'or':
      return filter.filters.some((each) => matches(each, valuesOf));
    case 'not':
      return !matches(filter.filter, valuesOf);
    case 'present':
      return valuesOf(filter.attribute).length > 0;
    case 'equal':
      return valuesOf(filter.attribute).some((value) => compare(value, filter.value) === 0);
    case 'greaterOrEqual':
      return valuesOf(filter.attribute).some((value) => compare(value, filter.value) >= 0);
    case 'lessOrEqual':
      return valuesOf(filter.attribute).some((value) => compare(value, filter.value) <= 0);
    case 'extensible':
      return valuesOf(`${filter.attribute}:${filter.rule}`).some((value) => compare(value, filter.value) === 0);
    case 'unsupported':
      throw new Error(`a filter of tag 0x${filter.tag.toString(16)}`);
  }
}

function compare(one: Buffer, other: Buffer): number {
  const [a, b] = [one.toString().toLowerCase(), other.toString().toLowerCase()];
  const isNumber = (text: string) => /^-?\d+$/.test(text);
  if (isNumber(a) && isNumber(b)) return Math.sign(Number(BigInt(a) - BigInt(b)));
  // Bytes that are no text would all become the same replacement characters.
  if (a.includes('\ufffd') || b.includes('\ufffd')) return Buffer.compare(one, other);
  return a < b ? -1 : a > b ? 1 : 0;
}
