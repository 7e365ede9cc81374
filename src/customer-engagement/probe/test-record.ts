import { setTimeout as delay } from 'node:timers/promises';
import { FencedError, LogError, type RepairerLog } from '../../../streams/change-log.ts';
import { type CustomerEngagement, CustomerEngagementError, PERSON_COLUMNS, type SystemUser } from '../../../streams/customer-engagement.ts';
import { type Identity, sameName } from '../../../streams/identity.ts';
import type { Repair } from '../../../streams/repair.ts';
import type { ProbedServer } from './server.ts';

/** Milliseconds. */
export interface Patience {
  /** For putting back, after which a person has to. */
  readonly putBackWithin: number;
  /** Before it is tried again. */
  readonly again: number;
  /** In which a write that was given up may still be carried out. */
  readonly late: number;
}

export const USUAL_PATIENCE: Patience = { putBackWithin: 60_000, again: 1_000, late: 3_000 };

/** One write of a user name, and what it came to. */
export interface Attempt {
  readonly name: string;
  readonly error: CustomerEngagementError | undefined;
  /** What the record shows after it; undefined where that could not be read. */
  readonly after: SystemUser | undefined;
  /** From the request to its answer. */
  readonly milliseconds: number;
}

/** Whether the server took the name, whatever it made of it. */
export function isAccepted({ error }: Attempt): boolean {
  return error === undefined;
}

export interface TestRecordPlace {
  readonly ce: CustomerEngagement;
  readonly server: Pick<ProbedServer, 'changeSet'>;
  readonly log: Pick<RepairerLog, 'confirm' | 'record' | 'knownSequence'>;
  /** As it is before anything is written. */
  readonly user: SystemUser;
  /** The account that it belongs to. */
  readonly identity: Identity;
  readonly parkingAccounts: readonly string[];
  readonly patience: Patience;
}

/**
 * The record of the test user. Each write is in the journal before it is sent, as that of a repair which is to bring the record to the name
 * that it has: whoever repairs next finishes that, should this process die. Writes wait until it is certain that nobody else repairs.
 */
export class TestRecord {
  readonly before: SystemUser;
  readonly identity: Identity;
  /** Why it could not be put back, if so; and what else a person should know. */
  readonly problems: string[] = [];
  readonly notes: string[] = [];
  /** User names that were sent, in their order. */
  readonly sent: string[] = [];
  readonly #place: TestRecordPlace;
  readonly #begun = new Date().toISOString();
  /** Whether something was sent since it was last seen to be as before. */
  #isTouched = false;
  /** Whether a write was sent whose outcome is not known. */
  #isDoubtful = false;

  constructor(place: TestRecordPlace) {
    this.#place = place;
    this.before = place.user;
    this.identity = place.identity;
  }

  /** Sends a user name, and looks at the record afterwards. @throws FencedError @throws LogError when somebody else may be repairing */
  async write(name: string): Promise<Attempt> {
    return await this.#attempt(name, () => this.#place.ce.setDomainName(this.before.systemuserid, name));
  }

  /** Sends user names in one change set. @throws FencedError @throws LogError */
  async writeAtOnce(names: readonly string[]): Promise<Attempt> {
    return await this.#attempt(names.join(', '), () => this.#place.server.changeSet(this.before.systemuserid, names), names[0]);
  }

  async #attempt(name: string, send: () => Promise<unknown>, journaled = name): Promise<Attempt> {
    await this.#journal(journaled);
    this.sent.push(name);
    const begun = performance.now();
    const error = await failureOf(send());
    const milliseconds = Math.round(performance.now() - begun);
    if (error?.failure === 'unknown-outcome') this.#isDoubtful = true;
    const after = await this.#read().catch(nothing);
    return { name, error, after, milliseconds };
  }

  /**
   * Makes the record what it was, as far as that can be done within the time for it. What is wrong then is in `problems`.
   *
   * @returns whether it is
   */
  async putBack(): Promise<boolean> {
    if (!this.#isTouched) return this.problems.length === 0;
    const { patience } = this.#place;
    const begun = performance.now();
    let why = 'the time for it is over';
    let isWritten = false;
    for (let parked = 0; performance.now() - begun < patience.putBackWithin; ) {
      try {
        const now = await this.#read();
        const isBack = sameName(now.domainname, this.before.domainname);
        if (isBack || (isWritten && this.#isOwn(now.domainname))) {
          if (this.#isDoubtful) {
            this.#isDoubtful = false;
            await delay(patience.late);
            continue;
          }
          if (!isBack)
            this.notes.push(
              `The record shows ${now.domainname} now, although ${this.before.domainname} was written: the same account in another form.`,
            );
          await this.#putBack(now);
          this.#isTouched = false;
          return true;
        }
        const { parkingAccounts } = this.#place;
        // On its own account under another name: that is refused at once, since the account is on a record.
        const viaParking: boolean = this.#isOwn(now.domainname) && !isWritten;
        const name: string | undefined = viaParking ? parkingAccounts[parked++ % parkingAccounts.length] : undefined;
        await this.#journal(name ?? this.before.domainname);
        await this.#place.ce.setDomainName(this.before.systemuserid, name ?? this.before.domainname);
        isWritten = name === undefined;
      } catch (error) {
        if (error instanceof FencedError || error instanceof LogError) {
          this.problems.push(
            `Somebody else may be repairing: ${error.message}. The journal says what is to be done, and whoever repairs does it.`,
          );
          return false;
        }
        if (!(error instanceof CustomerEngagementError)) throw error;
        why = error.message;
        if (error.failure === 'unknown-outcome') this.#isDoubtful = true;
        if (error.failure === 'missing' || error.failure === 'impossible') break;
        await delay(patience.again);
      }
    }
    this.problems.push(why);
    return false;
  }

  /** Ends what the journal says of it, once it is as it was. @throws FencedError @throws LogError */
  async conclude(): Promise<void> {
    if (this.sent.length === 0) return;
    const message = 'written by namesake probe, and put back';
    await this.#place.log.record({ repairs: [this.#repair({ state: 'unneeded', reason: 'names-agree', message, parkingAccount: null })] });
  }

  async #journal(name: string): Promise<void> {
    this.#isTouched = true;
    const parkingAccount = this.#place.parkingAccounts.find((account) => sameName(account, name)) ?? null;
    const message = `namesake probe writes ${name}, and puts back ${this.before.domainname}`;
    await this.#place.log.record({ repairs: [this.#repair({ state: 'repairing', reason: null, message, parkingAccount })] });
    await this.#place.log.confirm();
  }

  #repair(step: Pick<Repair, 'state' | 'reason' | 'message' | 'parkingAccount'>): Repair {
    const { ce, log, identity } = this.#place;
    const { systemuserid, domainname, firstname, lastname, internalemailaddress } = this.before;
    const { objectGUID } = identity;
    return {
      organization: ce.name,
      systemuserid,
      objectGUID,
      ...step,
      from: domainname,
      to: domainname,
      attempts: 0,
      notBefore: null,
      person: step.state === 'repairing' ? { firstname, lastname, internalemailaddress } : null,
      eventId: `${objectGUID}-${log.knownSequence}`,
      sequence: log.knownSequence,
      times: { observed: this.#begun },
      at: new Date().toISOString(),
    };
  }

  async #read(): Promise<SystemUser> {
    const { systemuserid } = this.before;
    const [found] = await this.#place.ce.find({ systemuserids: [systemuserid], domainNames: [] });
    if (found === undefined) throw new CustomerEngagementError('missing', 'the record is gone');
    return found;
  }

  #isOwn(name: string): boolean {
    const { domain, sAMAccountName, userPrincipalName } = this.identity;
    return [this.before.domainname, `${domain}\\${sAMAccountName}`, userPrincipalName ?? ''].some(
      (own) => own !== '' && sameName(own, name),
    );
  }

  /** First name, last name and e-mail, where the server changed them with the user name. */
  async #putBack(now: SystemUser): Promise<void> {
    const changed = PERSON_COLUMNS.filter((column) => now[column] !== this.before[column]);
    if (changed.length === 0) return;
    await this.#place.log.confirm();
    await this.#place.ce.setColumns(this.before.systemuserid, Object.fromEntries(changed.map((column) => [column, this.before[column]])));
    this.notes.push(`The server had changed ${changed.join(', ')} with the user name; they were put back.`);
  }
}

async function failureOf(work: Promise<unknown>): Promise<CustomerEngagementError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof CustomerEngagementError) return error;
    throw error;
  }
}

function nothing(error: unknown): undefined {
  if (!(error instanceof CustomerEngagementError)) throw error;
}
