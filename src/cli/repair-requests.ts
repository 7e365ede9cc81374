import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChangeLog } from '../../streams/change-log.ts';
import { isOpen, type Repair } from '../../streams/repair.ts';
import type { RepairAnswer, RepairRequest } from '../../streams/repair-request.ts';

/** Commands that ask something of whoever repairs an organization, by way of the log. */

/** Milliseconds between two looks whether a request was answered, or a repair has ended. */
const LOOK_EVERY = 500;
/** Milliseconds without an answer after which that is said. */
const SAY_AFTER = 15_000;
/** Milliseconds after which a repair that goes on is not waited for any more. */
const REPAIRED_WITHIN = 60_000;

export type Wish = Pick<RepairRequest, 'kind' | 'organization' | 'systemuserid' | 'objectGUID' | 'remap'>;

/** Asks, and waits for the answers. They come in the order of the wishes. */
export async function askRepairer(log: ChangeLog, wishes: readonly Wish[]): Promise<RepairAnswer[]> {
  const requests = wishes.map((wish): RepairRequest => ({ ...wish, id: randomUUID(), time: new Date().toISOString() }));
  await log.requestRepair(...requests);
  const begun = performance.now();
  let isSaid = false;
  const answers: RepairAnswer[] = [];
  while (answers.length < requests.length) {
    const request = requests[answers.length];
    if (request === undefined) break;
    const answer = await log.answer(request.organization, request.systemuserid);
    if (answer?.id === request.id) {
      answers.push(answer);
      continue;
    }
    if (!isSaid && performance.now() - begun > SAY_AFTER) {
      console.error('No repairer has answered yet. The request stays in the log: whoever repairs next serves it. Ctrl-C ends the waiting.');
      isSaid = true;
    }
    await delay(LOOK_EVERY);
  }
  return answers;
}

/**
 * Waits until these repairs have ended, or have to wait.
 *
 * @param since those that were recorded at or after it, ISO 8601, are no older ones
 */
export async function untilRepaired(log: ChangeLog, wishes: readonly Wish[], since: string): Promise<Repair[]> {
  const begun = performance.now();
  for (;;) {
    const { repairs } = await log.status();
    const found = wishes.flatMap(({ organization, systemuserid }) => {
      const repair = repairs.find((one) => one.organization === organization && one.systemuserid === systemuserid);
      return repair !== undefined && repair.at >= since ? [repair] : [];
    });
    const isDone = found.length === wishes.length && found.every((repair) => !isOpen(repair) || repair.reason !== null);
    if (isDone || performance.now() - begun > REPAIRED_WITHIN) return found;
    await delay(LOOK_EVERY);
  }
}
