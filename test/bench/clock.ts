import type { RequestEntry } from '../../infra/customer-engagement/traffic.ts';
import type { LineTail } from './line-tail.ts';
import type { RawEngagement } from './raw-engagement.ts';

/** Milliseconds since 1970 with fractions, as the CE stand-in writes them. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * How far the stand-in's clock may be from ours, in milliseconds: it says when a request arrived and was answered, which
 * must lie between our sending it and our having the answer. Both clocks count from when their process began.
 */
export async function clockError(engagement: RawEngagement, tail: LineTail): Promise<{ low: number; high: number }> {
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < 50; round++) {
    const logged = tail.next((line) => line.includes('/WhoAmI"'), "a request in the stand-in's log");
    const sent = now();
    await engagement.ask();
    const received = now();
    const { arrived, answered } = JSON.parse(await logged) as RequestEntry;
    low = Math.max(low, answered - received);
    high = Math.min(high, arrived - sent);
  }
  return { low, high };
}

/** Milliseconds on a clock that all processes of the machine share, with fractions. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
