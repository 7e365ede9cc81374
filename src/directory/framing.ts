import { BerError, elementSize, Tag } from './ber.ts';

/** Far above any user entry or DirSync cookie (1 MB has been seen), far below what would hurt. */
const MAX_MESSAGE_SIZE = 16 * 1024 * 1024;

const NOTHING = Buffer.alloc(0);

/** Cuts what a socket gives into whole LDAP messages, however the bytes were split on the way. */
export class MessageFramer {
  readonly #maxSize: number;
  /** The first bytes of a message whose header is not complete: at most five. */
  #header = NOTHING;
  /** A message that began in an earlier chunk, as far as it has come: one buffer of its own, however many chunks it takes. */
  #message: Buffer | undefined;
  #filled = 0;

  constructor(maxSize = MAX_MESSAGE_SIZE) {
    this.#maxSize = maxSize;
  }

  /** Bytes of an incomplete message are waiting for the rest. */
  get incomplete(): boolean {
    return this.#message !== undefined || this.#header.length > 0;
  }

  /**
   * The messages that `chunk` completes, as views of it where it holds them whole.
   *
   * @throws BerError when the bytes are no LDAP message or announce one larger than allowed; the framer is of no use then
   */
  push(chunk: Buffer): Buffer[] {
    const messages: Buffer[] = [];
    let rest = chunk;
    if (this.#message === undefined && this.#header.length > 0) {
      rest = Buffer.concat([this.#header, chunk]);
      this.#header = NOTHING;
    }
    while (rest.length > 0) {
      if (this.#message !== undefined) {
        const copied = rest.copy(this.#message, this.#filled);
        this.#filled += copied;
        rest = rest.subarray(copied);
        if (this.#filled < this.#message.length) break;
        messages.push(this.#message);
        this.#message = undefined;
        continue;
      }
      const size = this.#sizeOf(rest);
      if (size === undefined) {
        this.#header = Buffer.from(rest);
        break;
      }
      if (size <= rest.length) {
        messages.push(rest.subarray(0, size));
        rest = rest.subarray(size);
      } else {
        this.#message = Buffer.allocUnsafeSlow(size);
        this.#filled = 0;
      }
    }
    return messages;
  }

  #sizeOf(bytes: Buffer): number | undefined {
    if (bytes[0] !== Tag.sequence) throw new BerError('bytes that begin no LDAP message');
    const size = elementSize(bytes, 0, bytes.length);
    if (size !== undefined && size > this.#maxSize) throw new BerError(`a message of ${size} bytes`);
    return size;
  }
}
