import type { CustomerEngagementFailure } from '../../streams/customer-engagement.ts';

/** What a request asked for: after a failed write the question is whether it was written. */
export type Purpose = 'read' | 'write';

/** A refusal, as far as it decides what to do next. */
export interface RefusalFacts {
  readonly status: number;
  /** The server's error code; none, or 0, where the server gave none, as 8.2 does. */
  readonly code?: number | undefined;
  /** All of the server's texts. Undefined when the body was not a Web API error at all. */
  readonly message?: string | undefined;
}

/** One known refusal. */
export interface Refusal {
  readonly name: string;
  /** Compared as a number, since servers write it in either case. */
  readonly code?: number;
  /** A part of the English text that stands for it where there is no code, without regard to case. */
  readonly text?: string;
  readonly failure: CustomerEngagementFailure;
  /** For a write, where the server itself cannot say whether it was done. */
  readonly write?: CustomerEngagementFailure;
  /** The code says next to nothing; a text that is known counts more. */
  readonly vague?: true;
  readonly source: string;
}

type Row = [code: number | undefined, name: string, text?: string];

function rows(
  failure: CustomerEngagementFailure,
  source: string,
  list: readonly Row[],
  rest: Pick<Refusal, 'write' | 'vague'> = {},
): Refusal[] {
  return list.map(([code, name, text]) => ({
    name,
    ...(code === undefined ? {} : { code }),
    ...(text === undefined ? {} : { text }),
    failure,
    ...rest,
    source,
  }));
}

const CODES = 'Microsoft: Web service error codes, CRM 2016 and Dynamics 365 (on-premises)';
const STATUS = 'Microsoft: Compose HTTP requests and handle errors; Web service error codes';
const CLIENT = 'Microsoft: Troubleshoot Web API client errors';
const REPORT = 'reports from on-premises servers; no code is known';

/** The first row that fits counts; which of them a server sends is assumption A1, and A9 which privileges it asks for. Texts that could mean anything ("Access is denied.") are left to code and status. */
export const REFUSALS: readonly Refusal[] = [
  ...rows('held', CODES, [[0x80041d2c, 'UserAlreadyExists', 'specified Active Directory user already exists as a']]),
  ...rows('held', REPORT, [[undefined, 'domain logon in use', 'domain logon that is already used by another user']]),

  // The server looks names up by itself: it may not have heard of a rename yet, or be out of reach of its domain controller.
  ...rows('not-in-directory', CODES, [
    [0x80041d2a, 'ObjectNotFoundInAD', 'object does not exist in active directory'],
    [0x80041d37, 'GenericActiveDirectoryError', 'Active Directory Error.'],
    [0x80048015, 'InvalidDomainName', 'domain logon for this user is invalid'],
    [0x80044342, 'CannotFindDomainAccount', 'Invalid domain account'],
  ]),
  ...rows('not-in-directory', REPORT, [[undefined, 'LookupAccountName', 'LookupAccountNameW failed']]),

  ...rows('impossible', CODES, [
    [0x80044161, 'CallerCannotChangeOwnDomainName', 'caller cannot change their own domain name'],
    [0x80041d33, 'CannotModifySpecialUser', "No modifications to the 'SYSTEM' or 'INTEGRATION' user"],
    [0x80041d41, 'SupportUserCannotBeCreateNorUpdated', 'support user cannot'],
    [0x80041d48, 'ApplicationUserCannotBeUpdated', 'OAuth application'],
    [0x80041d67, 'DelegatedAdminUserCannotBeCreateNorUpdated', 'delegated admin'],
  ]),

  ...rows('privilege', STATUS, [
    [0x80040220, 'PrivilegeDenied', 'does not hold the necessary privileges'],
    [undefined, 'PrivilegeDenied at run time', 'is missing prv'],
    [0x80048306, 'unManagedIdsAccessDenied', 'Not enough privilege to access'],
    [0x80048405, 'AccessDenied'],
    [0x80040256, 'CrmSecurityError', 'failure occurred in CrmSecurity'],
    [0x8004020d, 'InvalidAccessRights'],
    [0x80040231, 'PrincipalPrivilegeDenied', 'does not hold required privileges'],
    [0x8004f504, 'AttributePermissionReadIsMissing', 'does not have read permissions to a secured field'],
    [0x8004a110, 'CannotActOnBehalfOfAnotherUser', 'privilege to act on behalf'],
  ]),
  ...rows('privilege', CODES, [
    [0x80040225, 'unManagedidsusernotenabled', 'either disabled or is not a member of any business unit'],
    [0x8004a112, 'SystemUserDisabled', 'system user was disabled'],
    [0x80042f09, 'UserNotAssignedRoles', 'has not been assigned any roles'],
  ]),

  ...rows('credentials', STATUS, [
    [0x80040204, 'InvalidUserAuth'],
    [0x80040277, 'UnauthorizedAccess', 'Attempted to perform an unauthorized operation'],
    [0x80044302, 'RequestIsNotAuthenticated', 'Request is not authenticated'],
    [0x8004a100, 'InvalidAuthTicket', "ticket specified for authentication didn't pass validation"],
    [0x8004a101, 'ExpiredAuthTicket', 'ticket specified for authentication is expired'],
    [0x8004a102, 'BadAuthTicket', 'ticket specified for authentication is invalid'],
  ]),
  ...rows('credentials', CODES, [
    [0x80041d50, 'InvalidOAuthToken', 'OAuth token is invalid'],
    [0x80041d52, 'ExpiredOAuthToken', 'OAuth token has expired'],
    [0x80040226, 'unManagedidsanonymousenabled', 'logged-in user was not found in the Active Directory'],
    [0x80040354, 'CRMUserDoesNotExist', 'user exists with the specified domain name and user ID'],
  ]),

  ...rows('missing', STATUS, [
    [0x80040217, 'ObjectDoesNotExist', 'specified object was not found'],
    [undefined, 'ObjectDoesNotExist at run time', 'systemuser With Id = '],
  ]),
  ...rows('conflict', STATUS, [[0x80060882, 'ConcurrencyVersionMismatch', "version of the existing record doesn't match"]]),

  // Turned away at the door.
  ...rows('transient', CODES, [
    [0x8004a001, 'CrmSqlGovernorDatabaseRequestDenied', 'server is busy and the request was not completed'],
    [0x8004a104, 'OrganizationDisabled', 'you are attempting to access is currently disabled'],
    [0x8004a113, 'UserDoesNotHaveAdminOnlyModePermissions', 'when it is in Admin Only mode'],
  ]),
  // Broken off somewhere on the way, perhaps after the mapping in the other database was changed.
  ...rows(
    'transient',
    CODES,
    [
      [0x80044151, 'unManagedidssqltimeouterror', 'SQL timeout expired'],
      [0x8004418d, 'SandboxWorkerNotAvailable', 'no Sandbox Worker processes are currently available'],
    ],
    { write: 'unknown-outcome' },
  ),
  ...rows(
    'transient',
    CODES,
    [
      [0x80044150, 'unManagedidssqlerror', 'Generic SQL error'],
      [0x80040216, 'UnExpected'],
      [0x80040224, 'IsvUnExpected'],
    ],
    { write: 'unknown-outcome', vague: true },
  ),

  // Refused for good and with nothing written: named, since 8.2 and 9.0 send such refusals with status 500 as well.
  ...rows('refused', CODES, [
    [0x80040265, 'IsvAborted', 'ISV code aborted the operation'],
    [0x80041d2d, 'unManagedidsbizmgmtcannotreadaccountcontrol', 'Insufficient permissions to the specified Active Directory user'],
    [0x80041d32, 'unManagedidsbizmgmtcannotaddlocaluser', 'local user cannot be added'],
    [0x80041d01, 'unManagedidsbizmgmtmissuserdomainname', "user's domain name was unexpectedly missing"],
    [0x80048095, 'InvalidUserName', 'must enter the user name in the format'],
    [0x80041d1f, 'BusinessManagementInvalidUserId', 'user Id(s) ['],
    [0x8004d231, 'ConfigDBDuplicateRecord', 'exists in MSCRM_CONFIG database'],
    [0x8004d230, 'ConfigDBObjectDoesNotExist', 'does not exist in MSCRM_CONFIG database'],
    [0x80040237, 'DuplicateRecord', 'SQL integrity violation'],
    [0x80040333, 'DuplicateRecordsFound', 'duplicate of the current record already exists'],
    [0x80060892, 'DuplicateRecordEntityKey', 'A duplicate record cannot be created'],
    [0x80060883, 'ConcurrencyVersionNotProvided', 'RowVersion property must be provided'],
    [0x8006088d, 'OptimisticConcurrencyNotEnabled', 'Optimistic concurrency is'],
    [0x80040203, 'InvalidArgument'],
    [0x80044331, 'StringLengthTooLong', 'string value provided is too long'],
    [0x80041a02, 'unManagedidsxmlinvalidupdate', 'not valid for update'],
    [0x80041a08, 'unManagedidsxmlinvalidread', 'not valid for read'],
    [0x80041103, 'QueryBuilderNoAttribute', 'specified attribute does not exist'],
  ]),
  ...rows('refused', CLIENT, [
    [undefined, 'no such resource', 'Resource not found for the segment'],
    [undefined, 'no such property', 'Could not find a property named'],
  ]),
];

/** The code first, since texts come in the language of the service's user; then a known text; the status last. */
export function failureOf(refusal: RefusalFacts, purpose: Purpose): CustomerEngagementFailure {
  const byCode = refusal.code ? REFUSALS.find((row) => row.code === refusal.code) : undefined;
  const row = byCode === undefined || byCode.vague ? (withText(refusal.message ?? '') ?? byCode) : byCode;
  if (row === undefined) return failureOfStatus(refusal, purpose);
  return (purpose === 'write' ? row.write : undefined) ?? row.failure;
}

function withText(message: string): Refusal | undefined {
  const text = message.toLowerCase();
  return REFUSALS.find((row) => row.text !== undefined && text.includes(row.text.toLowerCase()));
}

function failureOfStatus({ status, code, message }: RefusalFacts, purpose: Purpose): CustomerEngagementFailure {
  const api = message !== undefined;
  if (status === 401 || status === 407) return 'credentials';
  // IIS and proxies answer 403 too; what they say is about the address or the caller, never about a record.
  if (status === 403) return api ? 'privilege' : 'credentials';
  if (status === 412) return 'conflict';
  if (status === 408 || status === 429) return 'transient';
  if (status >= 400 && status < 500) {
    // Something on the way, while a server is set up or restarted: it says nothing of the record, and passes.
    if (!api) return doubt(purpose);
    // 8.2 says in the caller's language only that a record is missing; with a code, 404 may as well mean the address.
    return status === 404 && !code ? 'missing' : 'refused';
  }
  if (purpose === 'write') return 'unknown-outcome';
  return status >= 300 && status < 400 && status !== 304 ? 'credentials' : 'transient';
}

/** What a failure without any usable answer means: after a write, the question is open. */
export function doubt(purpose: Purpose): CustomerEngagementFailure {
  return purpose === 'write' ? 'unknown-outcome' : 'transient';
}
