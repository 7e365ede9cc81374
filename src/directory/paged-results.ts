import { PagedResultsControl } from 'ldapts';
import { BerCursor, Tag } from './ber.ts';
import { PAGED_RESULTS } from './controls.ts';

/** Asks for so many entries, from where the cookie of the answer before says (RFC 2696). */
export function pagedResults(size: number, cookie: Buffer | undefined): PagedResultsControl {
  return new PagedResultsControl({ critical: true, value: { size, ...(cookie !== undefined && { cookie }) } });
}

/**
 * Where to go on.
 *
 * @returns undefined at the end of the result
 * @throws BerError when the answer does not tell
 */
export function nextPage(controls: ReadonlyMap<string, Buffer>): Buffer | undefined {
  const sequence = new BerCursor(controls.get(PAGED_RESULTS) ?? Buffer.alloc(0)).enter(Tag.sequence);
  sequence.integer();
  const cookie = sequence.bytes();
  return cookie.length === 0 ? undefined : Buffer.from(cookie);
}
