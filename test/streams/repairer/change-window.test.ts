import { describe, expect, test } from 'vitest';
import { type ChangeWindow, opensIn, WEEKDAYS } from '../../../streams/repairer/change-window.ts';

const MINUTE = 60_000;
const NIGHT: ChangeWindow = { days: ['fri'], from: '22:00', to: '04:00', timeZone: 'Europe/Berlin' };
const DAY: ChangeWindow = { days: [...WEEKDAYS], from: '09:00', to: '17:00', timeZone: 'UTC' };

describe('a change window', () => {
  test.each<[string, ChangeWindow, string, number]>([
    ['is open from its first minute', DAY, '2026-11-25T09:00:00Z', 0],
    ['is open to its last', DAY, '2026-11-25T16:59:59Z', 0],
    ['opens on the next day', DAY, '2026-11-25T17:00:00Z', 16 * 60],
    ['opens at the full minute', DAY, '2026-11-25T08:58:30Z', 1.5],
    ['goes over midnight, by the day on which it began', NIGHT, '2026-11-28T02:59:00Z', 0],
    ['has its own time zone', NIGHT, '2026-11-27T20:59:00Z', 1],
    ['is closed in the night before', NIGHT, '2026-11-27T02:00:00Z', 19 * 60],
    ['knows the day with 25 hours', { ...DAY, timeZone: 'Europe/Berlin' }, '2026-10-24T15:00:00Z', 17 * 60],
    ['from a time to the same is a whole day', { ...DAY, from: '12:00', to: '12:00' }, '2026-11-25T03:00:00Z', 0],
  ])('%s', (_, window, now, minutes) => {
    expect(opensIn(window, Date.parse(now))).toBe(minutes * MINUTE);
  });
});
