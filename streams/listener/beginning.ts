import type { ListenerLog } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import { isReadWhole, type Position, recentFrom, recentOn } from '../position.ts';
import type { Loss } from './read.ts';
import { rolledBackWrite, stillWatched } from './rolled-back.ts';

export interface Beginning {
  readonly position: Position | undefined;
  readonly loss: Loss | undefined;
  /** Why everything has to be read. */
  readonly reason: string | undefined;
}

/**
 * Where a session goes on, or why it cannot.
 *
 * @param isRefused whether the directory has refused the position before
 * @throws DirectoryError
 */
export async function beginning(
  session: DirectorySession,
  log: Pick<ListenerLog, 'position' | 'knows'>,
  isRefused: boolean,
): Promise<Beginning> {
  const { namingContext, domain, resume } = session;
  const stored = log.position(namingContext);
  // Told already, when it was noticed.
  if (stored?.comparing !== undefined) return { position: undefined, loss: undefined, reason: stored.comparing.reason };
  const lost = (reason: string, more: Partial<Loss> = {}): Beginning => ({
    position: undefined,
    loss: { reason, lossy: false, forget: [], rebuilt: false, ...more },
    reason,
  });
  if (stored === undefined && log.knows(domain)) {
    return lost(`the log knows accounts of ${domain}, but not up to where it was read`, { lossy: true });
  }
  if (!isReadWhole(stored)) return { position: undefined, loss: undefined, reason: 'first start' };
  if (isRefused) return lost('the directory refused the position');
  if (resume.position === undefined) {
    const { lossy = false, rolledBack = false, rebuilt = false } = resume;
    return lost(resume.reason, { lossy, forget: rolledBack ? [session.invocationId] : [], rebuilt });
  }
  const { position, changed, unread } = resume;
  const { invocationId } = session;
  const recent = stillWatched([...recentOn(invocationId, position), ...recentFrom(invocationId, position)], session.attributes);
  if (recent.length > 0) {
    const found = await session.readObjects([...new Set(recent.map(({ objectGUID }) => objectGUID))]);
    const write = rolledBackWrite(recent, found);
    if (write !== undefined) {
      const { attribute, objectGUID } = write;
      const reason = `the database of ${session.dc} was rolled back: ${attribute} of ${objectGUID} is not as it was written there before`;
      return lost(reason, { lossy: true, forget: [session.invocationId] });
    }
  }
  const twice = await session.givenTwice(position);
  if (twice !== undefined) {
    const reason = `the database of ${session.dc} was rolled back: it has given the number ${twice} to a second write`;
    return lost(reason, { lossy: true, forget: [session.invocationId] });
  }
  if (changed !== undefined) return { ...lost(changed), position };
  return { position, loss: undefined, reason: unread };
}
