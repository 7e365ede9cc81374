import type { ListenerLog, ListenerRequest } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import { begun, type Position } from '../position.ts';
import type { ListenerReport } from './listener.ts';
import { type DeletionLimit, digestOf, isTooMany } from './withheld.ts';

/** What a read comes to, as far as it decides whether a person is asked. */
export interface Deletions {
  readonly mode: 'baseline' | 'changes' | 'comparison';
  readonly lossy: boolean;
  readonly deletions: ReadonlyMap<string, unknown>;
  readonly requests: readonly ListenerRequest[];
}

/** Milliseconds between two reports of the same deletions that wait for a person. */
const REMIND = 3_600_000;

/** Whether a person has accepted just these deletions. */
export function isAccepted({ deletions, requests }: Deletions, before: Position | undefined): boolean {
  const served = before?.served ?? [];
  const open = requests.filter(({ kind, id }) => kind === 'accept-deletions' && !served.includes(id));
  return open.length > 0 && open.some(({ digest }) => digest === digestOf(deletions.keys()));
}

/** Deletions of one naming context that are too many to be told unasked. */
export class Withholding {
  readonly #session: DirectorySession;
  readonly #log: ListenerLog;
  readonly #limit: DeletionLimit;
  #reminded: { readonly digest: string; readonly at: number } | undefined;

  constructor(session: DirectorySession, log: ListenerLog, limit: DeletionLimit) {
    this.#session = session;
    this.#log = log;
    this.#limit = limit;
  }

  isNeeded(read: Deletions, before: Position | undefined): boolean {
    // To count goes through all accounts, for which an ordinary read must not wait.
    if (read.mode === 'baseline' || read.deletions.size === 0) return false;
    return isTooMany(read.deletions.size, this.#log.count(this.#session.domain), this.#limit) && !isAccepted(read, before);
  }

  /** It stays where it is, so that the same deletions come again until a person accepts them. */
  position({ mode, lossy, deletions, requests }: Deletions, stored: Position | undefined): Position {
    const { namingContext, dc } = this.#session;
    const before = stored ?? begun(namingContext, dc);
    const digest = digestOf(deletions.keys());
    const since = before.withheld?.digest === digest ? before.withheld.since : new Date().toISOString();
    // A comparison that nobody needs any more would be forgotten, and with it who was not found.
    const comparing = mode === 'comparison' ? (before.comparing ?? { reason: 'deletions that it found are withheld', lossy }) : undefined;
    return {
      ...before,
      withheld: { deletions: deletions.size, digest, since },
      served: requests.length > 0 ? requests.map(({ id }) => id) : before.served,
      ...(comparing && { comparing }),
    };
  }

  remind({ withheld }: Position): ListenerReport[] {
    const { namingContext, domain } = this.#session;
    const { digest = '', deletions = 0 } = withheld ?? {};
    const now = performance.now();
    if (this.#reminded?.digest === digest && now - this.#reminded.at < REMIND) return [];
    this.#reminded = { digest, at: now };
    return [{ type: 'withheld', namingContext, deletions, known: this.#log.count(domain), digest }];
  }

  /** The next ones are told of at once. */
  over(): void {
    this.#reminded = undefined;
  }
}
