import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { DIRSYNC_FLAGS, USER_FILTER } from './dirsync.ts';
import { WATCHED_ATTRIBUTES } from './entry.ts';
import type { DomainController } from './root-dse.ts';

const DAY = 86_400_000;

/**
 * Whether a stored position is good on this domain controller, and if not, why everything has to be compared.
 *
 * @param now milliseconds since 1970
 */
export function resumeFrom(stored: Position | undefined, here: DomainController, now = Date.now()): DirectorySession['resume'] {
  if (stored === undefined) return { position: undefined, reason: 'first start' };
  const reason = ofAnotherRead(stored, here) ?? ofAnotherDatabase(stored, here) ?? tooOld(stored, here, now);
  return reason === undefined ? { position: stored } : { position: undefined, reason };
}

/** A position continues the very read that it comes from, and no other. */
function ofAnotherRead(stored: Position, here: DomainController): string | undefined {
  if (stored.namingContext !== here.namingContext)
    return `the stored position is of the naming context ${stored.namingContext}, not of ${here.namingContext}`;
  // Where one of them is not known, nothing says that they differ.
  if (stored.domainSid !== '' && here.domainSid !== '' && stored.domainSid !== here.domainSid)
    return `the domain was built anew: its objectSid is ${here.domainSid}, not ${stored.domainSid} as stored`;
  if (stored.source !== 'dirsync') return `the stored position was read by uSNChanged, and DirSync is used now`;
  if (stored.filter !== USER_FILTER) return `the stored position was read with the filter ${stored.filter}, not ${USER_FILTER}`;
  if (stored.attributes.join() !== WATCHED_ATTRIBUTES.join())
    return `the stored position was read with other attributes: ${stored.attributes.join(', ')}`;
  if (stored.flags !== DIRSYNC_FLAGS) return `the stored position was read with the DirSync flags ${stored.flags}, not ${DIRSYNC_FLAGS}`;
  return undefined;
}

function ofAnotherDatabase(stored: Position, here: DomainController): string | undefined {
  const isSame = stored.invocationId === here.invocationId;
  if (!isSame && stored.dc.toLowerCase() === here.dc.toLowerCase())
    return `the database of ${here.dc} was restored: its invocationId is ${here.invocationId}, not ${stored.invocationId} as stored`;
  // Also of one that was left since: what others have seen of it, it must have written.
  for (const usn of [isSame ? stored.highestCommittedUSN : undefined, stored.seen[here.invocationId]]) {
    if (usn !== undefined && BigInt(here.highestCommittedUSN) < BigInt(usn))
      return `the database of ${here.dc} was rolled back: its highestCommittedUSN is ${here.highestCommittedUSN}, and was ${usn}`;
  }
  if (isSame || stored.invocationId in here.vector || here.invocationId in stored.seen) return undefined;
  return `${here.dc} is a domain controller that knows nothing of ${stored.dc}, where the stored position was read`;
}

/** Deletions of longer ago are forgotten. */
function tooOld({ readAt }: Position, { dc, tombstoneLifetime }: DomainController, now: number): string | undefined {
  // An unreadable time is NaN, and no absence.
  if (!(now - Date.parse(readAt) > tombstoneLifetime)) return undefined;
  return `the stored position is of ${readAt}, and ${dc} remembers deletions for ${tombstoneLifetime / DAY} days`;
}
