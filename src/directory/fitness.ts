import { DirectoryError, type DirectoryFailure } from '../../streams/directory-source.ts';
import { durationText } from '../../streams/duration.ts';
import { covers, coversAll, type Vector } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import type { MethodSettings } from './method.ts';
import type { DomainController } from './root-dse.ts';

/** A domain controller that answers and must not be listened to. */
export class Unfit extends DirectoryError {
  readonly dc: string;

  constructor(failure: DirectoryFailure, dc: string, reason: string) {
    super(failure, `${dc}: ${reason}`);
    this.dc = dc;
  }
}

/** One that can be listened to and should not be: better than none. */
export class LastResort extends Unfit {
  /** Milliseconds since it last heard of what it lacks: who has the least is taken. */
  readonly lag: number;

  constructor(dc: string, reason: string, lag: number) {
    super('unavailable', dc, reason);
    this.lag = lag;
  }
}

/**
 * Checks that it takes part as a source: DirSync is served only by a writable one that replicates to others (MS-DRSR 4.1.10.5.2). A
 * read-only one, on which nothing is written, can be followed by uSNChanged.
 *
 * @throws Unfit
 */
export function checkServes({ dc, replication }: DomainController, source: MethodSettings['source']): void {
  if (replication.isReadOnly) {
    if (source === 'usn') return;
    const reason = 'it is a read-only domain controller, which serves no DirSync';
    throw source === 'auto' ? new LastResort(dc, reason, Number.POSITIVE_INFINITY) : new Unfit('configuration', dc, reason);
  }
  if (!replication.isOutbound) {
    const reason = 'its outbound replication is disabled: nobody else hears of what is written there, and it serves no DirSync';
    throw new Unfit('unavailable', dc, reason);
  }
}

/**
 * Checks that it has not missed for longer than `maxLag` milliseconds what was written elsewhere and has been seen there.
 *
 * @throws LastResort
 */
export function checkLag(here: DomainController, stored: Position | undefined, maxLag: number): void {
  if (stored === undefined || !showsVector(here)) return;
  // What was seen in a domain that had the same name before, none of this one lacks.
  if (stored.domainSid !== '' && here.domainSid !== '' && stored.domainSid !== here.domainSid) return;
  const { lastHeard, now } = here.replication;
  for (const [invocationId, usn] of Object.entries(stored.seen)) {
    // Of its own writes it lacks none, unless it was rolled back, which the stored position tells.
    if (invocationId === here.invocationId || covers(here.vector, { invocationId, usn })) continue;
    const elsewhere = invocationId === stored.invocationId ? stored.dc : `the database ${invocationId}`;
    if (here.vector[invocationId] === undefined)
      throw new LastResort(here.dc, `it is behind: it has never heard of what was written on ${elsewhere}`, Number.POSITIVE_INFINITY);
    const lag = now - (lastHeard.get(invocationId) ?? now);
    if (lag > maxLag)
      throw new LastResort(here.dc, `it is behind: it last heard ${durationText(lag)} ago of what is written on ${elsewhere}`, lag);
  }
}

/**
 * Checks that it has all of `seen`.
 *
 * @throws LastResort
 */
export function checkCovers(here: DomainController, seen: Vector): void {
  if (showsVector(here) && !coversAll(here.vector, seen))
    throw new LastResort(here.dc, 'it has not caught up yet with what has been read meanwhile', 0);
}

/** Where the account may not see the vector, nothing is there but what was written here. */
function showsVector({ vector, replication }: DomainController): boolean {
  return Object.keys(vector).length > (replication.isReadOnly ? 0 : 1);
}
