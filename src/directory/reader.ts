import type { PageReader } from '../../streams/directory-source.ts';
import type { Warn } from './entry.ts';
import type { DomainController } from './root-dse.ts';
import type { Watched } from './watched.ts';

export interface ReaderSettings {
  readonly here: DomainController;
  readonly pageSize: number;
  /** Milliseconds that the first entry may take. */
  readonly patience: number;
  readonly warn: Warn;
  readonly watched: Watched;
  /** The scope of the session, in one spelling; empty: everybody. */
  readonly scope: string;
}

export interface Reader extends PageReader {
  /** The server is at work for this read. */
  readonly waiting: boolean;
  /** Gives the connection free when the rest is not wanted. */
  abandon(): void;
}
