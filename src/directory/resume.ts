import type { DirectorySession } from '../../streams/directory-source.ts';
import { learning } from '../../streams/listener/learning.ts';
import type { Vector } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import { USER_FILTER } from './entry.ts';
import type { Method } from './method.ts';
import type { DomainController } from './root-dse.ts';
import { USUAL, type Watched } from './watched.ts';
import { decodeWatermarks } from './watermarks.ts';

/** Whom and what the settings say to follow. */
export interface Followed {
  readonly watched: Watched;
  /** In one spelling; empty: everybody. */
  readonly scope: string;
}

const EVERYBODY: Followed = { watched: USUAL, scope: '' };

const DAY = 86_400_000;

/**
 * Whether a stored position is good on this domain controller, and why everything has to be compared if it is not, if the settings
 * say to follow others than they did, or if this domain controller was never read by uSNChanged.
 *
 * @param now milliseconds since 1970
 */
export function resumeFrom(
  stored: Position | undefined,
  here: DomainController,
  method: Method,
  now = Date.now(),
  followed = EVERYBODY,
): DirectorySession['resume'] {
  if (stored === undefined) return { position: undefined, reason: 'first start' };
  const rolledBack = wasRolledBack(stored, here);
  if (rolledBack !== undefined) return { position: undefined, reason: rolledBack, lossy: true, rolledBack: true };
  const rebuilt = ofAnotherDomain(stored, here);
  if (rebuilt !== undefined) return { position: undefined, reason: rebuilt, lossy: true, rebuilt: true };
  const forgetful = wasRestored(stored, here) ?? tooOld(stored, here, now);
  if (forgetful !== undefined) return { position: undefined, reason: forgetful, lossy: true };
  const reason = ofAnotherMethod(stored, method) ?? ofAnotherBase(stored, method, followed) ?? notReplicated(stored, here, method);
  if (reason !== undefined) return { position: undefined, reason };
  const changed = changedSettings(stored, followed);
  if (changed !== undefined) return { position: stored, changed };
  const unread = neverRead(stored, here, method);
  return unread === undefined ? { position: stored } : { position: stored, unread };
}

/** How far other domain controllers were read by uSNChanged, so that coming back to one of them is no start from nothing. */
export function watermarksElsewhere(stored: Position | undefined, here: DomainController, method: Method, now = Date.now()): Vector {
  if (
    stored === undefined ||
    isOfAnotherBase(stored, method) ||
    (ofAnotherDomain(stored, here) ?? ofAnotherMethod(stored, method) ?? tooOld(stored, here, now)) !== undefined
  )
    return {};
  return decodeWatermarks(stored)?.usns ?? {};
}

function ofAnotherDomain(stored: Position, here: DomainController): string | undefined {
  if (stored.namingContext !== here.namingContext)
    return `the stored position is of the naming context ${stored.namingContext}, not of ${here.namingContext}`;
  // Where one of them is not known, nothing says that they differ.
  if (stored.domainSid === '' || here.domainSid === '' || stored.domainSid === here.domainSid) return undefined;
  return `the domain was built anew: its objectSid is ${here.domainSid}, not ${stored.domainSid} as stored`;
}

/** A position continues the very read that it comes from, and no other. */
function ofAnotherMethod(stored: Position, method: Method): string | undefined {
  if (stored.source !== method.source)
    return `the stored position was read by ${NAMES[stored.source]}, and ${NAMES[method.source]} is used now`;
  if (stored.filter !== USER_FILTER) return `the stored position was read with the filter ${stored.filter}, not ${USER_FILTER}`;
  if (alwaysAsked(stored).join() !== alwaysAsked({ attributes: USUAL.names, profile: USUAL.profile }).join())
    return `the stored position was read with other attributes: ${stored.attributes.join(', ')}`;
  if (method.source === 'dirsync') {
    if (stored.flags === method.flags) return undefined;
    return `the stored position was read with the DirSync flags ${stored.flags}, not ${method.flags}`;
  }
  return decodeWatermarks(stored)?.usns[stored.invocationId] === undefined ? 'the stored position cannot be understood' : undefined;
}

/** An earlier version did not know that a base is a scope. */
function ofAnotherBase(stored: Position, method: Method, { scope }: Followed): string | undefined {
  if (!isOfAnotherBase(stored, method) || stored.scope !== scope) return undefined;
  return `the stored position is of what is below ${decodeWatermarks(stored)?.base}, not of another base`;
}

function isOfAnotherBase(stored: Position, method: Method): boolean {
  return method.source === 'usn' && decodeWatermarks(stored)?.base !== method.base;
}

/** What can be named by settings can change without the position being worse for it. */
function alwaysAsked({ attributes, profile }: { attributes: readonly string[]; profile: readonly string[] }): string[] {
  return attributes.filter((name) => name !== 'name' && !profile.includes(name));
}

function changedSettings(stored: Position, { watched: { profile }, scope }: Followed): string | undefined {
  if (stored.scope !== scope) return 'the scope was changed';
  const { added, removed } = learning(stored.profile, profile) ?? { added: [], removed: [] };
  if (added.length + removed.length === 0) return undefined;
  const parts = [added.length > 0 && `${added.join(', ')} from now on`, removed.length > 0 && `no more ${removed.join(', ')}`];
  return `other attributes are watched: ${parts.filter(Boolean).join('; ')}`;
}

const NAMES = { dirsync: 'DirSync', usn: 'uSNChanged' } as const;

/** It knows nothing of what came after: not even that there was anything. */
function wasRolledBack(stored: Position, { invocationId, dc, highestCommittedUSN }: DomainController): string | undefined {
  const isSame = stored.invocationId === invocationId;
  const watermark = decodeWatermarks(stored)?.usns[invocationId];
  // Also of one that was left since: what others have seen of it, it must have written.
  for (const usn of [isSame ? stored.highestCommittedUSN : undefined, stored.seen[invocationId], watermark]) {
    if (usn !== undefined && BigInt(highestCommittedUSN) < BigInt(usn))
      return `the database of ${dc} was rolled back: its highestCommittedUSN is ${highestCommittedUSN}, and was ${usn}`;
  }
  return undefined;
}

/** From a copy, with a new invocationId. */
function wasRestored(stored: Position, { invocationId, dc }: DomainController): string | undefined {
  if (stored.invocationId === invocationId || stored.dc.toLowerCase() !== dc.toLowerCase()) return undefined;
  return `the database of ${dc} was restored: its invocationId is ${invocationId}, not ${stored.invocationId} as stored`;
}

function notReplicated(stored: Position, { invocationId, dc, vector }: DomainController, { source }: Method): string | undefined {
  if (source === 'usn') return undefined;
  if (stored.invocationId === invocationId || stored.invocationId in vector || invocationId in stored.seen) return undefined;
  return `${dc} is a domain controller that knows nothing of ${stored.dc}, where the stored position was read`;
}

/** Update sequence numbers are each domain controller's own. */
function neverRead(stored: Position, { invocationId, dc }: DomainController, { source }: Method): string | undefined {
  if (source !== 'usn' || decodeWatermarks(stored)?.usns[invocationId] !== undefined) return undefined;
  return `${dc} was never read by uSNChanged before`;
}

/** Deletions of longer ago are forgotten. */
function tooOld({ readAt }: Position, { dc, tombstoneLifetime }: DomainController, now: number): string | undefined {
  // An unreadable time is NaN, and no absence.
  if (!(now - Date.parse(readAt) > tombstoneLifetime)) return undefined;
  return `the stored position is of ${readAt}, and ${dc} remembers deletions for ${tombstoneLifetime / DAY} days`;
}
