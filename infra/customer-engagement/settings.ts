import { z } from 'zod';

/** What the server says to a name that it cannot resolve; which of them a real one uses is not documented. */
const UNRESOLVABLE = ['objectNotFoundInAD', 'cannotFindDomainAccount', 'invalidDomainName', 'lookupAccountName'] as const;

/** What may differ between installations, or is not known of them. Changed at the control port. */
export const Settings = z.strictObject({
  unresolvableName: z.enum(UNRESOLVABLE).default('objectNotFoundInAD'),
  /** Status of the platform's faults that have no documented one; absent: as the version of the server has it. */
  faultStatus: z.union([z.literal(400), z.literal(500)]).optional(),
  /** Privileges that the caller does not hold. */
  deniedPrivileges: z.array(z.enum(['prvReadUser', 'prvWriteUser'])).default([]),
  /** IsOptimisticConcurrencyEnabled of systemuser. */
  optimisticConcurrency: z.boolean().default(true),
});
export type Settings = z.output<typeof Settings>;
