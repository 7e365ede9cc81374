import type { ReadingSettings } from '../../streams/listener/reading.ts';

/** The defaults, but for the comparison that comes by itself. */
export const READING: ReadingSettings = {
  readEvery: 30_000,
  readGap: 10,
  positionEvery: 60_000,
  requestsEvery: 5_000,
  compareEvery: 0,
  maxLag: 3_600_000,
  movesWithin: 60_000,
  scopeEvery: 300_000,
  deletionLimit: { count: 50, percent: 5 },
};
