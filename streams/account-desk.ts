/** When somebody logged on last; ISO 8601, null where that was never, or is not to be seen. */
export interface AccountLogon {
  readonly objectGUID: string;
  /** By the domain controller that was asked; it is not replicated. */
  readonly lastLogon: string | null;
  /** Replicated, and up to 14 days behind (msDS-LogonTimeSyncInterval). */
  readonly lastLogonTimestamp: string | null;
}

/** What is asked about single accounts, besides what is listened to. */
export interface AccountFacts {
  readonly dn: string;
  readonly objectGUID: string;
  readonly sAMAccountName: string;
  readonly enabled: boolean;
  /** Groups and marks that make it more than an ordinary account, in words; empty when there are none. */
  readonly privileges: readonly string[];
}

/** The port for single questions about accounts. */
export interface AccountDesk {
  /**
   * Those that there are, in any of the directories.
   *
   * @param names sAMAccountNames
   * @throws DirectoryError when one of the directories cannot be asked
   */
  facts(names: readonly string[]): Promise<AccountFacts[]>;
  /** The same, of logons. */
  logons(names: readonly string[]): Promise<AccountLogon[]>;
  close(): Promise<void>;
}
