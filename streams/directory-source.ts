import type { Observable } from 'rxjs';
import type { Observation } from './observation.ts';
import type { Origin, Vector } from './origin.ts';
import type { Position } from './position.ts';

/** The port to a directory: one naming context, watched from where a position says. */
export interface DirectorySource {
  /** For logs: the configured addresses. Never a secret. */
  readonly name: string;
  /**
   * Connects, logs on, learns the naming context, and registers for change notification before it returns, so that
   * no change falls between registering and the first read.
   *
   * @param find gives the stored position of a naming context, by which the domain controller of that position is chosen
   * @throws DirectoryError
   */
  open(find: (namingContext: string) => Position | undefined, signal: AbortSignal): Promise<DirectorySession>;
  /**
   * Tells that a session failed or could not be opened, so that another domain controller is preferred for a while.
   *
   * @returns whether there is one that has not failed since, to be tried at once; never after a refused password, which the next one
   *   would refuse too until the account is locked out, nor after a refused position, without which this one can be read
   */
  failed(error: DirectoryError): boolean;
  /** Whether the password is another one by now than the one that was refused: then to try it locks nobody out. */
  hasOtherPassword(): Promise<boolean>;
}

export type Resume =
  | {
      readonly position: Position;
      /** Other accounts or attributes are followed than up to there: how they differ, where the position itself is good. */
      readonly changed?: string;
      /** Why everything is compared all the same: the domain controller was never read, so that no position of it can have been lost. */
      readonly unread?: string;
    }
  | {
      readonly position: undefined;
      readonly reason: string;
      /** What was deleted meanwhile may have been forgotten: who is not found any more is gone. */
      readonly lossy?: boolean;
      /** The domain controller itself was put back to an earlier state. */
      readonly rolledBack?: boolean;
      /** It is another domain under the same name, in which nothing that was seen before can still turn up. */
      readonly rebuilt?: boolean;
    };

/** Which accounts are followed where it is not everybody. What decides it can change without any change of the accounts. */
export interface DirectoryScope {
  /** The settings in one spelling: other ones are another scope. */
  readonly text: string;
  /** Who of these is in scope now. @throws DirectoryError */
  inScope(objectGUIDs: readonly string[]): Promise<ReadonlySet<string>>;
  /** Everybody who is in scope now, by objectGUID. @throws DirectoryError */
  members(): Promise<ReadonlySet<string>>;
  /** Whether something was written since `members` that can have brought accounts in or out without a word of them. @throws DirectoryError */
  isStirred(): Promise<boolean>;
}

/** One logged-on connection pair. It is never mended: when it breaks, everything rejects and a new one is opened. */
export interface DirectorySession extends AsyncDisposable {
  readonly namingContext: string;
  /** NetBIOS name, from the crossRef of the naming context. */
  readonly domain: string;
  /** DN of the configuration naming context, which all domains of a forest share. */
  readonly forest: string;
  /** dnsHostName of the domain controller. */
  readonly dc: string;
  /** How changes are found here. */
  readonly via: Position['source'];
  /** Domain controllers that are preferred and were not taken. */
  readonly passedOver: readonly { readonly dc: string; readonly reason: string }[];
  /** Of its database. */
  readonly invocationId: string;
  /** Milliseconds for which the directory remembers deletions. */
  readonly tombstoneLifetime: number;
  /** The position to resume from: the stored one if it is good here, else undefined with the reason why not. */
  readonly resume: Resume;
  /** What cannot be seen in this way of reading, in sentences for a person. */
  readonly limits: readonly string[];
  /** Undefined: everybody in the naming context is followed. */
  readonly scope: DirectoryScope | undefined;
  /** The watched attributes besides those that always are, in the spelling of the schema. */
  readonly attributes: readonly string[];
  /** Emits when the domain controller says that something changed; errors with a DirectoryError when a connection is lost. */
  readonly wakes: Observable<void>;
  /**
   * Reads from a position, or everything when there is none: then each object comes whole, with null for what is not set, so that
   * a value which was cleared while nobody looked is not taken for one that was not seen. One reader at a time.
   */
  read(position: Position | undefined): PageReader;
  /**
   * Reads objects whole, with null for what is not set; tombstones too. Who is not in the answer does not exist or may not be seen.
   *
   * @param onRefused is told of each that the directory refuses to show, which says nothing of whether it exists
   * @throws DirectoryError
   */
  readObjects(objectGUIDs: readonly string[], onRefused?: (objectGUID: string) => void): Promise<ReadonlyMap<string, WholeObject>>;
  /**
   * A number that the domain controller has given to two writes: its database was put back since this position was made. Undefined where
   * there is none, or where it cannot tell.
   */
  givenTwice(position: Position): Promise<string | undefined>;
  /** What this domain controller has seen of the writes on every one, itself included, as of now. @throws DirectoryError */
  vector(): Promise<Vector>;
}

/** Values and the writes they come from, read together. */
export interface WholeObject extends Observation {
  /** By attribute name; empty where replication metadata cannot be read. */
  readonly writes: Readonly<Record<string, Write>>;
}

export interface Write extends Origin {
  /** dnsHostName of the domain controller on which it was written; undefined when it is none of today's. */
  readonly dc: string | undefined;
  /** Update sequence number that it got on the domain controller that was asked. */
  readonly localUsn: string;
}

/** Pulls pages from the wire: nothing beyond the next page is taken before that is asked for. */
export interface PageReader {
  /** @throws DirectoryError when the read was refused or cut off. A cut-off read never ends as if it were whole. */
  next(): Promise<Page>;
}

export interface Page {
  /** At most the reader's page size. */
  readonly observations: readonly Observation[];
  /** Where to resume after this page; only on a page after which the directory allows it. Its `seen` is what the domain controller had seen. */
  readonly position: Position | undefined;
  /** Nothing more to read now; such a page always has a position. */
  readonly last: boolean;
  /** The directory is on its way with the rest of the same answer: to take the next page asks nothing of it. */
  readonly isHalfAnAnswer?: true;
}

/** Why a directory could not be read, as far as that decides what to do next. */
export type DirectoryFailure =
  /** Not reached, hung, cut off, busy: try again soon. */
  | 'unavailable'
  /** The password or account was refused: try again late, so that the account is not locked out. */
  | 'credentials'
  /** The account may not read what it must (DS-Replication-Get-Changes): a person has to grant it. */
  | 'rights'
  /** The position was refused: a full read is needed. */
  | 'position'
  /** A setting is wrong, or the server is not what it should be: trying again does not help. */
  | 'configuration'
  /** Not a failure: a preferred domain controller is well again. */
  | 'preferred';

export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
  readonly failure: DirectoryFailure;
  constructor(failure: DirectoryFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** One object that nothing can be made of; it says nothing about the others. */
export class UnusableObject extends Error {
  override readonly name = 'UnusableObject';
}
