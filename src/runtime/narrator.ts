import { type ChangeEvent, eventId } from '../../streams/change.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { durationText } from '../../streams/duration.ts';
import { domainName, type Identity } from '../../streams/identity.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import type { Repair } from '../../streams/repair.ts';
import { ParkingError, type RepairerReport } from '../../streams/repairer/repairer.ts';
import type { Logger } from './logger.ts';

/** Milliseconds between two lines about a long read. */
const PROGRESS_EVERY = 2_000;

/** Turns reports into log lines: one line that a person would want for each event and each repair, tied together by the event's id. */
export class Narrator {
  readonly #log: Logger;
  #toldProgress = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  listener(report: ListenerReport): void {
    switch (report.type) {
      case 'standing-by':
        this.#log.info({ log: report.log }, `stands by while another instance listens, log on ${report.log}`);
        return;
      case 'listening':
        this.#log.info({ log: report.log }, `listening, log on ${report.log}`);
        return;
      case 'connected': {
        const how = report.fullRead === undefined ? 'going on from the stored position' : `reading everything: ${report.fullRead}`;
        this.#log.info(
          { dc: report.dc, namingContext: report.namingContext },
          `connected to ${report.dc} for ${report.namingContext}, ${how}`,
        );
        for (const { dc, reason } of report.passedOver) {
          this.#log.warn({ dc }, dc === report.dc ? `${dc}: ${reason}` : `passed over ${dc}: ${reason}`);
        }
        for (const limit of report.limits) this.#log.warn(limit);
        return;
      }
      case 'position-lost':
        this.#log.error(
          { namingContext: report.namingContext, dc: report.dc },
          `the position in ${report.namingContext} is lost: ${report.reason}; comparing everything with what is known`,
        );
        return;
      case 'withheld':
        this.#withheld(report);
        return;
      case 'leaving':
        if (report.error instanceof DirectoryError && report.error.failure === 'preferred') {
          this.#log.info({ source: report.source }, `${report.error.message}; going back to it`);
          return;
        }
        this.#log.warn({ source: report.source, error: report.error }, `${report.error.message}; going to another domain controller`);
        return;
      case 'read-progress': {
        if (!report.done && performance.now() - this.#toldProgress < PROGRESS_EVERY) return;
        this.#toldProgress = performance.now();
        const rate = Math.round((report.objects * 1000) / Math.max(1, report.milliseconds));
        const { namingContext, objects, milliseconds, differences, waiting } = report;
        const what = report.done ? 'read everything' : 'reading everything';
        const found = differences === 0 ? '' : `, ${differences} differences`;
        const held = waiting === 0 ? '' : `, ${waiting} accounts differ and wait`;
        const fields = { namingContext, objects, milliseconds, rate, differences, waiting };
        this.#log.info(fields, `${what} in ${namingContext}: ${objects} objects, ${rate} a second${found}${held}`);
        return;
      }
      case 'published':
        for (const event of report.events) this.#event(event);
        return;
      case 'set-aside':
        this.#log.warn({ objectGUID: report.objectGUID, dn: report.dn }, `set aside ${report.objectGUID}: ${report.reason}`);
        return;
      case 'waiting':
        this.#waiting(report);
        return;
    }
  }

  repairer(report: RepairerReport): void {
    switch (report.type) {
      case 'standing-by':
        this.#log.info({ organization: report.organization }, `${report.organization}: stands by while another instance repairs`);
        return;
      case 'repairing': {
        const { organization, parking } = report;
        for (const { account, why } of parking.refused) {
          this.#log.error({ organization, account }, `${organization}: parking account ${account} is not used: ${why}`);
        }
        this.#log.info(
          { organization, parkingAccounts: parking.usable.length },
          `${organization}: repairing with ${parking.usable.length} parking accounts`,
        );
        return;
      }
      case 'linked':
        if (report.links > 0)
          this.#log.info(
            { organization: report.organization, links: report.links },
            `${report.organization}: ${report.links} user records linked to their accounts`,
          );
        return;
      case 'not-a-user':
        this.#log.debug(
          { organization: report.organization, eventId: eventId(report.event) },
          `${report.organization}: ${nameOf(report.event.after)} has no user record`,
        );
        return;
      case 'repair':
        this.#repair(report.repair);
        return;
      case 'waiting':
        this.#waiting(report);
        return;
    }
  }

  #withheld({ namingContext, deletions, known, digest }: Extract<ListenerReport, { type: 'withheld' }>): void {
    this.#log.error(
      { namingContext, deletions, known, digest },
      `${deletions} of ${known} accounts of ${namingContext} seem to be deleted, which is more than listener.deletionLimit: no deletion is reported. ` +
        'See which with "namesake compare --dry-run"; if it is right, "namesake accept-deletions" lets them pass',
    );
  }

  #waiting({ on, error, milliseconds }: { on: string; error: Error; milliseconds: number }): void {
    const level = error instanceof ParkingError ? 'error' : 'warn';
    const what = error.message.startsWith(`${on}: `) ? error.message : `${on}: ${error.message}`;
    this.#log[level]({ error, milliseconds }, `${what}; trying again in ${durationText(milliseconds)}`);
  }

  #event(event: ChangeEvent): void {
    const { kind, sequence, objectGUID } = event;
    this.#log.info({ eventId: eventId(event), sequence, kind, objectGUID, event }, `${kind} ${storyOf(event)}`);
  }

  #repair(repair: Repair): void {
    const { organization, systemuserid, eventId: cause, state, reason, from, to } = repair;
    const fields = { eventId: cause, organization, systemuserid, state, reason, repair };
    const why = [reason, repair.message].filter((part) => part !== null).join(': ');
    switch (state) {
      case 'repairing':
        this.#log.debug(fields, `${organization}: repairing ${from} → ${to} by way of ${repair.parkingAccount}`);
        return;
      case 'waiting':
        this.#log.warn(fields, `${organization}: ${from} → ${to} has to wait (${why})`);
        return;
      case 'repaired': {
        const told = repair.message === null ? '' : `; ${repair.message}`;
        const text = `${organization}: repaired ${from} → ${to}, ${sinceObserved(repair)} ms after the change was seen${told}`;
        this.#log[repair.message === null ? 'info' : 'warn'](fields, text);
        return;
      }
      case 'unneeded':
        this.#log.info(fields, `${organization}: nothing to repair for ${to} (${why})`);
        return;
      case 'needs-person':
        this.#log.error(fields, `${organization}: ${from} → ${to} needs a person (${why})`);
        return;
    }
  }
}

/** Milliseconds from when the listener saw the change until the record had its name. */
function sinceObserved(repair: Repair): number {
  return Date.parse(repair.times.named ?? repair.at) - Date.parse(repair.times.observed);
}

/** What an event says, for a person. */
export function storyOf(event: ChangeEvent): string {
  const { before, after, changed } = event;
  const former = sharingOf(event);
  switch (event.kind) {
    case 'renamed':
    case 'moved-domain':
      return `${nameOf(before)} → ${nameOf(after)}${event.caseOnly ? ' (case only)' : ''}${former}`;
    case 'upn-changed':
      return `${nameOf(after)}: ${before?.userPrincipalName ?? 'none'} → ${after?.userPrincipalName ?? 'none'}`;
    case 'profile-updated':
      return `${nameOf(after)}: ${changed.join(', ')}`;
    case 'deleted':
    case 'left-scope':
      return nameOf(before);
    default:
      return `${nameOf(after)}${former}`;
  }
}

function nameOf(identity: Identity | null): string {
  if (identity === null) return 'nobody';
  return identity.displayName === undefined ? domainName(identity) : `${domainName(identity)} (${identity.displayName})`;
}

function sharingOf({ formerHolder, sharedWith }: ChangeEvent): string {
  if (sharedWith != null) return `, a name that ${sharedWith} has at the same time`;
  return formerHolder === null ? '' : `, a name that ${formerHolder} had before`;
}
