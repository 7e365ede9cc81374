import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { z } from 'zod';
import type { Value } from './columns.ts';
import type { Row } from './matching.ts';

const Mapping = z.object({ objectGUID: z.string(), objectSid: z.string() });
/** What a record holds of its AD account besides the name; the API never shows it. */
export type Mapping = z.infer<typeof Mapping>;

const UserRecord = z.object({
  id: z.string(),
  version: z.number(),
  columns: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  mapping: Mapping.nullable(),
  formerAccounts: z.array(z.string()).optional(),
});
/** A systemuser record, never changed in place. */
export interface UserRecord {
  /** systemuserid, lower case. */
  readonly id: string;
  /** The row version: what ETags show. */
  readonly version: number;
  readonly columns: Readonly<Record<string, Value>>;
  readonly mapping: Mapping | null;
  /** objectGUIDs of the accounts that it had, where the settings keep them. */
  readonly formerAccounts?: readonly string[] | undefined;
}

/** What the API shows of a record, hidden columns excepted. */
export function row(record: UserRecord): Row {
  return (column) => {
    if (column === 'systemuserid' || column === 'ownerid') return record.id;
    if (column === 'versionnumber') return record.version;
    return record.columns[column] ?? null;
  };
}

export function domainNameOf(record: UserRecord): string {
  const name = record.columns.domainname;
  return typeof name === 'string' ? name : '';
}

/**
 * All records, in memory and in a file of one line per write. A write is in the file before it can be answered, so it
 * survives the death of the process; with `fsync` it survives that of the machine too.
 */
export class Records {
  readonly #file: number;
  readonly #fsync: boolean;
  readonly #byId = new Map<string, UserRecord>();
  readonly #byGuid = new Map<string, string>();
  readonly #byName = new Map<string, Set<string>>();
  #version = 1_000_000;

  constructor(path: string, options: { fsync: boolean }) {
    for (const record of readLines(path)) this.#remember(record);
    // Starts with a file of its own making: one line per record, and no torn line at its end.
    writeFileSync(`${path}.new`, [...this.#byId.values()].map((record) => `${JSON.stringify(record)}\n`).join(''));
    renameSync(`${path}.new`, path);
    this.#file = openSync(path, 'a', 0o600);
    this.#fsync = options.fsync;
  }

  get(id: string): UserRecord | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<UserRecord> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The record that holds this AD account, disabled or not. */
  holder(objectGUID: string): UserRecord | undefined {
    const id = this.#byGuid.get(objectGUID);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /** The record that had this AD account before, where that is kept. */
  formerHolder(objectGUID: string): UserRecord | undefined {
    for (const record of this.#byId.values()) if (record.formerAccounts?.includes(objectGUID)) return record;
    return undefined;
  }

  /** The records that show this name; the database has an index for it, and so has this. */
  named(domainname: string): UserRecord[] {
    return [...(this.#byName.get(domainname.toLowerCase()) ?? [])].flatMap((id) => this.#byId.get(id) ?? []);
  }

  nextVersion(): number {
    this.#version += 1;
    return this.#version;
  }

  /** Writes records, each whole; all of them with one system call. */
  put(...records: readonly UserRecord[]): void {
    writeSync(this.#file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    if (this.#fsync) fdatasyncSync(this.#file);
    for (const record of records) this.#remember(record);
  }

  close(): void {
    closeSync(this.#file);
  }

  #remember(record: UserRecord): void {
    const before = this.#byId.get(record.id);
    if (before !== undefined) {
      if (before.mapping !== null) this.#byGuid.delete(before.mapping.objectGUID);
      this.#byName.get(domainNameOf(before).toLowerCase())?.delete(record.id);
    }
    this.#byId.set(record.id, record);
    if (record.mapping !== null) this.#byGuid.set(record.mapping.objectGUID, record.id);
    const name = domainNameOf(record).toLowerCase();
    const sharers = this.#byName.get(name);
    if (sharers === undefined) this.#byName.set(name, new Set([record.id]));
    else sharers.add(record.id);
    this.#version = Math.max(this.#version, record.version);
  }
}

function readLines(path: string): UserRecord[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  // What follows the last line end was being written when the process died, so nobody was told about it.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => UserRecord.parse(JSON.parse(line)));
}
