import type { AccountDesk } from '../account-desk.ts';
import type { Identity } from '../identity.ts';
import type { LastLogon } from '../repair.ts';

/** Milliseconds that the end of a repair waits for what the directory says of the last logon; it was asked two writes before. */
const PATIENCE = 50;

/** Asks for the last logons of people who are being repaired, beside their repairs. What does not come in time is left out. */
export class LastLogons {
  readonly #desk: AccountDesk | undefined;
  readonly #asked = new Map<string, Promise<LastLogon | undefined>>();

  constructor(desk: AccountDesk | undefined) {
    this.#desk = desk;
  }

  ask(systemuserid: string, identity: Identity | undefined): void {
    if (this.#desk === undefined || identity === undefined) return;
    const { objectGUID, sAMAccountName } = identity;
    const answer = this.#desk.facts([sAMAccountName]).then((facts) => facts.find((fact) => fact.objectGUID === objectGUID));
    const told = answer.then(
      (fact) => fact && { seen: fact.lastLogon, replicated: fact.lastLogonTimestamp, asked: new Date().toISOString() },
    );
    this.#asked.set(
      systemuserid,
      told.catch(() => undefined),
    );
  }

  async told(systemuserid: string): Promise<LastLogon | undefined> {
    const asked = this.#asked.get(systemuserid);
    this.#asked.delete(systemuserid);
    if (asked === undefined) return undefined;
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), PATIENCE);
    return await Promise.race([asked, late]).finally(() => clearTimeout(timer));
  }
}
