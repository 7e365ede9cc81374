import type { RepairerLog } from '../change-log.ts';
import type { CustomerEngagement, SystemUser } from '../customer-engagement.ts';
import type { Link } from '../repair.ts';
import type { RepairAnswer, RepairRequest } from '../repair-request.ts';
import { linkOf } from './links.ts';
import type { Repairs } from './repairs.ts';

/** What became of a request: done, or refused with a reason. */
interface Outcome {
  readonly done: boolean;
  readonly message: string;
  readonly links?: readonly Link[];
  /** The repair that is to be begun. */
  readonly begin?: { readonly link: Link; readonly record: SystemUser; readonly remap: boolean };
}

interface Place {
  readonly ce: CustomerEngagement;
  readonly log: RepairerLog;
  readonly repairs: Repairs;
  /** systemuserid of the service's own record. */
  readonly own: string;
}

/**
 * Does what a person asked for, and answers. The answer, links and the beginning of a repair are visible together.
 *
 * @throws CustomerEngagementError @throws FencedError @throws LogError
 */
export async function serve(request: RepairRequest, place: Place, stop: AbortSignal): Promise<void> {
  const { id, organization, systemuserid } = request;
  const { done, message, links = [], begin } = await outcomeOf(request, place, stop);
  const answer: RepairAnswer = { id, organization, systemuserid, done, message, time: new Date().toISOString() };
  const entries = { links, answers: [answer] };
  if (begin === undefined) await place.log.record(entries);
  else await place.repairs.request(begin.link, begin.record, begin.remap, entries);
}

async function outcomeOf(request: RepairRequest, place: Place, stop: AbortSignal): Promise<Outcome> {
  const { ce, log, own, repairs } = place;
  const { systemuserid } = request;
  if (request.kind === 'skip') {
    const why = await repairs.skip(systemuserid);
    return why === undefined ? done('its repair has ended') : refused(why);
  }
  await log.refresh();
  const link = log.linkOfRecord(systemuserid);
  if (request.kind === 'unlink') return unlinked(link, place);
  const record = (await ce.find({ systemuserids: [systemuserid], domainNames: [] }, stop)).find(
    (found) => found.systemuserid === systemuserid,
  );
  if (record === undefined) return refused('there is no such user record');
  if (systemuserid === own) return refused('it is the service\u2019s own record, which it may not write');
  if (record.special) return refused('it is SYSTEM, INTEGRATION, a support user or an application user, which cannot be written');
  if (request.kind === 'link') return linked(request.objectGUID, record, link, place);
  if (link === undefined) return refused('it is linked to no account: say to which one with "namesake link set"');
  return { ...done('its repair is begun'), begin: { link, record, remap: request.remap === true } };
}

function unlinked(link: Link | undefined, { repairs }: Place): Outcome {
  if (link === undefined) return refused('it is linked to no account');
  const isUnderWay = repairs.open.some(({ systemuserid }) => systemuserid === link.systemuserid);
  if (isUnderWay) return refused('its repair is under way: wait for its end, or skip it');
  return { ...done('it is linked to no account any more'), links: [{ ...link, denied: true }] };
}

/** A record that was linked to another account is mapped to that one, whatever name it shows. */
function linked(objectGUID: string | undefined, record: SystemUser, former: Link | undefined, { ce, log, repairs }: Place): Outcome {
  const identity = objectGUID === undefined ? undefined : log.identity(objectGUID);
  if (objectGUID === undefined || identity === undefined) return refused('there is no such account among those that are followed');
  const other = log.link(objectGUID);
  if (other?.systemuserid === record.systemuserid) return done('they are linked already');
  if (other !== undefined) return refused(`the account is linked to the record ${other.systemuserid}: unlink that one first`);
  if (repairs.open.some(({ systemuserid }) => systemuserid === record.systemuserid)) {
    return refused('a repair of the record is under way: wait for its end, or skip it');
  }
  const link = { ...linkOf(ce.name, objectGUID, record), by: 'person' };
  return {
    ...done('they are linked, and the record is repaired if its name differs'),
    links: [...(former === undefined ? [] : [{ ...former, denied: true }]), link],
    begin: { link, record, remap: former !== undefined },
  };
}

function done(message: string): Outcome {
  return { done: true, message };
}

function refused(message: string): Outcome {
  return { done: false, message };
}
