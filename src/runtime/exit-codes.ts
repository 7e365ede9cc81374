/** How the process ends; documented in the README, so that whoever supervises it can tell what to do. */
export const EXIT = {
  /** Did what was asked; also after SIGTERM. */
  ok: 0,
  /** An error that was not expected: start it again. */
  failed: 1,
  /** Unknown command or flag. */
  usage: 2,
  /** A setting is wrong, or nothing can work with it: starting again does not help. */
  configuration: 3,
  /** Did not come to a safe point within the time to stop. */
  stopTimeout: 5,
} as const;
