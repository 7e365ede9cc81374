import { DirectoryError, type DirectorySession, type DirectorySource } from '../directory-source.ts';
import { mutex } from '../mutex.ts';
import type { Observation } from '../observation.ts';
import { unlessAborted } from '../operators.ts';
import { inPortions } from './missing.ts';

/** The other domains of one listener, as one of its watches sees them. */
export interface Neighbours {
  /** Whether there are any: an account can have been moved only from one of them. */
  readonly isAny: boolean;
  /**
   * Runs what compares with the known identities and appends, one watch at a time: what was compared must still be known when it is
   * appended, and an account that moves is seen by two watches.
   */
  inTurn<T>(body: () => Promise<T>): Promise<T>;
  /** Where accounts live that are gone from this domain: an account keeps its objectGUID when it is moved to another one of its forest. */
  find(objectGUIDs: readonly string[], signal: AbortSignal): Promise<Elsewhere>;
}

export interface Elsewhere {
  readonly living: readonly Pick<Living, 'session' | 'accounts'>[];
  /** Milliseconds for which the others may still turn up somewhere; 0 where there is no other domain. */
  readonly patience: number;
}

export interface MoveSettings {
  /** Milliseconds that an account may be gone from one domain before the domain controller of the other one shows it. */
  readonly movesWithin: number;
  /** Milliseconds that a domain which cannot be asked is waited for. */
  readonly maxLag: number;
}

interface Place {
  readonly session: DirectorySession | undefined;
  /** As the last session told; undefined until there was one. */
  readonly forest: string | undefined;
}

/** All domains that one listener watches side by side, with their present sessions. */
export class Neighbourhood {
  readonly #places: Map<DirectorySource, Place>;
  readonly #settings: MoveSettings;
  readonly #inTurn = mutex();

  constructor(sources: readonly DirectorySource[], settings: MoveSettings) {
    this.#places = new Map(sources.map((source) => [source, { session: undefined, forest: undefined }]));
    this.#settings = settings;
  }

  enter(source: DirectorySource, session: DirectorySession): void {
    this.#places.set(source, { session, forest: session.forest.toLowerCase() });
  }

  leave(source: DirectorySource): void {
    this.#places.set(source, { session: undefined, forest: this.#places.get(source)?.forest });
  }

  of(source: DirectorySource): Neighbours {
    return { isAny: this.#places.size > 1, inTurn: this.#inTurn, find: (objectGUIDs, signal) => this.#find(source, objectGUIDs, signal) };
  }

  async #find(source: DirectorySource, objectGUIDs: readonly string[], signal: AbortSignal): Promise<Elsewhere> {
    const mine = this.#places.get(source)?.forest;
    // One that was never reached may be of any forest.
    const others = [...this.#places].filter(([each, { forest }]) => each !== source && (forest === undefined || forest === mine));
    if (others.length === 0) return { living: [], patience: 0 };
    const answers = await Promise.all(others.map(([, { session }]) => session && livingIn(session, objectGUIDs, signal)));
    const isSure = answers.every((answer) => answer?.isSure);
    const { movesWithin, maxLag } = this.#settings;
    return {
      living: answers.flatMap((answer) => (answer === undefined || answer.accounts.length === 0 ? [] : [answer])),
      patience: isSure ? movesWithin : Math.max(movesWithin, maxLag),
    };
  }
}

interface Living {
  readonly session: DirectorySession;
  readonly accounts: readonly Observation[];
  /** None of the accounts was refused, which would say nothing of where it lives. */
  readonly isSure: boolean;
}

/** Undefined when the directory cannot be asked; its own watch finds that out for itself. */
async function livingIn(session: DirectorySession, objectGUIDs: readonly string[], signal: AbortSignal): Promise<Living | undefined> {
  const accounts: Observation[] = [];
  let isSure = true;
  const onRefused = () => {
    isSure = false;
  };
  try {
    for (const some of inPortions(objectGUIDs, () => true)) {
      const found = await unlessAborted(session.readObjects(some, onRefused), signal);
      for (const { objectGUID, dn, seen, deleted } of found.values()) if (deleted !== true) accounts.push({ objectGUID, dn, seen });
    }
    return { session, accounts, isSure };
  } catch (error) {
    if (error instanceof DirectoryError && !signal.aborted) return undefined;
    throw error;
  }
}
