/** SQLITE_BUSY and SQLITE_LOCKED (SQLite, result codes); extended codes have them in their lowest byte. */
const LOCKED: readonly number[] = [5, 6];

/** Whether somebody else has the file of a database locked: an error of SQLite, or one that came of it. */
export function isLocked(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('errcode' in cause && typeof cause.errcode === 'number') return LOCKED.includes(cause.errcode & 0xff);
  }
  return false;
}
