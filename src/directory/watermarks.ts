import { z } from 'zod';
import { Vector } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';

/**
 * How far objects below a base have been read by uSNChanged. Each domain controller numbers for itself: one that has no watermark here
 * was never read.
 */
export const Watermarks = z.object({
  base: z.string(),
  /** highestCommittedUSN from before the last read, by invocationId. */
  usns: Vector,
});
export type Watermarks = z.infer<typeof Watermarks>;

/** The cookie of a position that was read by uSNChanged, base64. */
export function encodeWatermarks(watermarks: Watermarks): string {
  return Buffer.from(JSON.stringify(watermarks)).toString('base64');
}

/** @returns undefined when the cookie is none of this kind */
export function decodeWatermarks({ source, cookie }: Pick<Position, 'source' | 'cookie'>): Watermarks | undefined {
  if (source !== 'usn') return undefined;
  try {
    return Watermarks.safeParse(JSON.parse(Buffer.from(cookie, 'base64').toString())).data;
  } catch {
    return undefined;
  }
}
