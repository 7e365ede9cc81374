import type { Observable } from 'rxjs';
import type { Observation } from './observation.ts';
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
}

/** One logged-on connection pair. It is never mended: when it breaks, everything rejects and a new one is opened. */
export interface DirectorySession extends AsyncDisposable {
  readonly namingContext: string;
  /** NetBIOS name, from the crossRef of the naming context. */
  readonly domain: string;
  /** dnsHostName of the domain controller. */
  readonly dc: string;
  /** The position to resume from: the stored one if it is good here, else undefined with the reason why not. */
  readonly resume: { readonly position: Position } | { readonly position: undefined; readonly reason: string };
  /** Emits when the domain controller says that something changed; errors with a DirectoryError when a connection is lost. */
  readonly wakes: Observable<void>;
  /**
   * Reads from a position, or everything when there is none: then each object comes whole, with null for what is not set, so that
   * a value which was cleared while nobody looked is not taken for one that was not seen. One reader at a time.
   */
  read(position: Position | undefined): PageReader;
  /**
   * Reads one object whole, with null for what is not set; tombstones too. Undefined when there is no such object or it may not be
   * seen.
   *
   * @throws UnusableObject when only this object is refused @throws DirectoryError
   */
  readObject(objectGUID: string): Promise<Observation | undefined>;
}

/** Pulls pages from the wire: nothing beyond the next page is taken before it is asked for. */
export interface PageReader {
  /** @throws DirectoryError when the read was refused or cut off. A cut-off read never ends as if it were whole. */
  next(): Promise<Page>;
}

export interface Page {
  /** At most the reader's page size. */
  readonly observations: readonly Observation[];
  /** Where to resume after this page; only on a page after which the directory allows it. */
  readonly position: Position | undefined;
  /** Nothing more to read now; such a page always has a position. */
  readonly last: boolean;
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
  | 'configuration';

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
