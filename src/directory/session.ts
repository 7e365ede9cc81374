import { type Observable, ReplaySubject } from 'rxjs';
import type { DirectoryError, DirectorySession, PageReader, WholeObject } from '../../streams/directory-source.ts';
import type { Vector } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import type { LdapConnection } from './connection.ts';
import { DirSyncReader } from './dirsync.ts';
import { DomainControllerNames } from './domain-controllers.ts';
import type { Warn } from './entry.ts';
import { readNamingContext } from './naming-context.ts';
import { registerNotification } from './notification.ts';
import { readObjects } from './objects.ts';
import { type DomainController, readRootDse } from './root-dse.ts';

export interface SessionSettings {
  readonly pageSize: number;
  /** Milliseconds that the first entry may take where much is to be expected. */
  readonly patience: number;
  /** Milliseconds between two questions on the connection that otherwise only waits. */
  readonly heartbeat: number;
  readonly warn: Warn;
  readonly passedOver?: DirectorySession['passedOver'];
}

/**
 * Two connections to one domain controller: `reads` has nothing but the DirSync read, since it stands still while its
 * reader is busy; `control` has the change notification and everything that is answered at once.
 */
export class LdapSession implements DirectorySession {
  readonly via = 'dirsync';
  readonly limits: readonly string[] = [];
  readonly namingContext: string;
  readonly domain: string;
  readonly dc: string;
  readonly passedOver: DirectorySession['passedOver'];
  readonly invocationId: string;
  readonly tombstoneLifetime: number;
  readonly resume: DirectorySession['resume'];
  readonly wakes: Observable<void>;
  readonly #reads: LdapConnection;
  readonly #control: LdapConnection;
  readonly #here: DomainController;
  readonly #settings: SessionSettings;
  readonly #names: DomainControllerNames;
  /** Replays, so that neither a wake nor a loss before the subscription is missed. */
  readonly #wakes = new ReplaySubject<void>(1);
  readonly #heartbeat: NodeJS.Timeout;
  #reader: DirSyncReader | undefined;

  private constructor(
    reads: LdapConnection,
    control: LdapConnection,
    here: DomainController,
    resume: DirectorySession['resume'],
    settings: SessionSettings,
  ) {
    this.#reads = reads;
    this.#control = control;
    this.#here = here;
    this.#settings = settings;
    this.#names = new DomainControllerNames(control, { ...here, warn: settings.warn });
    this.namingContext = here.namingContext;
    this.domain = here.domain;
    this.dc = here.dc;
    this.passedOver = settings.passedOver ?? [];
    this.invocationId = here.invocationId;
    this.tombstoneLifetime = here.tombstoneLifetime;
    this.resume = resume;
    this.wakes = this.#wakes.asObservable();
    this.#heartbeat = setInterval(() => this.#beat(), settings.heartbeat);
    for (const connection of [reads, control]) void connection.lost.then((error) => this.#end(error));
  }

  /** @throws DirectoryError; the connections are the caller's until this resolves */
  static async start(
    reads: LdapConnection,
    control: LdapConnection,
    here: DomainController,
    resume: DirectorySession['resume'],
    settings: SessionSettings,
  ): Promise<LdapSession> {
    const session = new LdapSession(reads, control, here, resume, settings);
    try {
      await registerNotification(control, here.namingContext, () => session.#wakes.next());
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
    return session;
  }

  read(position: Position | undefined): PageReader {
    // Samba collects all entries before it sends one (0.8 s for 10,000 users). Only a full read and the first one of a session,
    // after an absence of any length, can be that large; the opening has just shown that the server is alive.
    const patience = position === undefined || this.#reader === undefined ? this.#settings.patience : this.#reads.deadline;
    this.#reader?.abandon();
    this.#reader = new DirSyncReader(this.#reads, { ...this.#settings, here: this.#here, patience }, position);
    return this.#reader;
  }

  readObjects(objectGUIDs: readonly string[]): Promise<Map<string, WholeObject>> {
    const { namingContext } = this;
    return readObjects(this.#control, objectGUIDs, { namingContext, names: this.#names, warn: this.#settings.warn });
  }

  async vector(): Promise<Vector> {
    // Whatever is read after this was asked shows at least that much.
    const [rootDse, { replicated }] = await Promise.all([
      readRootDse(this.#control, ['highestCommittedUSN']),
      readNamingContext(this.#control, this.namingContext, this.#settings.warn),
    ]);
    return { ...replicated, [this.invocationId]: rootDse.usn('highestCommittedUSN') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#wakes.complete();
    await Promise.all([this.#reads[Symbol.asyncDispose](), this.#control[Symbol.asyncDispose]()]);
  }

  /** The answer does not matter: when there is none, the connection fails. A server busy with a read has its own time for that. */
  #beat(): void {
    if (this.#reader?.waiting !== true) readRootDse(this.#control, ['highestCommittedUSN']).catch(() => {});
  }

  /** One connection is of no use without the other. */
  #end(error: DirectoryError): void {
    clearInterval(this.#heartbeat);
    this.#wakes.error(error);
    this.#reads.fail(error);
    this.#control.fail(error);
  }
}
