import { type Observable, ReplaySubject } from 'rxjs';
import type { DirectoryError, DirectorySession, PageReader, WholeObject } from '../../streams/directory-source.ts';
import { mutex } from '../../streams/mutex.ts';
import type { Vector } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import { givenTwice } from './committed.ts';
import type { LdapConnection } from './connection.ts';
import { DirSyncReader } from './dirsync.ts';
import type { DomainControllerNames } from './domain-controllers.ts';
import type { Warn } from './entry.ts';
import { limitsOf, type Method } from './method.ts';
import { readNamingContext } from './naming-context.ts';
import { registerNotification } from './notification.ts';
import { readObjects } from './objects.ts';
import type { Reader } from './reader.ts';
import { seenOn } from './replication.ts';
import { resumeFrom, watermarksElsewhere } from './resume.ts';
import { type DomainController, readRootDse } from './root-dse.ts';
import { findAttributes } from './schema.ts';
import { LdapScope, type ScopeSettings } from './scope.ts';
import { Unanswered } from './search.ts';
import { UsnReader } from './usn.ts';
import { type Watched, watching } from './watched.ts';

/** Milliseconds in which no more changes than a domain controller collects within the deadline can have been made. */
const RECENT = 300_000;

export interface SessionSettings {
  readonly pageSize: number;
  /** Milliseconds that the first entry may take where much is to be expected. */
  readonly patience: number;
  /** Milliseconds between two questions on the connection that otherwise only waits. */
  readonly heartbeat: number;
  readonly method: Method;
  /** What to make of it that this domain controller gives nothing by DirSync. */
  readonly onRefusal: (error: DirectoryError) => DirectoryError;
  readonly warn: Warn;
  readonly names: DomainControllerNames;
  readonly scope?: ScopeSettings | undefined;
  /** What is watched besides what always is. */
  readonly attributes: readonly string[];
  readonly passedOver?: DirectorySession['passedOver'];
}

/**
 * Two connections to one domain controller: `reads` has nothing but the read of changes, since it stands still while its
 * reader is busy; `control` has the change notification and everything that is answered at once.
 */
export class LdapSession implements DirectorySession {
  readonly via: DirectorySession['via'];
  readonly namingContext: string;
  readonly domain: string;
  readonly forest: string;
  readonly dc: string;
  readonly passedOver: DirectorySession['passedOver'];
  readonly invocationId: string;
  readonly tombstoneLifetime: number;
  readonly limits: readonly string[];
  readonly resume: DirectorySession['resume'];
  readonly scope: LdapScope | undefined;
  readonly attributes: readonly string[];
  readonly wakes: Observable<void>;
  readonly #reads: LdapConnection;
  readonly #control: LdapConnection;
  readonly #here: DomainController;
  readonly #settings: SessionSettings;
  readonly #watched: Watched;
  /** Those who look objects up wait for one another: the domain controller is busy with one at a time. */
  readonly #inTurn = mutex();
  /** Replays, so that neither a wake nor a loss before the subscription is missed. */
  readonly #wakes = new ReplaySubject<void>(1);
  readonly #heartbeat: NodeJS.Timeout;
  readonly #stored: Position | undefined;
  #reader: Reader | undefined;
  #readsEverything = false;

  private constructor(
    reads: LdapConnection,
    control: LdapConnection,
    here: DomainController,
    stored: Position | undefined,
    settings: SessionSettings,
    { watched, scope }: { watched: Watched; scope: LdapScope | undefined },
  ) {
    this.#reads = reads;
    this.#control = control;
    this.#here = here;
    this.#settings = settings;
    this.#stored = stored;
    this.namingContext = here.namingContext;
    this.domain = here.domain;
    this.forest = here.configurationNamingContext;
    this.dc = here.dc;
    this.passedOver = settings.passedOver ?? [];
    this.invocationId = here.invocationId;
    this.tombstoneLifetime = here.tombstoneLifetime;
    this.via = settings.method.source;
    this.limits = limitsOf(settings.method, here.namingContext);
    this.scope = scope;
    this.attributes = watched.profile;
    this.#watched = watched;
    this.resume = resumeFrom(stored, here, settings.method, Date.now(), { watched, scope: scope?.text ?? '' });
    this.wakes = this.#wakes.asObservable();
    this.#heartbeat = setInterval(() => this.#beat(), settings.heartbeat);
    for (const connection of [reads, control]) void connection.lost.then((error) => this.#end(error));
  }

  /** @throws DirectoryError; the connections are the caller's until this resolves */
  static async start(
    reads: LdapConnection,
    control: LdapConnection,
    here: DomainController,
    stored: Position | undefined,
    settings: SessionSettings,
  ): Promise<LdapSession> {
    const { method, patience, scope: places = {}, attributes } = settings;
    const base = method.source === 'usn' ? method.base : here.namingContext;
    const scope = await LdapScope.open(control, places, { namingContext: here.namingContext, base, patience });
    const { profile, ids } = await findAttributes(control, here.configurationNamingContext, attributes);
    const watched = watching(profile, { ids, moves: scope !== undefined });
    const session = new LdapSession(reads, control, here, stored, settings, { watched, scope });
    try {
      await registerNotification(control, here.namingContext, () => session.#wakes.next());
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
    return session;
  }

  read(position: Position | undefined): PageReader {
    // Samba collects all entries before it sends one (0.8 s for 10,000 users). Only a full read and the first one after an absence can
    // be that large; the opening has just shown that the server is alive.
    const isLarge = position === undefined || (this.#reader === undefined && !isRecent(position));
    const patience = isLarge ? this.#settings.patience : this.#reads.deadline;
    this.#readsEverything = position === undefined;
    this.#reader?.abandon();
    this.#reader = this.#readerFrom(position, patience);
    return this.#reader;
  }

  /** From the beginning of such a read to that of the next one. */
  get readsEverything(): boolean {
    return this.#readsEverything;
  }

  readObjects(objectGUIDs: readonly string[], onRefused = (_: string) => {}): Promise<Map<string, WholeObject>> {
    const { namingContext } = this;
    const { warn, names } = this.#settings;
    const nameOf = (invocationIds: readonly string[]) => names.of(invocationIds, this.#control, this.#here);
    const settings = { namingContext, names: { of: nameOf }, watched: this.#watched, warn, onRefused };
    return this.#inTurn(() => readObjects(this.#control, objectGUIDs, settings));
  }

  async givenTwice(position: Position): Promise<string | undefined> {
    try {
      return await this.#inTurn(() => givenTwice(this.#reads, position, this.#here));
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      this.#settings.warn(`${error.message}: a database that was put back would be noticed by other signs only`);
      return undefined;
    }
  }

  async vector(): Promise<Vector> {
    // Whatever is read after this was asked shows at least that much.
    const [rootDse, { replicated }] = await Promise.all([
      readRootDse(this.#control, ['highestCommittedUSN']),
      readNamingContext(this.#control, this.namingContext, this.#settings.warn),
    ]);
    return seenOn(this.#here, replicated, rootDse.usn('highestCommittedUSN'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#wakes.complete();
    await Promise.all([this.#reads[Symbol.asyncDispose](), this.#control[Symbol.asyncDispose]()]);
  }

  #readerFrom(position: Position | undefined, patience: number): Reader {
    const here = this.#here;
    const { pageSize, warn, method, onRefusal } = this.#settings;
    const settings = { here, pageSize, warn, patience, watched: this.#watched, scope: this.scope?.text ?? '' };
    if (method.source === 'dirsync') return new DirSyncReader(this.#reads, { ...settings, flags: method.flags, onRefusal }, position);
    const elsewhere = watermarksElsewhere(this.#stored, here, method);
    return new UsnReader(this.#reads, { ...settings, base: method.base, elsewhere }, position);
  }

  /** The answer does not matter: when there is none, the connection fails. A server busy with a read has its own time for that. */
  #beat(): void {
    if (this.#reader?.waiting !== true && this.scope?.waiting !== true) readRootDse(this.#control, ['highestCommittedUSN']).catch(() => {});
  }

  /** One connection is of no use without the other. */
  #end(error: DirectoryError): void {
    clearInterval(this.#heartbeat);
    this.#wakes.error(error);
    this.#reads.fail(error);
    this.#control.fail(error);
  }
}

function isRecent({ readAt }: Position): boolean {
  return Date.now() - Date.parse(readAt) < RECENT;
}
