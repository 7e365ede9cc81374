export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** When an organization may be written, in its own time zone; over midnight when `to` is before `from`, by the day on which it began. */
export interface ChangeWindow {
  readonly days: readonly (typeof WEEKDAYS)[number][];
  /** `HH:MM`. */
  readonly from: string;
  readonly to: string;
  /** IANA name. */
  readonly timeZone: string;
}

const MINUTE = 60_000;
const DAY_MINUTES = 24 * 60;
/** No window opens later than in a week. */
const LONGEST = 8 * DAY_MINUTES;

/** Milliseconds until the window opens; 0 while it is open. To the minute. */
export function opensIn(window: ChangeWindow, now: number): number {
  for (let minutes = 0; minutes < LONGEST; minutes++) {
    // Asked minute by minute of the clock on the wall, so that days with 23 and 25 hours are right.
    const time = now + minutes * MINUTE;
    if (isOpenAt(window, time)) return minutes === 0 ? 0 : time - (time % MINUTE) - now;
  }
  return LONGEST * MINUTE;
}

function isOpenAt({ days, from, to, timeZone }: ChangeWindow, time: number): boolean {
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const part = (type: string) => parts.formatToParts(time).find((one) => one.type === type)?.value ?? '';
  const today = [...WEEKDAYS].map(String).indexOf(part('weekday').toLowerCase());
  const clock = `${part('hour')}:${part('minute')}`;
  const isAllowed = (index: number) => days.some((day) => day === WEEKDAYS[(index + WEEKDAYS.length) % WEEKDAYS.length]);
  if (from < to) return isAllowed(today) && from <= clock && clock < to;
  return (isAllowed(today) && from <= clock) || (isAllowed(today - 1) && clock < to);
}
