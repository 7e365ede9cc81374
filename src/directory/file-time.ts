/** Times of the directory begin with 1601 (MS-DTYP 2.3.3). */

/** From there to where those of everybody else begin. */
export const SECONDS_TO_1970 = 11_644_473_600n;

/** @param time tenths of microseconds since 1601 @returns milliseconds since 1970 */
export function fromFileTime(time: bigint): number {
  return Number(time / 10_000n - SECONDS_TO_1970 * 1_000n);
}
