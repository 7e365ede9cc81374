import { z } from 'zod';
import { columnNamed } from './columns.ts';
import type { Organization } from './exchange.ts';
import type { UserRecord } from './records.ts';
import { blank } from './users-write.ts';

/** A record to start with: columns by their names, and what the API would not take. */
export const Seed = z
  .object({
    systemuserid: z.guid(),
    fullname: z.string().max(200),
    /** Empty for users without an account, such as SYSTEM. */
    domainname: z.string().max(1024),
    /** The account that the record holds, when it is not the one that domainname names now: a record that broke long ago. */
    heldAccount: z.string().optional(),
  })
  .catchall(z.union([z.string(), z.number(), z.boolean(), z.null()]))
  .superRefine((seed, context) => {
    for (const name of Object.keys(seed))
      if (name !== 'heldAccount' && columnNamed(name)?.read !== true)
        context.addIssue({ code: 'custom', path: [name], message: 'systemuser has no such column that can be shown' });
  });
export type Seed = z.infer<typeof Seed>;

/**
 * Adds records; one that is there already stays as it is. What each holds of its account is looked up in the directory.
 *
 * @throws DirectoryUnreachable
 * @throws Error when two records would hold one account
 */
export async function addRecords(organization: Organization, seeds: readonly Seed[]): Promise<number> {
  const { records, names } = organization;
  const added = seeds.filter(({ systemuserid }) => records.get(systemuserid.toLowerCase()) === undefined);
  const accounts = await names.resolveAll(added.map((seed) => seed.heldAccount ?? seed.domainname));
  const holders = new Map<string, string>();
  const written = added.map((seed): UserRecord => {
    const { heldAccount, systemuserid, ...columns } = seed;
    const record = blank(organization, systemuserid.toLowerCase());
    const account = accounts.get((heldAccount ?? seed.domainname).toLowerCase());
    if (account === undefined) return { ...record, columns: { ...record.columns, ...columns } };
    const { objectGUID, objectSid } = account;
    const other = records.holder(objectGUID)?.id ?? holders.get(objectGUID);
    if (other !== undefined)
      throw new Error(`The records ${other} and ${record.id} cannot both hold the account ${names.nameOf(account)}.`);
    holders.set(objectGUID, record.id);
    return { ...record, columns: { ...record.columns, ...columns }, mapping: { objectGUID, objectSid } };
  });
  records.put(...written);
  return written.length;
}
