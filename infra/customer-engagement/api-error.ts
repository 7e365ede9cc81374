/** The server versions whose errors look different. */
export type Dialect = '8.2' | '9.0' | '9.1';

interface Described {
  readonly code: number;
  readonly message: string;
  /** Absent: the documentation gives none, and the setting or the version decides between 400 and 500. */
  readonly status?: number;
}

/** Codes and texts of the Web service error code list; the status is that of the Web API's own table where it has a row. */
const described = {
  userAlreadyExists: { code: 0x80041d2c, message: 'The specified Active Directory user already exists as a Dynamics 365 user.' },
  objectNotFoundInAD: { code: 0x80041d2a, message: 'The object does not exist in active directory.' },
  cannotFindDomainAccount: { code: 0x80044342, message: 'Invalid domain account' },
  invalidDomainName: {
    code: 0x80048015,
    message: 'The domain logon for this user is invalid. Select another domain logon and try again.',
  },
  lookupAccountName: { code: 0x80040216, message: 'LookupAccountNameW failed with error' },
  invalidArgument: { code: 0x80040203, message: 'Invalid argument.' },
  cannotReadAccountControl: {
    code: 0x80041d2d,
    message: 'Insufficient permissions to the specified Active Directory user. Contact your System Administrator.',
  },
  missingDomainName: { code: 0x80041d01, message: "The user's domain name was unexpectedly missing." },
  callerCannotChangeOwnDomainName: { code: 0x80044161, message: 'The caller cannot change their own domain name' },
  cannotModifySpecialUser: { code: 0x80041d33, message: "No modifications to the 'SYSTEM' or 'INTEGRATION' user are permitted." },
  supportUserCannotBeUpdated: { code: 0x80041d41, message: 'A support user cannot be updated.' },
  applicationUserCannotBeUpdated: { code: 0x80041d48, message: 'An OAuth application user cannot be updated.' },
  delegatedAdminCannotBeUpdated: { code: 0x80041d67, message: 'A delegated administrator user cannot be updated.' },
  isLicensedCannotBeModified: { code: 0x80041d4c, message: 'The IsLicensed attribute cannot be modified.' },
  isSyncWithDirectoryCannotBeModified: { code: 0x80041d4e, message: 'The IsSyncWithDirectory attribute cannot be modified.' },
  azureObjectIdCannotBeModified: { code: 0x80041d4f, message: 'The AzureActiveDirectoryObjectId attribute cannot be modified.' },
  notValidForUpdate: { code: 0x80041a02, message: 'The specified field is not valid for update.' },
  stringLengthTooLong: { code: 0x80044331, message: 'A validation error occurred. A string value provided is too long.' },
  concurrencyNotEnabled: { code: 0x8006088d, message: 'Optimistic concurrency is not enabled for this entity.', status: 400 },
  versionMismatch: {
    code: 0x80060882,
    message: "The version of the existing record doesn't match the RowVersion property provided.",
    status: 412,
  },
  recordExists: { code: 0x80040237, message: 'A record with matching key values already exists.', status: 412 },
  privilegeDenied: { code: 0x80040220, message: 'The user does not hold the necessary privileges.', status: 403 },
  objectDoesNotExist: { code: 0x80040217, message: 'The specified object was not found.', status: 404 },
  methodNotAllowed: { code: 0x80040800, message: "The method does not support entities of type 'systemuser'.", status: 405 },
  httpError: { code: 0x8006088a, message: 'The request cannot be processed.', status: 400 },
} as const satisfies Record<string, Described>;

export type FaultName = keyof typeof described;

/** What the Web API answers instead of a result. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number | undefined;
  readonly code: number;
  /** Which .NET type an 8.2 or 9.0 server names in innererror. */
  readonly origin: 'fault' | 'http' | 'odata';
  constructor(origin: 'fault' | 'http' | 'odata', status: number | undefined, code: number, message: string) {
    super(message);
    this.origin = origin;
    this.status = status;
    this.code = code;
  }
}

/** A fault of the platform, with its documented text unless the case calls for another. */
export function fault(name: FaultName, message?: string): ApiError {
  const known: Described = described[name];
  const origin = name === 'httpError' || name === 'methodNotAllowed' ? 'http' : 'fault';
  return new ApiError(origin, known.status, known.code, message ?? known.message);
}

/** A request that the OData layer cannot understand; 9.x gives such errors the code 0x0. */
export function odataError(message: string): ApiError {
  return new ApiError('odata', 400, 0, message);
}

/** Something that CE can do and the stand-in cannot: said aloud instead of answered wrongly. */
export function notImitated(what: string): ApiError {
  return new ApiError('http', 501, 0x8006088a, `The stand-in does not imitate ${what}.`);
}

const exceptions = {
  http: 'Microsoft.Crm.CrmHttpException',
  odata: 'Microsoft.OData.ODataException',
} as const;

/**
 * The error body in the form of one server version: 8.2 and 9.0 leave the code of a fault empty and add innererror,
 * so that only the text tells what happened; 9.1 gives the code and adds details only when annotations are asked for.
 */
export function errorBody(error: ApiError, dialect: Dialect, annotated: boolean): string {
  const message = dialect === '8.2' ? error.message.replace('a Dynamics 365 user', 'a CRM user') : error.message;
  if (dialect === '9.1') {
    const details = annotated
      ? { '@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus': '0', '@Microsoft.PowerApps.CDS.InnerError.Message': message }
      : {};
    return JSON.stringify({ error: { code: hexCode(error.code), message, ...details } });
  }
  const sdk = `Microsoft.Xrm.Sdk, Version=${dialect === '8.2' ? '8.0.0.0' : '9.0.0.0'}, Culture=neutral, PublicKeyToken=31bf3856ad364e35`;
  const type =
    error.origin === 'fault'
      ? `System.ServiceModel.FaultException\`1[[Microsoft.Xrm.Sdk.OrganizationServiceFault, ${sdk}]]`
      : exceptions[error.origin];
  const code = dialect === '9.0' && error.origin === 'odata' ? '0x0' : '';
  return JSON.stringify({
    error: { code, message, innererror: { message, type, stacktrace: '   at Microsoft.Crm.Extensibility.OData.CrmODataExecutionContext' } },
  });
}

/** `0x80041d2c`, as 9.1 spells codes. */
export function hexCode(code: number): string {
  return `0x${code.toString(16)}`;
}

/** The status of an error for which the documentation gives none: 8.2 and 9.0 answer such faults with 500, 9.1 with 400. */
export function faultStatus(dialect: Dialect): 400 | 500 {
  return dialect === '9.1' ? 400 : 500;
}
