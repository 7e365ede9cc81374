import type { ChangeEvent } from './change.ts';
import type { RepairerLog } from './change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, type SystemUser } from './customer-engagement.ts';
import { domainName, sameName } from './identity.ts';
import type { Link } from './repair.ts';

/**
 * Learns which record belongs to which account while their names still agree. A record or account that is linked already
 * keeps its link, whatever names they have now: names are re-used, links are not.
 *
 * @returns how many links are new
 * @throws CustomerEngagementError
 */
export async function learnLinks(
  ce: CustomerEngagement,
  log: RepairerLog,
  parkingAccounts: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  let learned = 0;
  for await (const records of ce.all(signal)) {
    const links: Link[] = [];
    for (const record of records) {
      if (record.special || parkingAccounts.some((account) => sameName(account, record.domainname))) continue;
      const [domain, name] = record.domainname.split('\\');
      if (domain === undefined || name === undefined) continue;
      const objectGUID = log.holder(domain, name);
      if (objectGUID !== undefined && isUnlinked(objectGUID, record, log)) links.push(linkOf(ce.name, objectGUID, record));
    }
    if (links.length > 0) await log.record({ links });
    learned += links.length;
  }
  return learned;
}

/**
 * Finds the record of an account that was renamed before its link was learned: the one that still shows the name from
 * before the change, unless another account has that name by now and could be meant.
 *
 * @throws CustomerEngagementError
 */
export async function linkByFormerName(event: ChangeEvent, ce: CustomerEngagement, log: RepairerLog): Promise<Link | undefined> {
  if (event.before === null) return undefined;
  const former = domainName(event.before);
  const holder = log.holder(event.before.domain, event.before.sAMAccountName);
  if (holder !== undefined && holder !== event.objectGUID) return undefined;
  const records = await ce.find({ domainNames: [former] }).catch((error: unknown) => {
    // A name that Customer Engagement will not even look for cannot be the name of a record.
    if (error instanceof CustomerEngagementError && error.failure === 'refused') return [];
    throw error;
  });
  const [record, second] = records.filter((found) => sameName(found.domainname, former));
  if (record === undefined || second !== undefined || record.special || !isUnlinked(event.objectGUID, record, log)) return undefined;
  const link = linkOf(ce.name, event.objectGUID, record);
  await log.record({ links: [link] });
  return link;
}

export function linkOf(organization: string, objectGUID: string, record: Pick<SystemUser, 'systemuserid' | 'domainname'>): Link {
  return { organization, objectGUID, systemuserid: record.systemuserid, domainname: record.domainname, learned: new Date().toISOString() };
}

function isUnlinked(objectGUID: string, record: SystemUser, log: RepairerLog): boolean {
  return log.link(objectGUID) === undefined && log.linkOfRecord(record.systemuserid) === undefined;
}
