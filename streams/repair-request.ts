import { z } from 'zod';

/**
 * What a person asks of whoever repairs an organization, by way of the log; the last request for a record counts.
 *
 * - `retry`: look at the record again at once, also when its repair has ended; of a linked record that never had one, begin it.
 * - `skip`: end its repair.
 * - `link`: it belongs to this account from now on.
 * - `unlink`: it belongs to no account, and not to the one that it had.
 */
export const RepairRequest = z.object({
  /** Unlike that of any other request. */
  id: z.string(),
  kind: z.enum(['retry', 'skip', 'link', 'unlink']),
  organization: z.string(),
  systemuserid: z.guid(),
  /** Of link: the account. */
  objectGUID: z.guid().optional(),
  /** Of retry: although the record shows the right name, since it is mapped to another account that had this name. */
  remap: z.boolean().optional(),
  time: z.iso.datetime(),
});
export type RepairRequest = z.infer<typeof RepairRequest>;

/** What became of the last request for a record that was served. */
export const RepairAnswer = z.object({
  /** Of the request. */
  id: z.string(),
  organization: z.string(),
  systemuserid: z.guid(),
  /** False: nothing was done, and the message says why. */
  done: z.boolean(),
  /** For the person who asked. */
  message: z.string(),
  time: z.iso.datetime(),
});
export type RepairAnswer = z.infer<typeof RepairAnswer>;
