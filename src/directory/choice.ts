import { DirectoryError } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import type { LdapConnection } from './connection.ts';
import type { DomainController } from './root-dse.ts';

/** A domain controller that answered. */
export interface Candidate {
  readonly connection: LdapConnection;
  readonly here: DomainController;
}

export type Choice<C extends Candidate> = C & { readonly stored: Position | undefined };

/**
 * Takes the domain controller that the stored position is of; without a position the first one that answers. While
 * one of them cannot be asked, the one of the position may be it: then nothing is taken. The connections to those
 * that were not taken are closed.
 *
 * @param reaches connect to one of them each; anything but 'unavailable' ends the choice, so that a refused password
 * is not tried on the next one too, until the account is locked out
 * @throws DirectoryError
 */
export async function chooseDomainController<C extends Candidate>(
  reaches: Iterable<() => Promise<C>>,
  find: (namingContext: string) => Position | undefined,
): Promise<Choice<C>> {
  const opened: LdapConnection[] = [];
  let chosen: Choice<C> | undefined;
  try {
    chosen = await choose(reaches, find, opened);
    return chosen;
  } finally {
    await Promise.all(opened.filter((each) => each !== chosen?.connection).map((each) => each[Symbol.asyncDispose]()));
  }
}

async function choose<C extends Candidate>(
  reaches: Iterable<() => Promise<C>>,
  find: (namingContext: string) => Position | undefined,
  opened: LdapConnection[],
): Promise<Choice<C>> {
  const unreached: DirectoryError[] = [];
  let first: (C & { stored: Position }) | undefined;
  for (const reach of reaches) {
    let candidate: C;
    try {
      candidate = await reach();
    } catch (error) {
      if (!(error instanceof DirectoryError) || error.failure !== 'unavailable') throw error;
      unreached.push(error);
      continue;
    }
    opened.push(candidate.connection);
    const { here } = candidate;
    if (first !== undefined && first.here.namingContext !== here.namingContext) {
      throw new DirectoryError(
        'configuration',
        `${here.dc} is of ${here.namingContext}, but ${first.here.dc} of ${first.here.namingContext}: one domain each`,
      );
    }
    const stored = find(here.namingContext);
    if (stored === undefined || isOf(stored, here)) return { ...candidate, stored };
    first ??= { ...candidate, stored };
  }
  if (first !== undefined && unreached.length === 0) return first;
  const waiting = first === undefined ? '' : `The stored position is of ${first.stored.dc}, which may be one that cannot be asked. `;
  throw new DirectoryError('unavailable', waiting + unreached.map(({ message }) => message).join('; '), { cause: unreached[0] });
}

/** A restored one has another invocationId under the same name: there is no other to wait for. */
function isOf(stored: Position, here: DomainController): boolean {
  return stored.invocationId === here.invocationId || stored.dc.toLowerCase() === here.dc.toLowerCase();
}
