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
  const wall = wallClock(window.timeZone);
  for (let minutes = 0; minutes < LONGEST; minutes++) {
    // Asked minute by minute of the clock on the wall, so that days with 23 and 25 hours are right.
    const time = now + minutes * MINUTE;
    if (isWithin(window, wall(time))) return minutes === 0 ? 0 : time - (time % MINUTE) - now;
  }
  return LONGEST * MINUTE;
}

/** Whether repairs may be begun now. */
export function isOpenAt(window: ChangeWindow, now: number): boolean {
  return isWithin(window, wallClock(window.timeZone)(now));
}

/** What a clock on the wall shows. */
interface Wall {
  readonly weekday: string;
  /** `HH:MM`. */
  readonly clock: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function wallClock(timeZone: string): (time: number) => Wall {
  // To make one takes many times as long as to use it.
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  formats.set(timeZone, format);
  return (time) => {
    const parts = new Map(format.formatToParts(time).map(({ type, value }) => [type, value]));
    return { weekday: (parts.get('weekday') ?? '').toLowerCase(), clock: `${parts.get('hour')}:${parts.get('minute')}` };
  };
}

function isWithin({ days, from, to }: ChangeWindow, { weekday, clock }: Wall): boolean {
  const today = (WEEKDAYS as readonly string[]).indexOf(weekday);
  const isAllowed = (index: number) => days.some((day) => day === WEEKDAYS[(index + WEEKDAYS.length) % WEEKDAYS.length]);
  if (from < to) return isAllowed(today) && from <= clock && clock < to;
  return (isAllowed(today) && from <= clock) || (isAllowed(today - 1) && clock < to);
}
