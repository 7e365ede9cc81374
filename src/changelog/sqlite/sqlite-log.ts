import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { interval, merge, Observable, of, Subject, tap } from 'rxjs';
import type { ChangeEvent } from '../../../streams/change.ts';
import {
  type Batch,
  type ChangeLog,
  type ChangePage,
  FencedError,
  type JournalEntries,
  type ListenerLog,
  type ListenerRequest,
  LogError,
  type LogStatus,
  type Look,
  type RepairerLog,
} from '../../../streams/change-log.ts';
import { isNotice, type LogEvent } from '../../../streams/notice.ts';
import type { Repair } from '../../../streams/repair.ts';
import type { RepairAnswer, RepairRequest } from '../../../streams/repair-request.ts';
import { idOf, numbered, parsedEvent } from '../events.ts';
import { knownAccounts, knownRepairs, lookInto } from '../known.ts';
import { isLocked } from '../locked.ts';
import { asRepair, StateStore } from '../state-store.ts';
import { LEASE_SCHEMA, SqliteLease } from './lease.ts';

/** The history holds notices as well, which have no objectGUID. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS change (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, guid TEXT, time TEXT NOT NULL, value TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS repair_history (id INTEGER PRIMARY KEY, time TEXT NOT NULL, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS delivery (subscriber TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  ${LEASE_SCHEMA}
`;

interface Writer {
  readonly lost: AbortSignal;
  /** @throws FencedError when another one has taken over */
  readonly check: () => void;
  readonly close: () => void;
}

const PAGE_SIZE = 500;
/** Milliseconds between two looks for what another process appended. */
const POLL = 250;

/** The log in one SQLite file, for one machine: where no broker is configured. */
export class SqliteLog implements ChangeLog {
  readonly name: string;
  readonly #file: string;
  readonly #store: StateStore;
  readonly #isLook: boolean;
  readonly #onSetAside: (where: string, why: string) => void;
  readonly #appended = new Subject<void>();

  /**
   * @param file is created with its folder when missing, unless `create` is false: then a missing one is an empty log, and nothing
   * is written to the one that is there
   * @param onSetAside told of events that cannot be understood; they are passed over (SPEC rule 9)
   * @throws LogError when the file is not such a log
   */
  constructor(
    file: string,
    { create = true, onSetAside = () => {} }: { create?: boolean; onSetAside?: (where: string, why: string) => void } = {},
  ) {
    this.#onSetAside = onSetAside;
    this.name = `sqlite ${file}`;
    this.#file = file;
    this.#isLook = !create;
    try {
      if (create) mkdirSync(dirname(file), { recursive: true });
      this.#store = create ? new StateStore(file, { durable: true }) : StateStore.look(file);
      if (create) this.#store.database.exec(SCHEMA);
      // Whoever knows it by another name has the same locks beside it.
      if (create) this.#file = realpathSync(file);
    } catch (error) {
      throw this.#cannotOpen(error);
    }
  }

  async openListener(signal: AbortSignal, onStandby?: () => void): Promise<ListenerLog> {
    const writer = await this.#becomeWriter('listener', true, signal, onStandby);
    const store = this.#store;
    return {
      lost: writer.lost,
      ...knownAccounts(store),
      knows: (domain) => store.knows(domain),
      requests: async () => {
        writer.check();
        return store.requests();
      },
      append: async (batch) => this.#append(batch, writer.check),
      [Symbol.asyncDispose]: async () => writer.close(),
    };
  }

  async openRepairer(organization: string, signal: AbortSignal, onStandby?: () => void): Promise<RepairerLog> {
    // One that wakes may send a write to Customer Engagement that it had decided on before: no epoch stops that.
    const writer = await this.#becomeWriter(`repairer-${organization}`, false, signal, onStandby);
    const store = this.#store;
    return {
      lost: writer.lost,
      confirm: async () => writer.check(),
      changes: this.#changes(`repairer-${organization}`, writer.check),
      get baselined() {
        return store.positions().length > 0;
      },
      identity: (objectGUID) => store.identity(objectGUID),
      holder: (domain, name) => store.holder(domain, name),
      formerHolders: (domain, name) => store.formerHolders(domain, name),
      identities: () => store.identities(),
      get knownSequence() {
        return store.sequence;
      },
      refresh: async () => {},
      ...knownRepairs(store, organization),
      requests: async () => {
        writer.check();
        return store.openRequests(organization);
      },
      record: async (entries) => this.#record(entries, writer.check),
      [Symbol.asyncDispose]: async () => writer.close(),
    };
  }

  async replay(onEvents: (events: readonly LogEvent[]) => void | Promise<void>): Promise<void> {
    const end = this.#store.sequence;
    for (let next = 1; next <= end; ) {
      const page = this.#eventsFrom(next, end);
      if (page === undefined) return;
      if (page.events.length > 0) await onEvents(page.events);
      next = page.end + 1;
    }
  }

  async replayRepairs(onRepairs: (repairs: readonly Repair[]) => void | Promise<void>): Promise<void> {
    const end = Number(this.#store.sql('SELECT max(id) AS id FROM repair_history').get()?.id ?? 0);
    const page = 'SELECT id, value FROM repair_history WHERE id > ? AND id <= ? ORDER BY id LIMIT ?';
    for (let last = 0; last < end; ) {
      const rows = this.#store.sql(page).all(last, end, PAGE_SIZE);
      if (rows.length === 0) return;
      await onRepairs(rows.flatMap((row) => this.#parsed(`record ${String(row.id)} of the repairs`, () => asRepair(row))));
      last = Number(rows.at(-1)?.id);
    }
  }

  async status(): Promise<LogStatus> {
    return this.#now((store) => store.status());
  }

  async look(): Promise<Look> {
    try {
      const store = StateStore.look(this.#file);
      return lookInto(store, () => store[Symbol.dispose]());
    } catch (error) {
      throw this.#cannotOpen(error);
    }
  }

  async request(request: ListenerRequest): Promise<void> {
    this.#ask((store) => store.putRequest(request));
  }

  async requestRepair(...requests: readonly RepairRequest[]): Promise<void> {
    this.#ask((store) => {
      for (const request of requests) store.putRepairRequest(request);
    });
  }

  async answer(organization: string, systemuserid: string): Promise<RepairAnswer | undefined> {
    return this.#now((store) => store.answer(organization, systemuserid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#appended.complete();
    this.#store[Symbol.dispose]();
  }

  /** A file that nobody was at work on when it was opened for a look is read as it lay then. */
  #now<T>(read: (store: StateStore) => T): T {
    if (!this.#isLook) return read(this.#store);
    try {
      using store = StateStore.look(this.#file);
      return read(store);
    } catch (error) {
      throw this.#cannotOpen(error);
    }
  }

  #ask(put: (store: StateStore) => void): void {
    if (!this.#isLook) {
      this.#write(() => put(this.#store));
      return;
    }
    // Whoever only looks has the file open for reading.
    if (!existsSync(this.#file)) throw new LogError(`there is no ${this.#file}: the first listener or repairer creates it`);
    try {
      using store = new StateStore(this.#file, { durable: true });
      store.transaction(() => put(store));
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async #becomeWriter(role: string, isFencedWhole: boolean, signal: AbortSignal, onStandby?: () => void): Promise<Writer> {
    if (this.#isLook) throw new LogError(`${this.#file} is open for a look only`);
    const lease = await SqliteLease.acquire(this.#file, role, isFencedWhole, signal, onStandby).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#failed(error);
    });
    let closed = false;
    const check = () => {
      if (closed) throw new LogError(`the ${role} of ${this.#file} is closed`);
      lease.check();
    };
    const close = () => {
      closed = true;
      lease[Symbol.dispose]();
    };
    return { lost: lease.lost, check, close };
  }

  #append(batch: Batch, check: () => void): ChangeEvent[] {
    const store = this.#store;
    const { notices, changes } = this.#write(() => {
      check();
      const entries = numbered(batch, store.sequence);
      const insert = store.sql('INSERT INTO change (sequence, id, kind, guid, time, value) VALUES (?, ?, ?, ?, ?, ?)');
      for (const notice of entries.notices) {
        insert.run(notice.sequence, idOf(notice), notice.kind, null, notice.time, JSON.stringify(notice));
      }
      for (const event of entries.changes) {
        insert.run(event.sequence, idOf(event), event.kind, event.objectGUID, event.observed.time, JSON.stringify(event));
      }
      store.putBatch(batch, entries, new Date().toISOString());
      return entries;
    });
    if (notices.length + changes.length > 0) this.#appended.next();
    return [...changes];
  }

  #record({ repairs = [], links = [], answers = [] }: JournalEntries, check: () => void): void {
    this.#write(() => {
      check();
      for (const answer of answers) this.#store.putAnswer(answer);
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

  #cannotOpen(error: unknown): LogError {
    if (error instanceof LogError) return error;
    const message = error instanceof Error ? error.message : String(error);
    const advice = isLocked(error) ? ': somebody keeps it locked; stop what is frozen, or try again' : '';
    return new LogError(`cannot open ${this.#file} as a log: ${message}${advice}`, { cause: error });
  }

  /** @returns what can be understood of the next page, and the sequence of its last row; undefined when there is none */
  #eventsFrom(first: number, last: number): { events: LogEvent[]; end: number } | undefined {
    const rows = this.#store
      .sql('SELECT sequence, value FROM change WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?')
      .all(first, last, PAGE_SIZE);
    const end = rows.at(-1)?.sequence;
    if (end === undefined) return undefined;
    const events = rows.flatMap((row) => this.#parsed(`event ${String(row.sequence)}`, () => parsedEvent(String(row.value))));
    return { events, end: Number(end) };
  }

  /** Nothing, after that is told, where it cannot be understood (SPEC rule 9). */
  #parsed<T>(what: string, parse: () => T): T[] {
    try {
      return [parse()];
    } catch (error) {
      this.#onSetAside(`${what} of ${this.#file}`, reasonOf(error));
      return [];
    }
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
      const look = (): void => {
        if (waiting) return;
        const page = this.#eventsFrom(delivered() + 1, Number.MAX_SAFE_INTEGER);
        if (page === undefined) return;
        const changes = page.events.filter((event) => !isNotice(event));
        if (changes.length === 0) {
          acknowledge(page.end);
          look();
          return;
        }
        waiting = true;
        const ack = async () => {
          acknowledge(page.end);
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

/** The first thing that is wrong with it, in short. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s+/g, ' ').slice(0, 200);
}
