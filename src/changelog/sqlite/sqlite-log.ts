import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { interval, merge, Observable, of, Subject, tap } from 'rxjs';
import { ChangeEvent, eventId } from '../../../streams/change.ts';
import {
  type Batch,
  type ChangeLog,
  type ChangePage,
  FencedError,
  type ListenerLog,
  LogError,
  type LogStatus,
  type RepairerLog,
} from '../../../streams/change-log.ts';
import type { Link, Repair } from '../../../streams/repair.ts';
import { FileLease } from '../file-lease.ts';
import { numbered, StateStore, sequencesOf } from '../state-store.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS change (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, guid TEXT NOT NULL, time TEXT NOT NULL, value TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS repair_history (id INTEGER PRIMARY KEY, time TEXT NOT NULL, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS delivery (subscriber TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS writer (role TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

const PAGE_SIZE = 500;
/** Milliseconds between two looks for what another process appended. */
const POLL = 250;

/** The log in one SQLite file, for one machine: where no broker is configured. */
export class SqliteLog implements ChangeLog {
  readonly name: string;
  readonly #file: string;
  readonly #store: StateStore;
  readonly #appended = new Subject<void>();

  /**
   * @param file is created with its folder when missing, unless `create` is false: then a missing one is an empty log, and nothing
   * is written to the one that is there
   * @throws LogError when the file is not such a log
   */
  constructor(file: string, { create = true } = {}) {
    this.name = `sqlite ${file}`;
    this.#file = file;
    try {
      if (create) mkdirSync(dirname(file), { recursive: true });
      this.#store = create ? new StateStore(file, { durable: true }) : StateStore.look(file);
      if (create) this.#store.database.exec(SCHEMA);
    } catch (error) {
      if (error instanceof LogError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new LogError(`cannot open ${file} as a log: ${why}`, { cause: error });
    }
  }

  async openListener(signal: AbortSignal): Promise<ListenerLog> {
    const writer = await this.#becomeWriter('listener', signal);
    const store = this.#store;
    return {
      lost: new AbortController().signal,
      position: (namingContext) => store.position(namingContext),
      count: () => store.count('identity'),
      knows: (domain) => store.knows(domain),
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      formerHolder: (domain, name) => store.formerHolder(domain, name),
      append: async (batch) => this.#append(batch, writer.check),
      [Symbol.asyncDispose]: async () => writer.close(),
    };
  }

  async openRepairer(organization: string, signal: AbortSignal): Promise<RepairerLog> {
    const writer = await this.#becomeWriter(`repairer-${organization}`, signal);
    const store = this.#store;
    return {
      lost: new AbortController().signal,
      confirm: async () => writer.check(),
      changes: this.#changes(`repairer-${organization}`, writer.check),
      get baselined() {
        return store.positions().length > 0;
      },
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      formerHolders: (domain, name) => store.formerHolders(domain, name),
      get knownSequence() {
        return store.sequence;
      },
      refresh: async () => {},
      link: (objectGUID) => store.link(organization, objectGUID),
      linkOfRecord: (systemuserid) => store.linkOfRecord(organization, systemuserid),
      repair: (systemuserid) => store.repair(organization, systemuserid),
      openRepairs: () => store.openRepairs(organization),
      record: async (entries) => this.#record(entries, writer.check),
      [Symbol.asyncDispose]: async () => writer.close(),
    };
  }

  async replay(onEvents: (events: readonly ChangeEvent[]) => void | Promise<void>): Promise<void> {
    const end = this.#store.sequence;
    for (let next = 1; next <= end; ) {
      const events = this.#eventsFrom(next, end);
      if (events.length === 0) return;
      await onEvents(events);
      next = (events.at(-1)?.sequence ?? end) + 1;
    }
  }

  async status(): Promise<LogStatus> {
    return this.#store.status();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#appended.complete();
    this.#store[Symbol.dispose]();
  }

  /** The lease keeps others waiting; the epoch stops whoever lost the lease without noticing. */
  async #becomeWriter(role: string, signal: AbortSignal): Promise<{ check: () => void; close: () => void }> {
    const lease = await FileLease.acquire(`${this.#file}-${role}.lock`, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#failed(error);
    });
    let closed = false;
    const close = () => {
      closed = true;
      lease[Symbol.dispose]();
    };
    try {
      const epoch = this.#write(() => {
        const upsert = 'INSERT INTO writer (role, epoch) VALUES (?, 1) ON CONFLICT (role) DO UPDATE SET epoch = epoch + 1 RETURNING epoch';
        return Number(this.#store.sql(upsert).get(role)?.epoch);
      });
      const check = () => {
        if (closed) throw new LogError(`the ${role} of ${this.#file} is closed`);
        const current = Number(this.#store.sql('SELECT epoch FROM writer WHERE role = ?').get(role)?.epoch);
        if (current !== epoch) throw new FencedError(`another ${role} writes to ${this.#file}`);
      };
      return { check, close };
    } catch (error) {
      close();
      throw error;
    }
  }

  #append(batch: Batch, check: () => void): ChangeEvent[] {
    const store = this.#store;
    const events = this.#write(() => {
      check();
      const before = store.sequence;
      const numberedEvents = numbered(batch.changes, before);
      const insert = store.sql('INSERT INTO change (sequence, id, kind, guid, time, value) VALUES (?, ?, ?, ?, ?, ?)');
      for (const event of numberedEvents) {
        insert.run(event.sequence, eventId(event), event.kind, event.objectGUID, event.observed.time, JSON.stringify(event));
      }
      const sequences = sequencesOf(batch.identities.keys(), numberedEvents, before);
      store.putBatch(batch, numberedEvents, sequences, new Date().toISOString());
      return numberedEvents;
    });
    if (events.length > 0) this.#appended.next();
    return events;
  }

  #record({ repairs = [], links = [] }: { repairs?: readonly Repair[]; links?: readonly Link[] }, check: () => void): void {
    this.#write(() => {
      check();
      for (const link of links) this.#store.putLink(link);
      for (const repair of repairs) {
        this.#store.putRepair(repair);
        this.#store.sql('INSERT INTO repair_history (time, value) VALUES (?, ?)').run(repair.at, JSON.stringify(repair));
      }
    });
  }

  #write<T>(body: () => T): T {
    try {
      return this.#store.transaction(body);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): FencedError | LogError {
    if (error instanceof FencedError || error instanceof LogError) return error;
    return new LogError(`${this.#file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }

  #eventsFrom(first: number, last: number): ChangeEvent[] {
    const rows = this.#store
      .sql('SELECT value FROM change WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?')
      .all(first, last, PAGE_SIZE);
    return rows.map((row) => ChangeEvent.parse(JSON.parse(String(row.value))));
  }

  #changes(group: string, check: () => void): Observable<ChangePage> {
    const delivered = () => Number(this.#store.sql('SELECT sequence FROM delivery WHERE subscriber = ?').get(group)?.sequence ?? 0);
    const acknowledge = (sequence: number) =>
      this.#write(() => {
        check();
        this.#store.sql('INSERT OR REPLACE INTO delivery (subscriber, sequence) VALUES (?, ?)').run(group, sequence);
      });
    return new Observable<ChangePage>((subscriber) => {
      const acknowledged = new Subject<void>();
      let waiting = false;
      const look = () => {
        if (waiting) return;
        const changes = this.#eventsFrom(delivered() + 1, Number.MAX_SAFE_INTEGER);
        const last = changes.at(-1);
        if (last === undefined) return;
        waiting = true;
        const ack = async () => {
          acknowledge(last.sequence);
          waiting = false;
          acknowledged.next();
        };
        subscriber.next({ changes, ack });
      };
      const looks = merge(of(undefined), this.#appended, acknowledged, interval(POLL)).pipe(tap(look));
      return looks.subscribe({ error: (error) => subscriber.error(this.#failed(error)) });
    });
  }
}
