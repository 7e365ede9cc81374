import { ResultCodeError, type SearchOptions } from 'ldapts';
import type { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import type { Random } from '../support/chain-random.ts';
import { guidTextOf } from '../support/directory-values.ts';
import type { Controller } from './controller.ts';
import type { Journal } from './journal.ts';
import { readObject } from './object-state.ts';

/** How many organizational units accounts are moved between; the first keeps its name. */
const UNITS = 3;

/** The accounts of one run: who of them is thought to be alive, the names that they have had, and what is written to them. */
export class Accounts {
  /** Writes that were accepted, and those that were refused, by kind. */
  readonly done = new Map<string, number>();
  readonly refused = new Map<string, number>();
  /** With the name that was written last, wherever that was. */
  readonly living = new Map<string, string>();
  readonly dead = new Set<string>();
  readonly #names: string[] = [];
  readonly #random: Random;
  readonly #journal: Journal;
  readonly #run: string;
  readonly #namingContext: string;
  /** objectGUIDs, since their names change. */
  readonly #units: string[] = [];
  #fixedUnit = '';
  #texts = 0;

  /** @param run is part of all names */
  constructor(run: string, namingContext: string, random: Random, journal: Journal) {
    this.#run = run;
    this.#namingContext = namingContext;
    this.#random = random;
    this.#journal = journal;
  }

  get count(): number {
    return [...this.done.values()].reduce((sum, each) => sum + each, 0);
  }

  /** DN of the unit that is never renamed: a scope can name it. */
  get fixedUnit(): string {
    return this.#fixedUnit;
  }

  async begin(on: Controller, accounts: number): Promise<void> {
    const client = await on.client();
    for (let unit = 0; unit < UNITS; unit++) {
      const dn = `OU=${this.freshText()},${this.#namingContext}`;
      await client.add(dn, { objectClass: 'organizationalUnit' });
      this.#fixedUnit ||= dn;
      const options: SearchOptions = { scope: 'base', attributes: ['objectGUID'], explicitBufferAttributes: ['objectGUID'] };
      const { searchEntries } = await client.search(dn, options);
      this.#units.push(guidTextOf(searchEntries[0]?.objectGUID as Buffer));
    }
    for (let account = 0; account < accounts; account++) await this.create('begin', on, this.freshName());
  }

  /** Whoever was in it is gone; what is left of an earlier failure is no matter. */
  async end(on: Controller): Promise<void> {
    const admin = await on.admin();
    for (const objectGUID of this.living.keys()) await admin.delete(objectGUID).catch(() => {});
    const client = await on.client();
    for (const unit of this.#units) await client.del(`<GUID=${unit}>`).catch(() => {});
  }

  someone(): string {
    return this.#random.pick([...this.living.keys()]);
  }

  /** No two are the same, so that a value tells its write. */
  freshText(): string {
    return `t${this.#run}-${++this.#texts}`;
  }

  freshName(): string {
    return `${this.#random.pick(['Lo', 'mi', 'TA', 'ne'])}${this.freshText()}`;
  }

  /** A name that somebody had before, as a rule one that nobody is thought to have now. */
  usedName(): string {
    const taken = new Set([...this.living.values()].map((name) => name.toLowerCase()));
    const free = this.#names.filter((name) => !taken.has(name.toLowerCase()));
    return this.#random.pick(free.length === 0 || this.#random.chance(0.15) ? this.#names : free);
  }

  async create(kind: string, on: Controller, sAMAccountName: string): Promise<void> {
    const parent = await this.#parent(on);
    const [cn, displayName] = [this.freshText(), this.freshText()];
    await this.#write(kind, on, async (admin) => {
      const { objectGUID } = await admin.create({ sAMAccountName, cn, parent, attributes: { displayName } });
      this.#named(objectGUID, sAMAccountName);
      return objectGUID;
    });
  }

  async rename(kind: string, on: Controller, objectGUID: string, sAMAccountName: string): Promise<void> {
    await this.#change(kind, on, objectGUID, async (admin) => {
      await admin.rename(objectGUID, sAMAccountName);
      this.#named(objectGUID, sAMAccountName);
      this.#journal.wrote(objectGUID, { sAMAccountName });
    });
  }

  /** Null clears. */
  async set(kind: string, on: Controller, objectGUID: string, values: Readonly<Record<string, string | null>>): Promise<void> {
    await this.#change(kind, on, objectGUID, async (admin) => {
      await admin.set(objectGUID, values);
      this.#journal.wrote(objectGUID, values);
    });
  }

  async setEnabled(kind: string, on: Controller, objectGUID: string, enabled: boolean): Promise<void> {
    await this.#change(kind, on, objectGUID, async (admin) => {
      await (enabled ? admin.enable(objectGUID) : admin.disable(objectGUID));
      this.#journal.wrote(objectGUID, { enabled: String(enabled) });
    });
  }

  async #change(kind: string, on: Controller, objectGUID: string, body: (admin: DirectoryAdmin) => Promise<unknown>): Promise<void> {
    await this.#write(kind, on, async (admin) => {
      await body(admin);
      return objectGUID;
    });
  }

  async move(kind: string, on: Controller, objectGUID: string): Promise<void> {
    const parent = await this.#parent(on);
    await this.#change(kind, on, objectGUID, (admin) => admin.move(objectGUID, parent));
  }

  async renameUnit(kind: string, on: Controller): Promise<void> {
    const unit = this.#random.pick(this.#units.slice(1));
    const to = `OU=${this.freshText()}`;
    await this.#write(kind, on, async () => {
      await (await on.client()).modifyDN(`<GUID=${unit}>`, to);
      return undefined;
    });
  }

  async delete(kind: string, on: Controller, objectGUID: string): Promise<void> {
    await this.#change(kind, on, objectGUID, async (admin) => {
      await admin.delete(objectGUID);
      this.living.delete(objectGUID);
      this.dead.add(objectGUID);
    });
  }

  async reanimate(kind: string, on: Controller, objectGUID: string): Promise<void> {
    const parent = await this.#parent(on);
    await this.#change(kind, on, objectGUID, async (admin) => {
      await admin.reanimate(objectGUID, this.freshText(), parent);
      this.#named(objectGUID, (await admin.get(objectGUID)).sAMAccountName);
    });
  }

  #named(objectGUID: string, name: string): void {
    this.dead.delete(objectGUID);
    this.living.set(objectGUID, name);
    this.#names.push(name);
  }

  /** Relative to the naming context, as this domain controller knows it. */
  async #parent(on: Controller): Promise<string> {
    const client = await on.client();
    const { searchEntries } = await client.search(`<GUID=${this.#random.pick(this.#units)}>`, { scope: 'base', attributes: ['1.1'] });
    return searchEntries[0]?.dn.slice(0, -this.#namingContext.length - 1) ?? 'OU=Staff';
  }

  /** Who is not there yet, or any more, and who may not have a name, is no failure. */
  async #write(kind: string, on: Controller, body: (admin: DirectoryAdmin) => Promise<string | undefined>): Promise<void> {
    let objectGUID: string | undefined;
    try {
      objectGUID = await body(await on.admin());
    } catch (error) {
      if (!(error instanceof ResultCodeError)) throw error;
      this.refused.set(kind, (this.refused.get(kind) ?? 0) + 1);
      return;
    }
    this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
    const state = objectGUID === undefined ? undefined : await readObject(await on.client(), objectGUID);
    if (state !== undefined) this.#journal.note(state);
  }
}
