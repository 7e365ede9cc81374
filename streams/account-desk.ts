/** What is asked about single accounts, besides what is listened to. */
export interface AccountFacts {
  readonly dn: string;
  readonly objectGUID: string;
  readonly sAMAccountName: string;
  readonly enabled: boolean;
  /** Groups and marks that make it more than an ordinary account, in words; empty when there are none. */
  readonly privileges: readonly string[];
  /** By the domain controller that was asked, ISO 8601; it is not replicated. Null: never, or not to be seen. */
  readonly lastLogon: string | null;
  /** Replicated, and up to 14 days behind (msDS-LogonTimeSyncInterval), ISO 8601. */
  readonly lastLogonTimestamp: string | null;
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
  close(): Promise<void>;
}
