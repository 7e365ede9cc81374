import type { ListenerLog } from '../change-log.ts';
import type { Observation } from '../observation.ts';
import type { Draft } from './draft.ts';
import type { Elsewhere, Neighbours } from './neighbours.ts';
import { take } from './taking.ts';

export interface Gone {
  readonly log: ListenerLog;
  readonly neighbours: Neighbours;
  /** Whether an account has waited for so many milliseconds. */
  readonly isOverdue: (objectGUID: string, milliseconds: number) => boolean;
  readonly maxLag: number;
  readonly isComparison: boolean;
  readonly signal: AbortSignal;
}

/**
 * Takes out of the accounts that are gone from one domain those that live in another, and those that are known there already: they were
 * moved.
 *
 * @param deletions by objectGUID; what was moved is removed
 * @returns what there is to tell of them, and in which naming context; for how long the rest may still turn up, in milliseconds
 */
export async function takeMoved(
  deletions: Map<string, unknown>,
  gone: Gone,
): Promise<{ moved: { readonly namingContext: string; readonly draft: Draft }[]; patience: number }> {
  const { log, neighbours, signal } = gone;
  for (const objectGUID of deletions.keys()) if (log.identity(objectGUID) === undefined) deletions.delete(objectGUID);
  if (deletions.size === 0) return { moved: [], patience: 0 };
  const { living, patience } = await neighbours.find([...deletions.keys()], signal);
  const moved = [];
  for (const { session, accounts } of living) {
    const isKnownThere = ({ objectGUID }: Observation) => log.identity(objectGUID)?.domain === session.domain;
    for (const { objectGUID } of accounts.filter(isKnownThere)) deletions.delete(objectGUID);
    const there = { session, accounts: accounts.filter((account) => !isKnownThere(account)) };
    for (const overdue of [false, true]) {
      const draft = await takeThere(there, overdue, gone);
      for (const objectGUID of draft.identities.keys()) deletions.delete(objectGUID);
      if (draft.identities.size > 0) moved.push({ namingContext: session.namingContext, draft });
    }
  }
  return { moved, patience };
}

/**
 * As the other domain shows them. Not those that its own watch has seen before: there the domain controller has still to hear that they
 * are gone, unless they have waited for too long.
 */
async function takeThere(
  { session, accounts }: Elsewhere['living'][number],
  overdue: boolean,
  { log, isOverdue, maxLag, isComparison, signal }: Gone,
): Promise<Draft> {
  const some = accounts.filter(({ objectGUID }) => isOverdue(objectGUID, maxLag) === overdue);
  const view = { seen: log.position(session.namingContext)?.seen ?? {}, overdue };
  const via = isComparison ? 'comparison' : session.via;
  const there = { session, members: undefined, learning: undefined, areGone: true };
  // Its writes are numbered there: they are none that the asking watch could remember.
  return (await take(some, { ...there, known: log, view, via, isBaseline: false, signal })).draft;
}
