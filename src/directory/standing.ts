import type { DirectoryError } from '../../streams/directory-source.ts';
import type { Candidate } from './candidates.ts';

/** Milliseconds within which a domain controller that fails again was gone back to too early. */
const TOO_EARLY = 600_000;
const LONGEST_TRIAL = 3_600_000;
/** Milliseconds before a refused password is tried again: each try counts towards a lock-out. */
const REFUSED_PASSWORD_DELAY = 900_000;

interface Return {
  /** When it was gone back to; undefined once that has been judged. */
  at: number | undefined;
  /** For how long it has to be well before it is gone back to. */
  trial: number;
}

/** What is remembered of domain controllers from one session to the next: which have failed, and how well they can be relied on. */
export class Standing {
  readonly #trial: number;
  readonly #now: () => number;
  /** By URL; who failed last stands last. */
  readonly #failures = new Map<string, DirectoryError>();
  readonly #returns = new Map<string, Return>();
  #present: string | undefined;
  #noProbeBefore = Number.NEGATIVE_INFINITY;

  /**
   * @param trial milliseconds for which one has to be well before it is gone back to
   * @param now milliseconds on a clock that is never put back
   */
  constructor(trial: number, now: () => number = () => performance.now()) {
    this.#trial = trial;
    this.#now = now;
  }

  /** In which they are tried: by rank, then the last one that was in use; those that have failed come last, the longest ago first. */
  order(candidates: readonly Candidate[]): Candidate[] {
    const failures = [...this.#failures.keys()];
    const place = ({ endpoint }: Candidate) => failures.indexOf(endpoint.url);
    const isOther = ({ endpoint }: Candidate) => Number(endpoint.url !== this.#present);
    return candidates.toSorted((a, b) => place(a) - place(b) || a.rank - b.rank || isOther(a) - isOther(b));
  }

  /** Its session failed, or it could not be taken. */
  failed({ endpoint: { url } }: Candidate, error: DirectoryError): void {
    this.#failures.delete(url);
    this.#failures.set(url, error);
    const last = this.#returns.get(url);
    if (last?.at === undefined) return;
    last.trial = this.#now() - last.at < TOO_EARLY ? Math.min(2 * last.trial, Math.max(LONGEST_TRIAL, this.#trial)) : this.#trial;
    last.at = undefined;
  }

  /** It has passed all checks. */
  well({ endpoint: { url } }: Candidate): void {
    this.#failures.delete(url);
  }

  /** A session on it begins. */
  taken(candidate: Candidate): void {
    this.well(candidate);
    this.#present = candidate.endpoint.url;
  }

  /** Why it failed last; undefined when it has not since it was last well. */
  failure({ endpoint: { url } }: Candidate): DirectoryError | undefined {
    return this.#failures.get(url);
  }

  /** Another one is left for it. */
  wentBackTo(candidate: Candidate): void {
    this.#returns.set(candidate.endpoint.url, { at: this.#now(), trial: this.trialOf(candidate) });
  }

  /** Milliseconds for which it has to be well before it is gone back to. */
  trialOf({ endpoint: { url } }: Candidate): number {
    return this.#returns.get(url)?.trial ?? this.#trial;
  }

  passwordRefused(): void {
    this.#noProbeBefore = this.#now() + REFUSED_PASSWORD_DELAY;
  }

  get mayProbe(): boolean {
    return this.#now() >= this.#noProbeBefore;
  }
}
