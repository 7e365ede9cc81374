/** The port to one Customer Engagement organization. */
export interface CustomerEngagement {
  /** Name of the organization in the configuration. */
  readonly name: string;
  /** systemuserid of the service's own record (WhoAmI). */
  whoAmI(signal?: AbortSignal): Promise<string>;
  /** The records with one of these ids or names, in as few requests as they fit into; disabled ones too. */
  find(query: { systemuserids?: readonly string[]; domainNames: readonly string[] }, signal?: AbortSignal): Promise<SystemUser[]>;
  /**
   * Every record, disabled ones too, page by page.
   *
   * @param since only those that were modified at or after this time of the server's, ISO 8601
   */
  all(query: { since?: string | undefined }, signal?: AbortSignal): AsyncIterable<SystemUser[]>;
  /**
   * Sets the user name of an existing record, with it what is given of `names`, and nothing else: one PATCH with `If-Match: *`.
   *
   * @returns what the server's answer shows
   * @throws CustomerEngagementError
   */
  setDomainName(
    systemuserid: string,
    domainName: string,
    more?: { names?: PersonNames | undefined; signal?: AbortSignal | undefined },
  ): Promise<Written>;
  /** Sets these columns of an existing record and nothing else, in the same way. @throws CustomerEngagementError */
  setColumns(systemuserid: string, columns: Partial<PersonColumns>, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** First and last name; an absent one is left as it is. */
export interface PersonNames {
  readonly firstname?: string;
  readonly lastname?: string;
}

/** What is read of a systemuser record. */
export interface SystemUser {
  readonly systemuserid: string;
  /** `DOMAIN\name`, a UPN for users outside the domain, or empty. */
  readonly domainname: string;
  readonly fullname: string;
  readonly isdisabled: boolean;
  /** Empty where there is none, as are the following texts. */
  readonly firstname: string;
  readonly lastname: string;
  readonly internalemailaddress: string;
  readonly employeeid: string;
  /** The business unit that it belongs to. */
  readonly businessunitid: string;
  /** When it was last written, by the server's clock in whole seconds, ISO 8601. */
  readonly modifiedon: string;
  /** Text of the column that the settings name as a mark of records that are not to be touched. */
  readonly mark: string;
  /** SYSTEM, INTEGRATION, support, delegated administrators and application users: never touched. */
  readonly special: boolean;
}

/** What a server may take from an account together with its name. Empty where there is none. */
export const PERSON_COLUMNS = ['firstname', 'lastname', 'internalemailaddress'] as const;
export type PersonColumns = Pick<SystemUser, (typeof PERSON_COLUMNS)[number]>;

/** What a record shows after its user name was written. */
export interface Written {
  readonly domainname: string;
  /** Undefined where the answer does not tell. */
  readonly person: PersonColumns | undefined;
}

/** What a refusal or failure means for the repair. */
export type CustomerEngagementFailure =
  /** Certainly nothing was written; worth trying again (not reached, 503 before, busy). */
  | 'transient'
  /** Something may have been written: cut off, late, 5xx or garbage after a write. Ask before doing anything else. */
  | 'unknown-outcome'
  /** The AD account of that name is on a record already (0x80041D2C). */
  | 'held'
  /** The server's own domain controller does not know the name yet (0x80041D2A and its kin): try again in minutes. */
  | 'not-in-directory'
  /** Credentials refused, or an answer that is not the API's (a sign-in page): the organization has to wait. */
  | 'credentials'
  /** The service's user lacks a privilege: the organization has to wait for a person. */
  | 'privilege'
  /** Own record, special user: never possible. */
  | 'impossible'
  /** No such record. */
  | 'missing'
  /** Changed by somebody else in between: read and decide again. */
  | 'conflict'
  /** Refused for a reason that is not in the table. */
  | 'refused';

export class CustomerEngagementError extends Error {
  override readonly name = 'CustomerEngagementError';
  readonly failure: CustomerEngagementFailure;
  /** HTTP status, when there was an answer. */
  readonly status: number | undefined;
  /** The server's error code as a number (0x80041D2C), when it gave one. */
  readonly code: number | undefined;
  /** What a Retry-After header asked for, in milliseconds. */
  readonly retryAfter: number | undefined;
  constructor(
    failure: CustomerEngagementFailure,
    message: string,
    details: { status?: number | undefined; code?: number | undefined; retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.failure = failure;
    this.status = details.status;
    this.code = details.code;
    this.retryAfter = details.retryAfter;
  }
}
