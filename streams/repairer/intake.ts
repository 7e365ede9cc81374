import type { ChangeEvent } from '../change.ts';
import type { ChangePage, RepairerLog } from '../change-log.ts';
import { isUpn } from '../identity.ts';
import type { Link } from '../repair.ts';
import { type Found, type Linker, linkOf } from './links.ts';
import type { Repairs } from './repairs.ts';

/** Kinds of change after which an account can have another user name than its record. */
const RENAMING: readonly ChangeEvent['kind'][] = ['renamed', 'upn-changed', 'moved-domain', 'restored', 'entered-scope', 'created'];

/** Why a link is believed that an account took over from a deleted one of its name. */
const BY_RECREATED = 'recreated';

export interface Intake {
  readonly organization: string;
  readonly log: RepairerLog;
  readonly linker: Linker;
  readonly repairs: Repairs;
  /** Whether an account that was made anew under the name of a deleted one gets its record without being asked for. */
  readonly recreated: 'ask' | 'repair';
}

/**
 * Takes a page of events over: what they ask for is in the journal when it resolves, and the page is acknowledged.
 *
 * @returns those whose accounts have no user record
 * @throws CustomerEngagementError @throws FencedError @throws LogError
 */
export async function takeOver(page: ChangePage, intake: Intake, stop: AbortSignal): Promise<ChangeEvent[]> {
  const { log, linker, repairs } = intake;
  const withoutRecord: ChangeEvent[] = [];
  const byAccount = Map.groupBy(
    page.changes.filter((event) => RENAMING.includes(event.kind)),
    ({ objectGUID }) => objectGUID,
  );
  const lastKinds = new Map(page.changes.map(({ objectGUID, kind }) => [objectGUID, kind]));
  const isOut = (objectGUID: string) => lastKinds.get(objectGUID) === 'left-scope';
  for (const objectGUID of lastKinds.keys()) {
    const link = isOut(objectGUID) ? log.link(objectGUID) : undefined;
    if (link !== undefined) await repairs.out(link);
  }
  const newest = page.changes.at(-1)?.sequence ?? 0;
  // Whose record it may be is asked of all that is known, also of what other pages say.
  const isUnlinked = [...byAccount.keys()].some((objectGUID) => log.link(objectGUID) === undefined);
  if (byAccount.size > 0 && (isUnlinked || newest > log.knownSequence)) await log.refresh();
  const accepted = [...byAccount.values()].map(async (events) => {
    const last = events.at(-1);
    if (last === undefined || (await takeOverRecreated(last, intake))) return;
    const known = log.link(last.objectGUID);
    const found = known === undefined ? await firstFound(events, linker, stop) : { link: known };
    if (found === undefined) {
      if (last.kind !== 'created') withoutRecord.push(last);
    } else if (!('link' in found)) await repairs.leave(last, found.uncertain, 'link-uncertain');
    else await acceptLast(events, found.link, intake, isOut(last.objectGUID));
  });
  // All of them, before the page is tried again: none may still be at it then.
  const failed = (await Promise.allSettled(accepted)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  for (const { before } of page.changes) {
    const other = before === null ? undefined : log.holder(before.domain, before.sAMAccountName);
    const link = other === undefined ? undefined : log.link(other);
    if (link !== undefined) repairs.unshare(link.systemuserid);
  }
  await page.ack();
  return withoutRecord;
}

/** Another UPN matters only to a record that shows one. */
async function acceptLast(events: readonly ChangeEvent[], link: Link, { repairs }: Intake, leftScope: boolean): Promise<void> {
  const last = events.findLast(({ kind }) => kind !== 'created' && (kind !== 'upn-changed' || isUpn(link.domainname)));
  if (last !== undefined) await repairs.accept(last, link, { leftScope });
}

/**
 * An account that was made under the name of a deleted one is another account, whoever it belongs to: the record of the deleted one is
 * mapped to nobody who can log on.
 *
 * @returns whether this was such an account
 */
async function takeOverRecreated(event: ChangeEvent, { organization, log, repairs, recreated }: Intake): Promise<boolean> {
  const { kind, objectGUID, formerHolder } = event;
  if (kind !== 'created' || formerHolder === null || log.identity(formerHolder) !== undefined) return false;
  const own = log.link(objectGUID);
  if (own !== undefined) {
    if (own.by !== BY_RECREATED) return false;
    // Linked before a crash; whether its repair is in the journal as well is looked up.
    await repairs.accept(event, own, { leftScope: false, remap: true });
    return true;
  }
  const former = log.link(formerHolder);
  if (former === undefined) return false;
  const { systemuserid, domainname } = former;
  if (recreated === 'ask') {
    await repairs.leave(event, former, 'account-recreated');
    return true;
  }
  const link = { ...linkOf(organization, objectGUID, { systemuserid, domainname }), by: BY_RECREATED };
  await log.record({ links: [{ ...former, denied: true }, link] });
  await repairs.accept(event, link, { leftScope: false, remap: true });
  return true;
}

/** The record may show any of the names that the account had meanwhile. */
async function firstFound(events: readonly ChangeEvent[], linker: Linker, stop: AbortSignal): Promise<Found | undefined> {
  for (const event of events) {
    const found = await linker.byFormerName(event, stop);
    if (found !== undefined) return found;
  }
  return undefined;
}
