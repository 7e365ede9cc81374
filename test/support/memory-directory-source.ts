import { Subject } from 'rxjs';
import { DirectoryError, type DirectorySession, type DirectorySource, type Page, type PageReader } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import type { MemoryDirectory } from './memory-directory.ts';

/** What a test does to one step; awaited, and throwing fails it. */
export interface DirectoryInterference {
  open?(): void | Promise<void>;
  page?(number: number): void | Promise<void>;
  readObject?(objectGUID: string): void | Promise<void>;
  close?(): void | Promise<void>;
}

/** A source over a directory in memory: a position is the USN from which to go on. */
export class MemoryDirectorySource implements DirectorySource {
  readonly name: string;
  readonly namingContext: string;
  readonly directory: MemoryDirectory;
  /** NetBIOS name. */
  domain: string;
  pageSize = 2;
  /** Every so many pages the directory gives a position in the middle of a read; 0: never. */
  positionEvery = 0;
  /** What `resume` says of every stored position, if it is not good. */
  resumeRefused: string | undefined;
  interference: DirectoryInterference = {};
  opened = 0;
  closed = 0;
  /** Where each read began; undefined: full. */
  readonly reads: (string | undefined)[] = [];
  /** Those that held anything. */
  pagesGiven = 0;
  readonly objectsRead: string[] = [];
  wakes = new Subject<void>();
  #lost: DirectoryError | undefined;

  constructor(directory: MemoryDirectory, name = 'memory') {
    this.directory = directory;
    this.domain = directory.domain;
    this.name = name;
    this.namingContext = `DC=${name}`;
  }

  async open(find: (namingContext: string) => Position | undefined, signal: AbortSignal): Promise<DirectorySession> {
    this.opened++;
    await this.interference.open?.();
    signal.throwIfAborted();
    this.wakes = new Subject();
    this.#lost = undefined;
    const stored = find(this.namingContext);
    const resume =
      stored && !this.resumeRefused ? { position: stored } : { position: undefined, reason: this.resumeRefused ?? 'nothing stored' };
    return {
      namingContext: this.namingContext,
      domain: this.domain,
      dc: 'dc1',
      resume,
      wakes: this.wakes,
      read: (position) => this.#read(position),
      readObject: async (objectGUID) => {
        await this.interference.readObject?.(objectGUID);
        this.objectsRead.push(objectGUID);
        return this.directory.readObject(objectGUID);
      },
      [Symbol.asyncDispose]: async () => {
        await this.interference.close?.();
        this.closed++;
      },
    };
  }

  /** Breaks the connection: everything of the session fails from now on. */
  lose(error = new DirectoryError('unavailable', 'connection lost')): void {
    this.#lost = error;
    this.wakes.error(error);
  }

  #read(position: Position | undefined): PageReader {
    this.reads.push(position?.cookie);
    const [from = 0, after = 0] = (position?.cookie ?? '').split('+').map(Number);
    const to = this.directory.usn;
    let answered = to;
    const rest = this.directory.changesSince(from).slice(after);
    let pages = 0;
    let given = after;
    return {
      next: async (): Promise<Page> => {
        await this.interference.page?.(++pages);
        if (this.#lost) throw this.#lost;
        const observations = rest.splice(0, this.pageSize);
        if (observations.length > 0) this.pagesGiven++;
        given += observations.length;
        const last = rest.length === 0;
        const isPlaced = last || (this.positionEvery > 0 && pages % this.positionEvery === 0);
        // The next answer has what changed since this one began.
        if (isPlaced && !last) rest.push(...this.directory.changesSince(answered));
        answered = this.directory.usn;
        return { observations, last, position: isPlaced ? this.#position(last ? String(to) : `${from}+${given}`) : undefined };
      },
    };
  }

  #position(cookie: string): Position {
    const { namingContext } = this;
    return { namingContext, dc: 'dc1', invocationId: 'i1', highestCommittedUSN: cookie, filter: '', attributes: [], cookie };
  }
}
