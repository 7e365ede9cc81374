import type { ListenerRequest } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import { covers, joined, type Vector, without } from '../origin.ts';
import { isReadWhole, type Position, recentBesides, type SeenWrite, shownBy } from '../position.ts';
import type { GuidSet } from './guid-set.ts';
import type { Learning } from './learning.ts';
import type { Deletion, Taking } from './taking.ts';
import type { DeletionLimit } from './withheld.ts';

export interface PublisherSettings {
  /** Milliseconds after which a position is stored although nothing changed. */
  readonly positionEvery: number;
  /** Milliseconds after which everything is compared although no position was lost; 0: never. */
  readonly compareEvery: number;
  /** Milliseconds that a domain controller may lag behind: for so long what is older than known is not taken for true. */
  readonly maxLag: number;
  /** Milliseconds that an account may be gone from one domain before it shows up in another. */
  readonly movesWithin: number;
  readonly deletionLimit: DeletionLimit;
  /** Milliseconds after which it is looked who is in scope although nothing seems to have changed. */
  readonly scopeEvery: number;
}

/** Why a position is lost. */
export interface Loss {
  readonly reason: string;
  /** What was deleted meanwhile may have been forgotten: who is not found any more is gone. */
  readonly lossy: boolean;
  /** invocationIds of databases of which it says nothing any more how far they were seen: such as one that was put back to an earlier state. */
  readonly forget: readonly string[];
  /** It is another domain under the same name: nothing that was seen in the old one can still turn up. */
  readonly rebuilt: boolean;
}

/** One read of a directory, page by page. */
export interface Read {
  /** `baseline`: everything, for the first time. `comparison`: everything, against what is known. */
  readonly mode: 'baseline' | 'changes' | 'comparison';
  /** Of a comparison: who is not found any more is gone. */
  readonly lossy: boolean;
  /** Of a comparison: with what is known of another domain that had this name before. */
  readonly rebuilt: boolean;
  /** What had been seen before it began. */
  readonly seen: Vector;
  /** Who was in it, where it is a comparison. */
  readonly found: GuidSet;
  readonly deletions: Map<string, Deletion>;
  readonly waiting: Set<string>;
  /** Who was not understood or is out of sight, and why; in a read of changes also from before. */
  readonly setAside: Map<string, string>;
  readonly requests: readonly ListenerRequest[];
  readonly began: number;
  /** Who is in scope, where it goes through everything: as it was when it began. */
  members: ReadonlySet<string> | undefined;
  /** What settings changed of the watched attributes. */
  readonly learning: Learning | undefined;
  known: Taking['known'];
  objects: number;
  differences: number;
  /** Known accounts that came whole. */
  repeated: number;
  /** The last write of each database that it led to reports of. */
  told: Vector;
  lookedAgain: boolean;
}

/** How to read next, as long as no position is lost. */
export function modeOf(
  position: Position | undefined,
  stored: Position | undefined,
  requests: readonly ListenerRequest[],
  session: DirectorySession,
  compareEvery: number,
): Read['mode'] {
  if (stored?.comparing !== undefined) return 'comparison';
  if (position === undefined || !isReadWhole(stored)) return 'baseline';
  if (isUnread(session) && position.invocationId !== session.invocationId) return 'comparison';
  const { compared, served } = position;
  const isAsked = requests.some(({ kind, id }) => kind === 'compare' && !served.includes(id));
  const isDue = compareEvery > 0 && compared !== undefined && Date.now() - Date.parse(compared.at) >= compareEvery;
  return isAsked || isDue ? 'comparison' : 'changes';
}

/** What is read there to the end makes a position of its own. */
function isUnread({ resume }: DirectorySession): boolean {
  return resume.position !== undefined && resume.unread !== undefined;
}

/** How many accounts that wait a position lists: it has to fit into one record of any log. */
const MOST_HELD = 5_000;

const MOST_SET_ASIDE = 100;

const TOO_MANY_HELD = `more than ${MOST_HELD} accounts wait for their domain controller to catch up`;

/** Databases of which the domain controller lacks something; none where it does not say what it has. */
export function lacking({ seen: here }: Pick<Position, 'seen'>, vector: Vector): string[] {
  if (Object.keys(here).length <= 1) return [];
  return Object.entries(vector).flatMap(([invocationId, usn]) => (covers(here, { invocationId, usn }) ? [] : [invocationId]));
}

export function isPast(time: string, milliseconds: number): boolean {
  return Date.now() - Date.parse(time) >= milliseconds;
}

/** Where a read that is over leaves the listener, given where the directory says to go on. */
export function positionAfter(
  position: Position,
  read: Read,
  before: Position | undefined,
  writes: readonly SeenWrite[],
  maxLag: number,
): Position {
  const { mode, seen, waiting, setAside, deletions, requests, lookedAgain, objects, differences } = read;
  const now = new Date().toISOString();
  // Those first that have waited before.
  const held = Object.keys(before?.held ?? {}).filter((objectGUID) => !lookedAgain || waiting.has(objectGUID));
  const all = [...new Set([...held, ...waiting])];
  const told = joined(before?.told ?? {}, read.told);
  const known = joined(seen, position.seen);
  // Of what everything was compared with, whatever is lacking waits by name.
  const mayBeLost = mode === 'changes' ? told : without(told, lacking(position, told));
  const behind = lacking(position, known);
  const since = behind.length === 0 ? undefined : (before?.invocationId === position.invocationId && before.lackingSince) || now;
  // What nobody was told of, and has not come for so long, comes no more: to wait for it would hold up all that waits for everything.
  const isOver = since !== undefined && isPast(since, maxLag) && lacking(position, mayBeLost).length === 0;
  return {
    ...position,
    seen: isOver ? joined(without(known, behind), position.seen) : known,
    recent: [...writes],
    recentElsewhere: recentBesides(position.invocationId, before),
    shown: shownBy(position, before),
    held: Object.fromEntries(
      all.slice(0, MOST_HELD).map((objectGUID) => [objectGUID, before?.held[objectGUID] ?? before?.heldSince ?? now]),
    ),
    ...(all.length > MOST_HELD && {
      heldSince: before?.heldSince ?? now,
      comparing: { reason: TOO_MANY_HELD, lossy: read.lossy, ...(read.rebuilt && { rebuilt: true }) },
    }),
    setAside: Object.fromEntries([...setAside].filter(([objectGUID]) => !deletions.has(objectGUID)).slice(0, MOST_SET_ASIDE)),
    told: mayBeLost,
    ...(since !== undefined && !isOver && { lackingSince: since }),
    // A position of an earlier version does not say when everything was read.
    compared: mode === 'changes' ? (before?.compared ?? { at: now, objects: 0, differences: 0 }) : { at: now, objects, differences },
    served: requests.length > 0 ? requests.map(({ id }) => id) : (before?.served ?? []),
  };
}
