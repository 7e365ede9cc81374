import { closeSync, openSync, writeSync } from 'node:fs';

/** One request as it went. */
export interface RequestEntry {
  readonly number: number;
  /** When it arrived, ISO 8601 in UTC. */
  readonly time: string;
  /** When it arrived and when its answer was handed over, in milliseconds since 1970 with fractions. */
  readonly arrived: number;
  readonly answered: number;
  /** The difference of the two. */
  readonly duration: number;
  readonly method: string;
  /** Path and query, as sent. */
  readonly path: string;
  /** Null: no status was sent. */
  readonly status: number | null;
  /** How the caller proved who it is; null when it did not. Never a secret. */
  readonly who: string | null;
  readonly ifMatch: string | null;
  /** Body of a write. */
  readonly body: string | null;
  /** CE's error code, such as 0x80041d2c. */
  readonly code: string | null;
  /** Kinds of the injected faults that took part. */
  readonly faults: readonly string[];
  readonly defects: readonly string[];
}

/** A careless request: the caller's fault, whether or not it was refused. */
export interface Defect {
  readonly time: string;
  readonly method: string;
  readonly path: string;
  readonly kind: DefectKind;
  readonly detail: string;
}

export type DefectKind =
  /** PATCH without If-Match: it would create a user if the record were gone. */
  | 'write-without-if-match'
  /** And it did. */
  | 'created-a-user'
  /** The user name, or the value of another column, is the record's already. */
  | 'write-without-effect'
  /** Two writes to one record at once. */
  | 'concurrent-writes'
  | 'header-missing'
  | 'header-wrong'
  | 'column-hidden'
  | 'column-unknown'
  | 'column-not-updatable'
  | 'columns-not-selected'
  | 'page-size'
  | 'next-link-altered'
  | 'top-with-count'
  | 'address-not-encoded'
  | 'impersonation'
  | 'method'
  | 'not-imitated';

/** What is kept in memory; the file has everything. */
const KEPT = 200_000;

/** The log of requests, in memory and as one JSON line each, and the defects found in them. */
export class Traffic {
  readonly #file: number;
  readonly #requests: RequestEntry[] = [];
  readonly #defects: Defect[] = [];
  #number = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o600);
  }

  get requests(): readonly RequestEntry[] {
    return this.#requests;
  }

  get defects(): readonly Defect[] {
    return this.#defects;
  }

  /** The line is in the file before the answer leaves. */
  add(entry: Omit<RequestEntry, 'number'>): void {
    this.#number += 1;
    const numbered = { number: this.#number, ...entry };
    writeSync(this.#file, `${JSON.stringify(numbered)}\n`);
    this.#requests.push(numbered);
    if (this.#requests.length > KEPT) this.#requests.splice(0, KEPT / 2);
  }

  defect(defect: Defect): void {
    this.#defects.push(defect);
  }

  /** Forgets what is in memory; the file stays. */
  clear(): void {
    this.#requests.length = 0;
    this.#defects.length = 0;
  }

  close(): void {
    closeSync(this.#file);
  }
}
