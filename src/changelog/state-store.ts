import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import type { z } from 'zod';
import { ChangeEvent, releasedName } from '../../streams/change.ts';
import { type Batch, type KnownAccounts, ListenerRequest, LogError, type LogStatus } from '../../streams/change-log.ts';
import { Identity, nameKey } from '../../streams/identity.ts';
import { isNotice, type LogEvent } from '../../streams/notice.ts';
import { Origins } from '../../streams/origin.ts';
import { isReadWhole, Position } from '../../streams/position.ts';
import { isOpen, Link, Repair } from '../../streams/repair.ts';
import { RepairAnswer, RepairRequest } from '../../streams/repair-request.ts';
import type { Entries } from './events.ts';
import { isLocked } from './locked.ts';
import { SCHEMA, SCHEMA_VERSION } from './state-schema.ts';

/** How many objectGUIDs are loaded at once. */
const PAGE_SIZE = 1_000;

/** How often, and after how many milliseconds, a new file is tried again that another process is just making. */
const WAL_TRIES = 100;
const WAL_PAUSE = 20;

/** The character that follows `\\`. */
const AFTER_BACKSLASH = ']';

/**
 * What is known, in one SQLite file, so that memory stays flat however many identities there are. For the SQLite log it is
 * part of the log; for the Kafka log it is a cache of the topics that stands at an offset of each.
 */
export class StateStore implements KnownAccounts, Disposable {
  readonly database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * @param file path, ':memory:', or '' for a temporary one without a name
   * @param durable whether a commit must survive a power cut (a log) or may be lost and read again (a cache)
   * @param readOnly for a look: takes no lock and writes nothing, so that whoever is at work is neither waited for nor kept waiting
   */
  constructor(file: string, { durable, readOnly = false }: { durable: boolean; readOnly?: boolean }) {
    this.database = new DatabaseSync(readOnly ? asItLies(file) : file, { timeout: 10_000, readOnly });
    try {
      if (readOnly) {
        if (!this.isEmpty) this.#checkSchema(file, this.meta('schema'));
        return;
      }
      this.#useWal();
      this.database.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'NORMAL'}; PRAGMA cache_size = -4000;`);
      this.transaction(() => {
        this.database.exec(SCHEMA);
        this.#checkSchema(file, this.meta('schema') ?? SCHEMA_VERSION);
        this.setMeta('schema', SCHEMA_VERSION);
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** SQLite does not wait for others at this point, whatever its time-out is. */
  #useWal(): void {
    for (let tries = 0; ; tries++) {
      try {
        this.database.exec('PRAGMA journal_mode = WAL');
        return;
      } catch (error) {
        if (tries >= WAL_TRIES || !isLocked(error)) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAL_PAUSE);
      }
    }
  }

  /** What a file holds; one that is not there, or that somebody is just making, holds nothing. */
  static look(file: string): StateStore {
    const store = existsSync(file) ? new StateStore(file, { durable: true, readOnly: true }) : undefined;
    if (store !== undefined && !store.isEmpty) return store;
    store?.[Symbol.dispose]();
    return new StateStore(':memory:', { durable: false });
  }

  /** Not even a table is there. */
  get isEmpty(): boolean {
    return this.database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  }

  #checkSchema(file: string, version: string | undefined): void {
    if (version === SCHEMA_VERSION) return;
    throw new LogError(`${file} was written by another version of Namesake (its schema is ${version}, this one's ${SCHEMA_VERSION})`);
  }

  /** Reads the whole file. @throws when it is damaged */
  check(): void {
    const [first] = this.database.prepare('PRAGMA quick_check(1)').all();
    if (first?.quick_check !== 'ok') throw new LogError(`the file is damaged: ${String(first?.quick_check)}`);
  }

  /** Prepares a statement once. */
  sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** All or nothing. Takes the write lock at once, so that two processes wait for each other and never fail half-way. */
  transaction<T>(body: () => T): T {
    this.database.exec('BEGIN IMMEDIATE');
    try {
      const result = body();
      this.database.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK');
      throw error;
    }
  }

  identity(objectGUID: string): Identity | undefined {
    return parsed(Identity, this.sql('SELECT value FROM identity WHERE guid = ?').get(objectGUID));
  }

  /** When a swap is known half, two accounts have the name: the one that took it last. */
  holder(domain: string, sAMAccountName: string): string | undefined {
    const query = 'SELECT guid AS value FROM identity WHERE name = ? ORDER BY sequence DESC LIMIT 1';
    return text(this.sql(query).get(fullName(domain, sAMAccountName)));
  }

  formerHolder(domain: string, sAMAccountName: string): string | undefined {
    return this.formerHolders(domain, sAMAccountName)[0];
  }

  /** All accounts that are known to have given up this name, the last one first. */
  formerHolders(domain: string, sAMAccountName: string): string[] {
    const query = 'SELECT guid FROM released WHERE name = ? ORDER BY sequence DESC';
    return this.sql(query)
      .all(fullName(domain, sAMAccountName))
      .map(({ guid }) => String(guid));
  }

  origins(objectGUID: string): Origins {
    const query = 'SELECT origins AS value FROM identity WHERE guid = ?';
    return parsed(Origins, this.sql(query).get(objectGUID)) ?? {};
  }

  /** How many identities of this domain are known; the index has them by their names. */
  count(domain: string): number {
    return Number(this.sql('SELECT count(*) AS value FROM identity WHERE name >= ? AND name < ?').get(...namesOf(domain))?.value);
  }

  /** Whether any identity of this domain is known. */
  knows(domain: string): boolean {
    return this.sql('SELECT 1 FROM identity WHERE name >= ? AND name < ? LIMIT 1').get(...namesOf(domain)) !== undefined;
  }

  /**
   * In the order in which they became known, which nothing changes: whatever is stored between two steps, each account that is of
   * the domain all the time comes once.
   */
  *objectGUIDs(domain: string): Generator<string> {
    // Read in the order of the table; the plus signs keep it from being looked for by name and sorted for each page.
    const query = 'SELECT rowid, guid FROM identity WHERE rowid > ? AND +name >= ? AND +name < ? ORDER BY rowid LIMIT ?';
    for (let last = 0; ; ) {
      const rows = this.sql(query).all(last, ...namesOf(domain), PAGE_SIZE);
      for (const { guid } of rows) yield String(guid);
      if (rows.length < PAGE_SIZE) return;
      last = Number(rows.at(-1)?.rowid);
    }
  }

  /** All of them, page by page; others have their turn in between. */
  async *identities(): AsyncGenerator<Identity[]> {
    const query = 'SELECT rowid, value FROM identity WHERE rowid > ? AND value IS NOT NULL ORDER BY rowid LIMIT ?';
    for (let last = 0; ; ) {
      const rows = this.sql(query).all(last, PAGE_SIZE);
      yield rows.map((row) => Identity.parse(JSON.parse(String(row.value))));
      if (rows.length < PAGE_SIZE) return;
      last = Number(rows.at(-1)?.rowid);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * Identities, events and released names may come in any order and more than once: the latest one stays. Of an account that is
   * gone the sequence stays, so that no older report brings it back.
   *
   * @param sequence the last event of the log when this was so
   * @param origins of the identity; absent where only an event tells of it: then those that are known of the same event stay
   */
  putIdentity(objectGUID: string, identity: Identity | null, sequence: number, origins?: Origins): void {
    const name = identity && fullName(identity.domain, identity.sAMAccountName);
    const kept = 'CASE WHEN excluded.sequence > sequence THEN NULL ELSE origins END';
    this.sql(
      `INSERT INTO identity (guid, sequence, name, value, origins) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (guid) DO UPDATE SET sequence = excluded.sequence, name = excluded.name, value = excluded.value,
         origins = ${origins === undefined ? kept : 'excluded.origins'}
       WHERE excluded.sequence >= sequence`,
    ).run(objectGUID, sequence, name, identity && JSON.stringify(identity), isEmpty(origins) ? null : JSON.stringify(origins));
  }

  /** One event by itself, as the history tells it: in any order, and more than once. */
  putEvent(event: LogEvent): void {
    if (!isNotice(event)) {
      this.learn(event);
      this.#putLastEvent(event);
    }
    this.putSequence(event.sequence);
  }

  /** What an event says of its account. That all events before it are known as well is not said. */
  learn(event: ChangeEvent): void {
    this.putIdentity(event.objectGUID, event.after, event.sequence);
    this.#putReleasedName(event);
  }

  /**
   * What the only writer of identities makes known at once.
   *
   * @param time when its position was stored, ISO 8601
   */
  putBatch({ identities, origins, position }: Batch, { changes, last, sequences }: Entries, time: string): void {
    for (const event of changes) this.#putReleasedName(event);
    for (const [objectGUID, identity] of identities) {
      this.putIdentity(objectGUID, identity, sequences.get(objectGUID) ?? 0, origins?.get(objectGUID) ?? {});
    }
    const event = changes.at(-1);
    if (event !== undefined) this.#putLastEvent(event);
    this.putSequence(last);
    if (position !== undefined) this.putPosition(position, time);
  }

  /** Remembers who gave up a name, if somebody did. */
  #putReleasedName(event: ChangeEvent): void {
    const released = releasedName(event);
    if (released === undefined) return;
    this.sql(
      `INSERT INTO released (name, guid, sequence) VALUES (?, ?, ?)
       ON CONFLICT (name, guid) DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence >= sequence`,
    ).run(fullName(released.domain, released.sAMAccountName), event.objectGUID, event.sequence);
  }

  /** Notices are numbered as well, so the last event says nothing about the last change. */
  #putLastEvent(event: ChangeEvent): void {
    if (event.sequence < Number(this.meta('last-change') ?? 0)) return;
    this.setMeta('last-event', JSON.stringify(event));
    this.setMeta('last-change', String(event.sequence));
  }

  /** The last change, whatever was noted after it. */
  get lastEvent(): ChangeEvent | undefined {
    const event = this.meta('last-event');
    return event === undefined ? undefined : ChangeEvent.parse(JSON.parse(event));
  }

  /** The sequence of the last event, change or notice, that this store knows of. The event itself may have left the log meanwhile. */
  get sequence(): number {
    return Number(this.meta('sequence') ?? 0);
  }

  putSequence(sequence: number): void {
    if (sequence > this.sequence) this.setMeta('sequence', String(sequence));
  }

  /** Also one that only says that the first read has begun. */
  position(namingContext: string): Position | undefined {
    return parsed(Position, this.sql('SELECT value FROM position WHERE naming_context = ?').get(namingContext));
  }

  /** Of directories that were read to their ends. */
  positions(): (Position & { time: string })[] {
    return this.sql('SELECT time, value FROM position')
      .all()
      .map((row) => ({ ...Position.parse(JSON.parse(String(row.value))), time: String(row.time) }))
      .filter(isReadWhole);
  }

  putPosition(position: Position, time: string): void {
    this.sql('INSERT OR REPLACE INTO position (naming_context, time, value) VALUES (?, ?, ?)').run(
      position.namingContext,
      time,
      JSON.stringify(position),
    );
  }

  /** The last one of each kind for each naming context. */
  requests(): ListenerRequest[] {
    return this.sql('SELECT value FROM request')
      .all()
      .map((row) => ListenerRequest.parse(JSON.parse(String(row.value))));
  }

  putRequest(request: ListenerRequest): void {
    const { kind, namingContext } = request;
    this.sql('INSERT OR REPLACE INTO request (kind, naming_context, value) VALUES (?, ?, ?)').run(
      kind,
      namingContext,
      JSON.stringify(request),
    );
  }

  repair(organization: string, systemuserid: string): Repair | undefined {
    return parsed(Repair, this.sql('SELECT value FROM repair WHERE organization = ? AND systemuserid = ?').get(organization, systemuserid));
  }

  openRepairs(organization: string): Repair[] {
    return this.sql('SELECT value FROM repair WHERE organization = ? AND open = 1').all(organization).map(asRepair);
  }

  repairs(): Repair[] {
    return this.sql('SELECT value FROM repair').all().map(asRepair);
  }

  putRepair(repair: Repair): void {
    this.sql('INSERT OR REPLACE INTO repair (organization, systemuserid, open, value) VALUES (?, ?, ?, ?)').run(
      repair.organization,
      repair.systemuserid,
      isOpen(repair) ? 1 : 0,
      JSON.stringify(repair),
    );
  }

  link(organization: string, objectGUID: string): Link | undefined {
    const link = parsed(Link, this.sql('SELECT value FROM link WHERE organization = ? AND guid = ?').get(organization, objectGUID));
    return link?.denied ? undefined : link;
  }

  linkOfRecord(organization: string, systemuserid: string): Link | undefined {
    return this.#linksOfRecord(organization, systemuserid).find(({ denied }) => !denied);
  }

  isDenied(organization: string, objectGUID: string, systemuserid: string): boolean {
    return this.#linksOfRecord(organization, systemuserid).some((link) => link.denied === true && link.objectGUID === objectGUID);
  }

  links(organization: string): Link[] {
    return this.sql('SELECT value FROM link WHERE organization = ?')
      .all(organization)
      .map(asLink)
      .filter(({ denied }) => !denied);
  }

  #linksOfRecord(organization: string, systemuserid: string): Link[] {
    return this.sql('SELECT value FROM link WHERE organization = ? AND systemuserid = ?').all(organization, systemuserid).map(asLink);
  }

  putLink(link: Link): void {
    this.sql('INSERT OR REPLACE INTO link (organization, guid, systemuserid, value) VALUES (?, ?, ?, ?)').run(
      link.organization,
      link.objectGUID,
      link.systemuserid,
      JSON.stringify(link),
    );
  }

  /** Those of an organization that were not answered yet. */
  openRequests(organization: string): RepairRequest[] {
    const query = `SELECT r.value FROM repair_request r LEFT JOIN repair_answer a USING (organization, systemuserid)
      WHERE organization = ? AND (a.value IS NULL OR a.value ->> 'id' <> r.value ->> 'id')`;
    return this.sql(query)
      .all(organization)
      .map((row) => RepairRequest.parse(JSON.parse(text(row) ?? 'null')));
  }

  answer(organization: string, systemuserid: string): RepairAnswer | undefined {
    const query = 'SELECT value FROM repair_answer WHERE organization = ? AND systemuserid = ?';
    return parsed(RepairAnswer, this.sql(query).get(organization, systemuserid));
  }

  putRepairRequest(request: RepairRequest): void {
    const { organization, systemuserid } = request;
    const put = 'INSERT OR REPLACE INTO repair_request (organization, systemuserid, value) VALUES (?, ?, ?)';
    this.sql(put).run(organization, systemuserid, JSON.stringify(request));
  }

  putAnswer(answer: RepairAnswer): void {
    const { organization, systemuserid } = answer;
    const put = 'INSERT OR REPLACE INTO repair_answer (organization, systemuserid, value) VALUES (?, ?, ?)';
    this.sql(put).run(organization, systemuserid, JSON.stringify(answer));
  }

  meta(key: string): string | undefined {
    return text(this.sql('SELECT value FROM meta WHERE key = ?').get(key));
  }

  setMeta(key: string, value: string): void {
    this.sql('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run(key, value);
  }

  status(): LogStatus {
    return {
      positions: this.positions(),
      sequence: this.sequence,
      identities: this.#count('SELECT count(value) AS value FROM identity'),
      lastEvent: this.lastEvent,
      repairs: this.repairs(),
      requests: this.requests(),
      links: this.#count("SELECT count(*) AS value FROM link WHERE value ->> 'denied' IS NULL"),
    };
  }

  #count(query: string): number {
    return Number(this.sql(query).get()?.value);
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.database.isOpen) this.database.close();
  }
}

/**
 * Where nobody is at work on a file there is no write-ahead log beside it. Then it is read as it lies: a plain look would leave such
 * files behind, of whoever looked, and could keep the next writer out.
 */
function asItLies(file: string): string | URL {
  if (existsSync(`${file}-wal`)) return file;
  const url = pathToFileURL(resolve(file));
  url.search = 'immutable=1';
  return url;
}

function fullName(domain: string, sAMAccountName: string): string {
  return nameKey(`${domain}\\${sAMAccountName}`);
}

/** Between which names those of a domain are, the second one excluded. */
function namesOf(domain: string): [from: string, to: string] {
  return [fullName(domain, ''), `${nameKey(domain)}${AFTER_BACKSLASH}`];
}

function isEmpty(origins: Origins | undefined): boolean {
  return origins === undefined || Object.keys(origins).length === 0;
}

type Row = Record<string, unknown> | undefined;

function text(row: Row): string | undefined {
  const value = row?.value;
  return typeof value === 'string' ? value : undefined;
}

function parsed<T>(schema: z.ZodType<T>, row: Row): T | undefined {
  const value = text(row);
  return value === undefined ? undefined : schema.parse(JSON.parse(value));
}

function asLink(row: Row): Link {
  return Link.parse(JSON.parse(text(row) ?? 'null'));
}

export function asRepair(row: Row): Repair {
  return Repair.parse(JSON.parse(text(row) ?? 'null'));
}
