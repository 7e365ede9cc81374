import type { LogStatus } from '../../streams/change-log.ts';
import { durationText } from '../../streams/duration.ts';
import { isOpen } from '../../streams/repair.ts';
import { parkedNow } from '../../streams/repairer/stays.ts';
import { storyOf } from '../runtime/narrator.ts';
import { printable } from '../runtime/printable.ts';

/** Positions that are older than so many times what a listener at work leaves between two of them tell that it is not, or reads nothing. */
const LATE = 3;

/**
 * The state of a log for a person.
 *
 * @param positionEvery milliseconds after which a listener that reads stores its position again
 */
export function describeStatus(status: LogStatus, log: string, positionEvery: number): string {
  const { positions, sequence, identities, lastEvent, repairs, links } = status;
  const open = repairs.filter(isOpen);
  const stuck = repairs.filter(({ state }) => state === 'needs-person');
  const lines = [
    `Log         ${log}`,
    `Events      ${sequence}${lastEvent === undefined ? '' : `, the last one ${lastEvent.observed.time}: ${lastEvent.kind} ${storyOf(lastEvent)}`}`,
    `Identities  ${identities}`,
    `Links       ${links}`,
  ];
  if (positions.length === 0) lines.push('Listeners   none has read a directory to its end yet');
  for (const position of positions) lines.push(...describePosition(position, positionEvery));
  lines.push(`Repairs     ${open.length} open, ${stuck.length} need a person, ${repairs.length} people in all`);
  const parking = parkedNow(repairs);
  if (parking.since !== null)
    lines.push(`Parked      ${parking.people} people, the longest since ${parking.since} (${ago(parking.since)})`);
  for (const repair of [...open, ...stuck]) {
    const { organization, from, to, state, reason, message, attempts, notBefore, at, parkingAccount } = repair;
    const why = [reason, message].filter((part) => part !== null).join(': ');
    const next = notBefore === null || state !== 'waiting' ? '' : `, next try ${notBefore}`;
    const parked = parkingAccount === null ? '' : `, parked on ${parkingAccount}`;
    lines.push(
      `  ${organization}  ${from} → ${to}  ${state}${why === '' ? '' : ` (${why})`}${parked}, ${attempts} attempts, since ${at}${next}`,
    );
  }
  return lines.map(printable).join('\n');
}

function describePosition(position: LogStatus['positions'][number], positionEvery: number): string[] {
  const { namingContext, dc, time, scope, comparing, withheld, compared, held, setAside, passedOver } = position;
  const lines = [`Listener    ${namingContext} on ${dc}, stood there ${ago(time)}`];
  // One that compares, or may not go on, stores none.
  const isStored = comparing === undefined && withheld === undefined;
  if (isStored && Date.now() - Date.parse(time) > LATE * positionEvery) {
    lines.push('            nothing has been read since: no listener is at work, or it reaches no domain controller; its log says which');
  }
  for (const { dc: other, reason } of passedOver) lines.push(`            not on ${other}, when it connected: ${reason}`);
  if (scope !== '') lines.push(`            follows accounts ${scope}`);
  if (comparing !== undefined) lines.push(`            its position is lost (${comparing.reason}): everything is being compared`);
  if (withheld !== undefined) {
    const { deletions, since } = withheld;
    lines.push(`            ${deletions} deletions are withheld since ${since}: namesake accept-deletions lets them pass`);
  }
  const waiting = Object.keys(held).length;
  if (waiting > 0)
    lines.push(
      `            accounts that wait until ${dc} has caught up with what was seen elsewhere, or turn up in another domain: ${waiting}`,
    );
  for (const [objectGUID, reason] of Object.entries(setAside)) lines.push(`            set aside ${objectGUID}: ${reason}`);
  if (compared !== undefined) lines.push(`            everything was read last ${ago(compared.at)}, ${compared.objects} objects`);
  return lines;
}

/** The same for a program. The cookies are the directory's business: they stay where the positions are kept. */
export function describeAsJson(status: LogStatus): string {
  const positions = status.positions.map(({ cookie: _, recent: __, shown: ___, ...position }) => position);
  return JSON.stringify({ ...status, positions, parked: parkedNow(status.repairs) }, null, 2);
}

function ago(time: string): string {
  return `${durationText(Math.max(0, Date.now() - Date.parse(time)))} ago`;
}
