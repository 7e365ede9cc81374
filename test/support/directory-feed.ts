import { sameName } from '../../streams/identity.ts';
import { detect } from '../../streams/listener/detector.ts';
import { Draft } from '../../streams/listener/draft.ts';
import { Position } from '../../streams/position.ts';
import type { MemoryChangeLog } from './memory-change-log.ts';
import type { MemoryDirectory } from './memory-directory.ts';

/** A listener of the least kind: what changed since the last time is put on logs, as one read. */
export class DirectoryFeed {
  readonly #directory: MemoryDirectory;
  readonly #logs: readonly MemoryChangeLog[];
  #usn = 0;

  constructor(directory: MemoryDirectory, logs: readonly MemoryChangeLog[]) {
    this.#directory = directory;
    this.#logs = logs;
  }

  publish(): void {
    const first = this.#usn === 0;
    const observations = this.#directory.changesSince(this.#usn);
    this.#usn = this.#directory.usn;
    for (const log of this.#logs) this.#put(log, observations, first);
  }

  #put(log: MemoryChangeLog, observations: ReturnType<MemoryDirectory['changesSince']>, first: boolean): void {
    const draft = new Draft(log.known);
    const observed = { time: new Date().toISOString(), dc: 'dc1', via: 'dirsync', dn: '' } as const;
    for (const observation of observations) {
      let detection = detect(observation, 'CORP', observed, draft);
      if (detection.outcome === 'incomplete') {
        const whole = this.#directory.readObject(observation.objectGUID) ?? observation;
        detection = detect({ ...observation, seen: whole.seen }, 'CORP', observed, draft);
      }
      if (detection.outcome === 'changed') draft.add(observation.objectGUID, detection.identity, first ? [] : detection.changes);
    }
    const cookie = String(this.#usn);
    const position = Position.parse({
      namingContext: 'DC=x',
      dc: 'dc1',
      invocationId: 'i',
      highestCommittedUSN: cookie,
      filter: '',
      attributes: [],
      cookie,
    });
    const changes = draft.changes.map((change) => {
      const other = change.formerHolder === null ? undefined : draft.identity(change.formerHolder);
      const isShared = other !== undefined && change.after !== null && sameName(other.sAMAccountName, change.after.sAMAccountName);
      return isShared ? { ...change, sharedWith: other.objectGUID } : change;
    });
    log.append({ namingContext: 'DC=x', changes, identities: draft.identities, position });
  }
}
