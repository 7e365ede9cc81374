import { Subject } from 'rxjs';
import {
  DirectoryError,
  type DirectoryScope,
  type DirectorySession,
  type DirectorySource,
  type Page,
  type PageReader,
  type Resume,
  type WholeObject,
} from '../../streams/directory-source.ts';
import { PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import type { Observation } from '../../streams/observation.ts';
import type { Vector } from '../../streams/origin.ts';
import { Position } from '../../streams/position.ts';
import type { MemoryDirectory } from './memory-directory.ts';

/** What a test does to one step; awaited, and throwing fails it. */
export interface DirectoryInterference {
  open?(): void | Promise<void>;
  page?(number: number): void | Promise<void>;
  readObject?(objectGUID: string): void | Promise<void>;
  /** Whether the directory refuses to show just this one. */
  refuses?(objectGUID: string): boolean;
  close?(): void | Promise<void>;
}

const ALL_PROFILE: readonly string[] = [...PROFILE_ATTRIBUTES, 'title'];

/** Where a read goes on: `USN@DC` with what had been seen, and in the middle of a read how many objects of it were given. */
const COOKIE = /^(\d+)(?:\+(\d+))?$/;

/**
 * A source over domain controllers in memory, which are all of one domain: the first is read until a test fails over to another. On
 * the domain controller of a position its cookie says from which USN on; on another what had been seen decides.
 */
export class MemoryDirectorySource implements DirectorySource {
  readonly name: string;
  readonly namingContext: string;
  /** The one that is read. */
  directory: MemoryDirectory;
  /** NetBIOS name. */
  domain: string;
  /** The same for the domains of one forest. */
  forest: string;
  pageSize = 2;
  /** Every so many pages the directory gives a position in the middle of a read; 0: never. */
  positionEvery = 0;
  /** Whether the password that was refused has been replaced. */
  otherPassword = false;
  /** What `resume` says of every stored position, if it is not good. */
  resumeRefused: string | { readonly reason: string; readonly lossy?: boolean; readonly rolledBack?: boolean } | undefined;
  /** What is watched besides what always is. */
  attributes: readonly string[] = PROFILE_ATTRIBUTES;
  /** Who is followed; undefined: everybody. What changes in it without any write of an account is `stirred`. */
  scope: { readonly text: string; readonly has: (objectGUID: string) => boolean } | undefined;
  stirred = false;
  /** How often it was asked who is in scope. */
  looks = 0;
  interference: DirectoryInterference = {};
  opened = 0;
  closed = 0;
  /** Where each read began; undefined: full. */
  readonly reads: (string | undefined)[] = [];
  /** Those that held anything. */
  pagesGiven = 0;
  readonly objectsRead: string[] = [];
  wakes = new Subject<void>();
  /** What the listener said went wrong. */
  readonly failures: DirectoryError[] = [];
  #lost: DirectoryError | undefined;

  constructor(directory: MemoryDirectory, name = 'memory') {
    this.directory = directory;
    this.domain = directory.domain;
    this.name = name;
    this.namingContext = `DC=${name}`;
    this.forest = `CN=Configuration,${this.namingContext}`;
  }

  async open(find: (namingContext: string) => Position | undefined, signal: AbortSignal): Promise<DirectorySession> {
    this.opened++;
    await this.interference.open?.();
    signal.throwIfAborted();
    this.wakes = new Subject();
    this.#lost = undefined;
    const { directory } = this;
    return {
      namingContext: this.namingContext,
      domain: this.domain,
      forest: this.forest,
      dc: directory.dc,
      via: 'dirsync',
      invocationId: directory.invocationId,
      tombstoneLifetime: 180 * 86_400_000,
      passedOver: [],
      limits: [],
      scope: this.#scope(directory),
      attributes: this.attributes,
      resume: this.#resume(find(this.namingContext)),
      wakes: this.wakes,
      read: (position) => this.#read(directory, position),
      readObjects: async (objectGUIDs, onRefused) => {
        const found = new Map<string, WholeObject>();
        for (const objectGUID of objectGUIDs) {
          await this.interference.readObject?.(objectGUID);
          this.objectsRead.push(objectGUID);
          if (this.interference.refuses?.(objectGUID)) {
            onRefused?.(objectGUID);
            continue;
          }
          const whole = this.#watched(directory.readObject(objectGUID));
          if (whole !== undefined) found.set(objectGUID, whole);
        }
        if (this.#lost) throw this.#lost;
        return found;
      },
      // It shows the numbers of accounts alone.
      givenTwice: async () => undefined,
      vector: async () => directory.vector(),
      [Symbol.asyncDispose]: async () => {
        await this.interference.close?.();
        this.closed++;
      },
    };
  }

  failed(error: DirectoryError): boolean {
    this.failures.push(error);
    return false;
  }

  async hasOtherPassword(): Promise<boolean> {
    return this.otherPassword;
  }

  /** Breaks the connection: everything of the session fails from now on. */
  lose(error = new DirectoryError('unavailable', 'connection lost')): void {
    this.#lost = error;
    this.wakes.error(error);
  }

  /** Without what is not asked for. */
  #watched<Seen extends Observation | undefined>(observation: Seen): Seen {
    if (observation === undefined) return observation;
    const isAsked = ([name]: [string, unknown]) => !ALL_PROFILE.includes(name) || this.attributes.includes(name);
    const asked = (values: object) => Object.fromEntries(Object.entries(values).filter(isAsked));
    const writes = 'writes' in observation ? { writes: asked(observation.writes as object) } : {};
    return { ...observation, seen: asked(observation.seen), ...writes };
  }

  /** Nothing is reported of whoever changed in nothing that is asked for. */
  #changes(directory: MemoryDirectory, usn: number, seen: Vector): Observation[] {
    const changes = directory.changesSince(usn, seen).map((observation) => this.#watched(observation));
    return changes.filter(({ seen: asked, deleted }) => deleted !== undefined || Object.keys(asked).length > 0);
  }

  #scope(directory: MemoryDirectory): DirectoryScope | undefined {
    const { scope } = this;
    if (scope === undefined) return undefined;
    const among = async (objectGUIDs: readonly string[]) =>
      new Set(objectGUIDs.filter((objectGUID) => directory.nameOf(objectGUID) !== undefined && scope.has(objectGUID)));
    return {
      text: scope.text,
      inScope: among,
      members: () => {
        this.looks++;
        this.stirred = false;
        return among(directory.guids());
      },
      isStirred: async () => this.stirred,
    };
  }

  #resume(stored: Position | undefined): Resume {
    const refused = this.resumeRefused;
    if (stored !== undefined && refused === undefined) {
      if (stored.scope !== (this.scope?.text ?? '')) return { position: stored, changed: 'the scope was changed' };
      const isSame = stored.profile.join() === this.attributes.join();
      return isSame ? { position: stored } : { position: stored, changed: 'other attributes are watched' };
    }
    return { position: undefined, ...(typeof refused === 'object' ? refused : { reason: refused ?? 'nothing stored' }) };
  }

  #read(directory: MemoryDirectory, position: Position | undefined): PageReader {
    this.reads.push(position?.cookie);
    const [, usn = '0', after = '0'] = COOKIE.exec(position?.cookie ?? '0') ?? [];
    const isOwn = position?.invocationId === directory.invocationId;
    // Numbers of another one say nothing here.
    const from = isOwn ? Number(usn) : 0;
    let given = isOwn ? Number(after) : 0;
    const seen = position === undefined ? {} : cookieVector(position);
    const to = directory.usn;
    let answered = to;
    const rest = this.#changes(directory, from, seen).slice(given);
    let pages = 0;
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
        if (isPlaced && !last) rest.push(...this.#changes(directory, answered, seen));
        answered = directory.usn;
        const cookie = last ? String(to) : `${from}+${given}`;
        if (!isPlaced) return { observations, last, position: undefined, isHalfAnAnswer: true };
        return { observations, last, position: this.#position(directory, cookie, last ? directory.vector() : seen) };
      },
    };
  }

  #position({ dc, invocationId }: MemoryDirectory, cookie: string, vector: Vector): Position {
    const usn = cookie.replace(/\+.*/, '');
    // In the middle of a read the cookie goes by numbers alone.
    const seen = cookie.includes('+') ? vector : { ...vector, [invocationId]: usn };
    const place = {
      namingContext: this.namingContext,
      dc,
      invocationId,
      highestCommittedUSN: usn,
      filter: '',
      profile: [...this.attributes],
      scope: this.scope?.text ?? '',
    };
    return Position.parse({ ...place, attributes: [JSON.stringify(seen)], cookie, seen, readAt: new Date().toISOString() });
  }
}

/** The vector in the cookie is that of the domain controller, whatever the listener has seen besides. It is kept where nobody looks. */
function cookieVector(position: Position): Vector {
  return JSON.parse(position.attributes[0] ?? '{}');
}
