import { z } from 'zod';

/**
 * What the server says to a name that it cannot resolve; which of them a real one uses is not documented. The last one tells nothing: it
 * stands for a code that nobody expects.
 */
const UNRESOLVABLE = [
  'objectNotFoundInAD',
  'cannotFindDomainAccount',
  'invalidDomainName',
  'lookupAccountName',
  'invalidArgument',
] as const;

/** What may differ between installations, or is not known of them. Changed at the control port. */
export const Settings = z.strictObject({
  unresolvableName: z.enum(UNRESOLVABLE).default('objectNotFoundInAD'),
  /** What the server says to a name whose account is on a record. */
  heldName: z.enum(['userAlreadyExists', 'invalidArgument']).default('userAlreadyExists'),
  /** Whether a record may be given a disabled account. */
  disabledAccounts: z.enum(['accepted', 'refused']).default('accepted'),
  /** Whether a change set may give a record another account and the first one again: as if the one had been written before the other. */
  changeSets: z.enum(['refused', 'accepted']).default('refused'),
  /** First name, last name and e-mail follow the account when the user name is written; what the account has not is emptied. */
  refreshesNames: z.boolean().default(false),
  /** An account stays with the record that had it: no other record can have it any more. */
  keepsFormerAccounts: z.boolean().default(false),
  /** A record is shown with the UPN of its account, where that has one, whatever form was written. */
  derivesUpn: z.boolean().default(false),
  /** Whether only a System Administrator may write user names, privileges or not. */
  needsSystemAdministrator: z.boolean().default(false),
  /** Names of the security roles of the caller. */
  callerRoles: z.array(z.string()).default(['Namesake']),
  /** Status of the platform's faults that have no documented one; absent: as the version of the server has it. */
  faultStatus: z.union([z.literal(400), z.literal(500)]).optional(),
  /** Privileges that the caller does not hold. */
  deniedPrivileges: z.array(z.enum(['prvReadUser', 'prvWriteUser', 'prvReadRole'])).default([]),
  /** IsOptimisticConcurrencyEnabled of systemuser. */
  optimisticConcurrency: z.boolean().default(true),
});
export type Settings = z.output<typeof Settings>;
