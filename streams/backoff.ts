/**
 * Exponential back-off with full jitter on its upper half, so that many who failed together do not come back together.
 *
 * @param attempt 1 for the first failure
 * @param options first and longest delay in milliseconds
 * @returns milliseconds
 */
export function backoff(
  attempt: number,
  { first, longest }: { first: number; longest: number },
  random: () => number = Math.random,
): number {
  const ceiling = Math.min(longest, first * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling * (0.5 + random() / 2));
}
