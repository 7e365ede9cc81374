import { isDeepStrictEqual } from 'node:util';
import type { Identity } from '../../streams/identity.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import { isReadWhole } from '../../streams/position.ts';
import type { FakeDirectory } from '../support/fake-directory.ts';
import { brief, type MemoryChangeLog } from '../support/memory-change-log.ts';

/** Holds what a listener says against every state that the accounts of a directory ever had. */
export class Truth {
  readonly #directory: FakeDirectory;
  readonly #log: MemoryChangeLog;
  readonly #states = new Map<string, (Identity | null)[]>();
  /** Which of its states was published last. */
  readonly #reached = new Map<string, number>();
  readonly #known = new Map<string, Identity | null>();
  /** Accounts that were set aside, with their reasons: of them anything may be missing. */
  readonly #aside = new Set<string>();
  readonly #atFirst = new Set<string>();
  /** The first read is over: from then on nothing is learned without being told. */
  #hasRead = false;
  #batches = 0;
  #events = 0;
  #reports = 0;

  constructor(directory: FakeDirectory, log: MemoryChangeLog) {
    this.#directory = directory;
    this.#log = log;
    directory.onChange((object) => {
      const states = this.#states.get(object.objectGUID) ?? [];
      this.#states.set(object.objectGUID, [...states, directory.identity(object) ?? null]);
    });
  }

  /** From now on what is new has to be told of; who is there already must not be. */
  begin(): void {
    for (const objectGUID of this.#states.keys()) this.#atFirst.add(objectGUID);
  }

  /** @throws Error when something was published that is not so, or what was published before is told of again */
  check(reports: readonly ListenerReport[]): void {
    for (const report of reports.slice(this.#reports)) if (report.type === 'set-aside') this.#aside.add(report.objectGUID);
    this.#reports = reports.length;
    for (const { changes, identities, position } of this.#log.batches.slice(this.#batches)) {
      for (const change of changes) {
        const { objectGUID, kind, before, after } = change;
        const event = brief({ ...change, sequence: ++this.#events });
        const known = this.#known.get(objectGUID) ?? null;
        if (!isDeepStrictEqual(before, known)) throw new Error(`${event}: does not begin where the last one ended`);
        if (isDeepStrictEqual(after, known)) throw new Error(`${event}: changes nothing`);
        if (kind === 'created' && this.#atFirst.has(objectGUID) && !this.#aside.has(objectGUID) && !this.#wasGone(objectGUID)) {
          throw new Error(`${event}: was there at the first read`);
        }
        this.#known.set(objectGUID, after);
      }
      for (const [objectGUID, identity] of identities) {
        this.#follow(objectGUID, identity);
        if (this.#hasRead && !isDeepStrictEqual(this.#known.get(objectGUID) ?? null, identity)) {
          throw new Error(`${objectGUID}: is known to be ${JSON.stringify(identity)}, and nobody was told`);
        }
        this.#known.set(objectGUID, identity);
      }
      this.#hasRead ||= isReadWhole(position);
    }
    this.#batches = this.#log.batches.length;
  }

  /** Everything that is so now is known, and nothing else. */
  isKnown(): boolean {
    return this.differences().length === 0;
  }

  /** What is known and what is so, of accounts where that is not the same. */
  differences(): { objectGUID: string; known: Identity | undefined; is: Identity | undefined }[] {
    const [known, is] = [this.#log.known.identities, this.#directory.identities()];
    return [...new Set([...known.keys(), ...is.keys()])]
      .filter((objectGUID) => !this.#aside.has(objectGUID) && !isDeepStrictEqual(known.get(objectGUID), is.get(objectGUID)))
      .map((objectGUID) => ({ objectGUID, known: known.get(objectGUID), is: is.get(objectGUID) }));
  }

  /** Of an account that came back a full read cannot tell that it was there before. */
  #wasGone(objectGUID: string): boolean {
    return this.#states.get(objectGUID)?.includes(null) === true;
  }

  /** What was published has to have been true, and not before what was published last. */
  #follow(objectGUID: string, identity: Identity | null): void {
    const from = this.#reached.get(objectGUID) ?? 0;
    const found = (this.#states.get(objectGUID) ?? []).findIndex((state, index) => index >= from && isDeepStrictEqual(state, identity));
    if (found < 0) throw new Error(`${objectGUID} never was ${JSON.stringify(identity)} after its state ${from}`);
    this.#reached.set(objectGUID, found);
  }
}
