/** An AD account, as far as CE looks at it. */
export interface Account {
  /** Lower-case text form. */
  readonly objectGUID: string;
  readonly objectSid: string;
  readonly sAMAccountName: string;
  readonly userPrincipalName: string | undefined;
  readonly enabled: boolean;
  readonly givenName: string | undefined;
  readonly sn: string | undefined;
  readonly mail: string | undefined;
}

export type AccountKey = 'sAMAccountName' | 'userPrincipalName' | 'objectGUID';

/** Looks up accounts where CE's own server would: in the directory, at this moment. */
export interface Directory {
  /**
   * The user accounts with one of these values, in any order.
   *
   * @throws DirectoryUnreachable
   */
  find(key: AccountKey, values: readonly string[]): Promise<Account[]>;
  close(): Promise<void>;
}

export class DirectoryUnreachable extends Error {
  override readonly name = 'DirectoryUnreachable';
}
