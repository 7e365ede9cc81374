import { DirectoryError } from '../../streams/directory-source.ts';
import type { Candidate } from './candidates.ts';
import type { Standing } from './standing.ts';

export interface FailBackSettings {
  /** In order of preference; each is better than the one in use. */
  readonly preferred: readonly Candidate[];
  /** Checks one as if to take it; @returns its name @throws DirectoryError */
  readonly probe: (candidate: Candidate) => Promise<string>;
  /** Whether the one in use can be left now without losing work. */
  readonly mayLeave: () => boolean;
  readonly standing: Standing;
  /** Milliseconds from one round of probes to the next. */
  readonly every: number;
}

/**
 * Probes better domain controllers until one has been well without a break for as long as its trial lasts.
 *
 * @returns its name; undefined when the signal aborted
 */
export async function wellAgain(
  { preferred, probe, mayLeave, standing, every }: FailBackSettings,
  signal: AbortSignal,
): Promise<string | undefined> {
  const wellSince = new Map<Candidate, number>();
  for (let next = performance.now() + every; ; next += every) {
    await delay(next - performance.now(), signal);
    if (signal.aborted) return undefined;
    next = Math.max(next, performance.now());
    // One after the other: a password that is refused must not have been tried on all of them.
    for (const candidate of standing.mayProbe ? preferred : []) {
      try {
        const name = await probe(candidate);
        if (signal.aborted) return undefined;
        standing.well(candidate);
        const since = wellSince.get(candidate) ?? performance.now();
        wellSince.set(candidate, since);
        if (performance.now() - since < standing.trialOf(candidate) || !mayLeave()) continue;
        standing.wentBackTo(candidate);
        return name;
      } catch (error) {
        if (signal.aborted) return undefined;
        if (!(error instanceof DirectoryError)) throw error;
        if (error.failure === 'credentials') {
          standing.passwordRefused();
          wellSince.clear();
          break;
        }
        wellSince.delete(candidate);
        standing.failed(candidate, error);
      }
    }
  }
}

/** Resolves early when the signal aborts. */
function delay(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(0, milliseconds));
    signal.addEventListener('abort', end, { once: true });
  });
}
