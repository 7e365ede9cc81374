import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { USER_FILTER } from './dirsync.ts';
import { WATCHED_ATTRIBUTES } from './entry.ts';
import type { DomainController } from './root-dse.ts';

/** Whether a stored position is good on this domain controller, and if not, why a full read is needed. */
export function resumeFrom(stored: Position | undefined, here: DomainController): DirectorySession['resume'] {
  const reason = stored === undefined ? 'first start' : flaw(stored, here);
  return stored !== undefined && reason === undefined ? { position: stored } : { position: undefined, reason: reason ?? 'first start' };
}

function flaw(stored: Position, here: DomainController): string | undefined {
  if (stored.namingContext !== here.namingContext)
    return `the stored position is of the naming context ${stored.namingContext}, not of ${here.namingContext}`;
  if (stored.invocationId !== here.invocationId) {
    return stored.dc.toLowerCase() === here.dc.toLowerCase()
      ? `the database of ${here.dc} was restored: its invocationId is ${here.invocationId}, not ${stored.invocationId} as stored`
      : `the stored position is of ${stored.dc}, which is none of the configured domain controllers`;
  }
  if (BigInt(here.highestCommittedUSN) < BigInt(stored.highestCommittedUSN)) {
    return `the database of ${here.dc} was rolled back: its highestCommittedUSN is ${here.highestCommittedUSN}, and was ${stored.highestCommittedUSN}`;
  }
  if (stored.filter !== USER_FILTER) return `the stored position was read with the filter ${stored.filter}, not ${USER_FILTER}`;
  if (stored.attributes.join() !== WATCHED_ATTRIBUTES.join())
    return `the stored position was read with other attributes: ${stored.attributes.join(', ')}`;
  return undefined;
}
