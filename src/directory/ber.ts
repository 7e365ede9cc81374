/** Bytes that are not the BER subset of LDAP (RFC 4511 section 5.1). */
export class BerError extends Error {
  override readonly name = 'BerError';
}

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Longer lengths are no message that fits into memory. */
const MAX_LENGTH_BYTES = 4;

/**
 * The size of the element that starts at `offset`, header included; undefined when its header is not there yet.
 *
 * @throws BerError
 */
export function elementSize(bytes: Buffer, offset: number, end: number): number | undefined {
  const first = bytes[offset + 1];
  if (offset + 1 >= end || first === undefined) return undefined;
  if (first < 0x80) return 2 + first;
  const count = first & 0x7f;
  if (count === 0 || count > MAX_LENGTH_BYTES) throw new BerError(`a length of ${count === 0 ? 'indefinite form' : `${count} bytes`}`);
  if (offset + 2 + count > end) return undefined;
  return 2 + count + bytes.readUIntBE(offset + 2, count);
}

/**
 * Reads one element after the other, each checked against the end of the one around it: what a hostile server sends
 * can be refused, but neither read beyond its message nor loop.
 */
export class BerCursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  #offset: number;

  constructor(bytes: Buffer, offset = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#end = end;
  }

  get done(): boolean {
    return this.#offset >= this.#end;
  }

  /** The tag of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.done ? undefined : this.#bytes[this.#offset];
  }

  /** Steps into a constructed element, and past it in this cursor. */
  enter(tag: number): BerCursor {
    const [start, end] = this.#take(tag);
    return new BerCursor(this.#bytes, start, end);
  }

  /** The content, as a view of the message. */
  bytes(tag: number = Tag.octetString): Buffer {
    const [start, end] = this.#take(tag);
    return this.#bytes.subarray(start, end);
  }

  /** Content that is UTF-8 by the protocol; wrong bytes become U+FFFD. */
  text(tag: number = Tag.octetString): string {
    const [start, end] = this.#take(tag);
    return this.#bytes.toString('utf8', start, end);
  }

  integer(tag: number = Tag.integer): number {
    const [start, end] = this.#take(tag);
    if (end - start < 1 || end - start > 6) throw new BerError(`an integer of ${end - start} bytes`);
    return this.#bytes.readIntBE(start, end - start);
  }

  skip(): void {
    this.#take(this.tag ?? 0);
  }

  #take(tag: number): [number, number] {
    const found = this.tag;
    if (found !== tag) throw new BerError(`${found === undefined ? 'the end' : hex(found)} where ${hex(tag)} belongs`);
    const size = elementSize(this.#bytes, this.#offset, this.#end);
    if (size === undefined || this.#offset + size > this.#end) throw new BerError('an element longer than the one around it');
    const first = this.#bytes[this.#offset + 1] ?? 0;
    const start = this.#offset + 2 + (first < 0x80 ? 0 : first & 0x7f);
    this.#offset += size;
    return [start, this.#offset];
  }
}

function hex(tag: number): string {
  return `tag 0x${tag.toString(16).padStart(2, '0')}`;
}
