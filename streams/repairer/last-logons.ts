import type { AccountDesk } from '../account-desk.ts';
import type { Identity } from '../identity.ts';
import type { LastLogon } from '../repair.ts';

/**
 * Asks for the last logons of people who are being repaired, beside their repairs: it is asked before the two writes, and what is not
 * there after them is left out.
 */
export class LastLogons {
  readonly #desk: AccountDesk | undefined;
  /** Undefined until it is told. */
  readonly #told = new Map<string, LastLogon | undefined>();

  constructor(desk: AccountDesk | undefined) {
    this.#desk = desk;
  }

  ask(systemuserid: string, identity: Identity | undefined): void {
    if (this.#desk === undefined || identity === undefined) return;
    const { objectGUID, sAMAccountName } = identity;
    this.#told.set(systemuserid, undefined);
    const note = (logons: Awaited<ReturnType<AccountDesk['logons']>>) => {
      const logon = logons.find((one) => one.objectGUID === objectGUID);
      if (logon === undefined || !this.#told.has(systemuserid)) return;
      this.#told.set(systemuserid, { seen: logon.lastLogon, replicated: logon.lastLogonTimestamp, asked: new Date().toISOString() });
    };
    this.#desk.logons([sAMAccountName]).then(note, () => {});
  }

  take(systemuserid: string): LastLogon | undefined {
    const told = this.#told.get(systemuserid);
    this.#told.delete(systemuserid);
    return told;
  }
}
