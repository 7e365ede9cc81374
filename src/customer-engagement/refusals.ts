import type { CustomerEngagementFailure } from '../../streams/customer-engagement.ts';

/** What a request that was refused asked for: after a failed write the question is whether it was written. */
export type Purpose = 'read' | 'write';

/** A refusal, as far as it decides what to do next. */
export interface RefusalFacts {
  readonly status: number;
  /** The server's error code; none where the server sent none, as 8.2 does, or 0. */
  readonly code?: number | undefined;
  /** All of the server's texts. Undefined when the body was not a Web API error at all. */
  readonly message?: string | undefined;
}

/** One row: a known code, a known English text (8.2 sends no code), or both. */
export interface Refusal {
  readonly name: string;
  readonly code?: number;
  readonly message?: RegExp;
  readonly failure: CustomerEngagementFailure;
  /** Where a write means something else: the server cannot say whether it was done. */
  readonly write?: CustomerEngagementFailure;
  /** The code says next to nothing; a text that is known counts more. */
  readonly vague?: true;
  readonly source: string;
}

const CODES = 'Microsoft, Web service error codes';
const SDK = 'error enumeration of the SDK';
const STATUS = 'Microsoft, Compose HTTP requests and handle errors';
const ADMIN = 'Microsoft, Synchronize user information with Active Directory';
const REPORT = 'first-hand report from an on-premises server';

/** Compared as numbers, since servers write them in either case. Sorted by what they mean. */
export const REFUSALS: readonly Refusal[] = [
  {
    name: 'UserAlreadyExists',
    code: 0x80041d2c,
    message: /specified Active Directory user already exists as a .{0,40}user/i,
    failure: 'held',
    source: `${CODES}; ${ADMIN}`,
  },
  { name: 'domain logon in use', message: /domain logon that is already used by another user/i, failure: 'held', source: REPORT },

  {
    name: 'ObjectNotFoundInAD',
    code: 0x80041d2a,
    message: /object does not exist in active directory/i,
    failure: 'not-in-directory',
    source: CODES,
  },
  {
    name: 'GenericActiveDirectoryError',
    code: 0x80041d37,
    message: /^Active Directory Error\b/im,
    failure: 'not-in-directory',
    source: SDK,
  },
  {
    name: 'InvalidDomainName',
    code: 0x80048015,
    message: /domain logon for this user is invalid/i,
    failure: 'not-in-directory',
    source: SDK,
  },
  { name: 'CannotFindDomainAccount', code: 0x80044342, message: /invalid domain account/i, failure: 'not-in-directory', source: SDK },
  { name: 'LookupAccountName', message: /LookupAccountNameW? failed/i, failure: 'not-in-directory', source: REPORT },

  {
    name: 'CallerCannotChangeOwnDomainName',
    code: 0x80044161,
    message: /caller cannot change their own domain name/i,
    failure: 'impossible',
    source: CODES,
  },
  {
    name: 'CannotModifySpecialUser',
    code: 0x80041d33,
    message: /No modifications to the 'SYSTEM' or 'INTEGRATION' user/i,
    failure: 'impossible',
    source: SDK,
  },
  { name: 'support user', code: 0x80041d41, failure: 'impossible', source: SDK },
  { name: 'application user', code: 0x80041d48, failure: 'impossible', source: SDK },
  { name: 'delegated administrator', code: 0x80041d67, failure: 'impossible', source: SDK },

  {
    name: 'PrivilegeDenied',
    code: 0x80040220,
    message: /does not hold the necessary privileges|is missing prv\w+ privilege/i,
    failure: 'privilege',
    source: `${CODES}; ${STATUS}`,
  },
  { name: 'AccessDenied', code: 0x80048306, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'AccessDenied', code: 0x80048405, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'CrmSecurityError', code: 0x80040256, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'InvalidAccessRights', code: 0x8004020d, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'PrincipalPrivilegeDenied', code: 0x80040231, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'AttributePermissionReadIsMissing', code: 0x8004f504, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  { name: 'CannotActOnBehalfOfAnotherUser', code: 0x8004a110, failure: 'privilege', source: `${SDK}; ${STATUS}` },
  {
    name: 'caller disabled or in no business unit',
    code: 0x80040225,
    message: /either disabled or is not a member of any business unit/i,
    failure: 'privilege',
    source: CODES,
  },
  { name: 'SystemUserDisabled', code: 0x8004a112, failure: 'privilege', source: SDK },
  { name: 'UserNotAssignedRoles', code: 0x80042f09, failure: 'privilege', source: SDK },

  { name: 'InvalidUserAuth', code: 0x80040204, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'UnauthorizedAccess', code: 0x80040277, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'RequestIsNotAuthenticated', code: 0x80044302, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'InvalidAuthTicket', code: 0x8004a100, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'ExpiredAuthTicket', code: 0x8004a101, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'BadAuthTicket', code: 0x8004a102, failure: 'credentials', source: `${SDK}; ${STATUS}` },
  { name: 'InvalidOAuthToken', code: 0x80041d50, failure: 'credentials', source: SDK },
  { name: 'ExpiredOAuthToken', code: 0x80041d52, failure: 'credentials', source: SDK },
  {
    name: 'caller not in the directory',
    code: 0x80040226,
    message: /logged-in user was not found in the Active Directory/i,
    failure: 'credentials',
    source: SDK,
  },
  {
    name: 'CRMUserDoesNotExist',
    code: 0x80040354,
    message: /user exists with the specified domain name and user ID/i,
    failure: 'credentials',
    source: SDK,
  },

  {
    name: 'ObjectDoesNotExist',
    code: 0x80040217,
    message: /With Id = \S+ Does Not Exist|specified object was not found/i,
    failure: 'missing',
    source: `${CODES}; ${STATUS}`,
  },
  {
    name: 'ConcurrencyVersionMismatch',
    code: 0x80060882,
    message: /version of the existing record doesn't match/i,
    failure: 'conflict',
    source: `${CODES}; ${STATUS}`,
  },

  {
    name: 'server busy',
    code: 0x8004a001,
    message: /server is busy and the request was not completed/i,
    failure: 'transient',
    source: SDK,
  },
  { name: 'OrganizationDisabled', code: 0x8004a104, failure: 'transient', source: SDK },
  { name: 'administration mode', code: 0x8004a113, failure: 'transient', source: SDK },
  {
    name: 'Generic SQL error',
    code: 0x80044150,
    message: /Generic SQL error/i,
    failure: 'transient',
    write: 'unknown-outcome',
    vague: true,
    source: CODES,
  },
  {
    name: 'SQL timeout expired',
    code: 0x80044151,
    message: /SQL timeout expired/i,
    failure: 'transient',
    write: 'unknown-outcome',
    source: CODES,
  },
  { name: 'SandboxWorkerNotAvailable', code: 0x8004418d, failure: 'transient', write: 'unknown-outcome', source: SDK },
  { name: 'UnExpected', code: 0x80040216, failure: 'transient', write: 'unknown-outcome', vague: true, source: SDK },
  { name: 'IsvUnExpected', code: 0x80040224, failure: 'transient', write: 'unknown-outcome', vague: true, source: SDK },

  // Known to write nothing and to be refused again: named here because older servers send them with status 500.
  { name: 'IsvAborted', code: 0x80040265, failure: 'refused', source: SDK },
  { name: 'cannot read account control', code: 0x80041d2d, failure: 'refused', source: SDK },
  { name: 'local user', code: 0x80041d32, failure: 'refused', source: SDK },
  { name: 'domain name missing', code: 0x80041d01, failure: 'refused', source: SDK },
  { name: 'InvalidUserName', code: 0x80048095, failure: 'refused', source: SDK },
  { name: 'invalid user id', code: 0x80041d1f, failure: 'refused', source: SDK },
  { name: 'ConfigDBDuplicateRecord', code: 0x8004d231, failure: 'refused', source: SDK },
  { name: 'ConfigDBObjectDoesNotExist', code: 0x8004d230, failure: 'refused', source: SDK },
  {
    name: 'DuplicateRecord',
    code: 0x80040237,
    message: /SQL integrity violation/i,
    failure: 'refused',
    source: `${SDK}; ${STATUS}`,
  },
  { name: 'DuplicateRecordsFound', code: 0x80040333, failure: 'refused', source: SDK },
  { name: 'DuplicateRecordEntityKey', code: 0x80060892, failure: 'refused', source: SDK },
  { name: 'ConcurrencyVersionNotProvided', code: 0x80060883, failure: 'refused', source: CODES },
  { name: 'OptimisticConcurrencyNotEnabled', code: 0x8006088d, failure: 'refused', source: CODES },
  { name: 'InvalidArgument', code: 0x80040203, failure: 'refused', source: SDK },
  { name: 'StringLengthTooLong', code: 0x80044331, failure: 'refused', source: SDK },
  { name: 'field not valid for update', code: 0x80041a02, failure: 'refused', source: SDK },
  { name: 'field not valid for read', code: 0x80041a08, failure: 'refused', source: SDK },
  { name: 'no such attribute', code: 0x80041103, failure: 'refused', source: SDK },
  {
    name: 'no such resource or property',
    message: /Resource not found for the segment|Could not find a property named/i,
    failure: 'refused',
    source: 'Microsoft, Troubleshoot Web API client errors',
  },
];

/** The code first, since texts come in the language of the service's user; then a known text; the status last. */
export function failureOf(refusal: RefusalFacts, purpose: Purpose): CustomerEngagementFailure {
  const byCode = refusal.code ? REFUSALS.find((row) => row.code === refusal.code) : undefined;
  const byText = () => REFUSALS.find((row) => row.message?.test(refusal.message ?? ''));
  const row = byCode === undefined || byCode.vague ? (byText() ?? byCode) : byCode;
  if (row === undefined) return failureOfStatus(refusal, purpose);
  return (purpose === 'write' ? row.write : undefined) ?? row.failure;
}

function failureOfStatus({ status, code, message }: RefusalFacts, purpose: Purpose): CustomerEngagementFailure {
  const api = message !== undefined;
  if (status === 401 || status === 407) return 'credentials';
  // IIS and proxies answer 403 and 404 too; what they say is about the address or the caller, never about a record.
  if (status === 403) return api ? 'privilege' : 'credentials';
  // 8.2 says in the caller's language only that a record is missing; with a code, 404 may as well mean the address.
  if (status === 404) return api && !code ? 'missing' : 'refused';
  if (status === 412) return 'conflict';
  if (status === 408 || status === 429) return 'transient';
  if (status >= 400 && status < 500) return 'refused';
  if (purpose === 'write') return 'unknown-outcome';
  return status >= 300 && status < 400 && status !== 304 ? 'credentials' : 'transient';
}
