import { setTimeout as delay } from 'node:timers/promises';
import type { Bed } from '../../infra/testbed/bed.ts';
import { startBed } from '../../infra/testbed/bed.ts';
import { Controller } from './controller.ts';
import type { Journal } from './journal.ts';
import { readObject } from './object-state.ts';

/** A notification that was lost is not sent again, so one that does not help is followed by another; milliseconds. */
const REMIND = 3_000;
const POLL = 20;
/** As many times more marks in each try as in the one before. */
const MORE = 4;

/** Two domain controllers of one domain, each with an account of its own that is written nowhere else: what of it is seen tells what was seen. */
export class Pair implements AsyncDisposable {
  readonly bed: Bed;
  readonly all: readonly [Controller, Controller];
  readonly #accounts: ReadonlyMap<Controller, string>;
  #mark = 0;

  private constructor(bed: Bed, all: readonly [Controller, Controller], accounts: ReadonlyMap<Controller, string>) {
    this.bed = bed;
    this.all = all;
    this.#accounts = accounts;
  }

  static async start(): Promise<Pair> {
    const bed = await startBed({ dcs: 2 });
    try {
      const [first, second] = bed.directories;
      if (second === undefined) throw new Error('the bed has one domain controller');
      const all = [await Controller.of(first), await Controller.of(second)] as const;
      const admin = await all[0].admin();
      const accounts = new Map<Controller, string>();
      for (const each of all) accounts.set(each, (await admin.create({ sAMAccountName: `mark-${each.name}` })).objectGUID);
      await bed.replication.settled();
      return new Pair(bed, all, accounts);
    } catch (error) {
      await bed[Symbol.asyncDispose]();
      throw error;
    }
  }

  get namingContext(): string {
    return this.bed.directory.namingContext;
  }

  other(controller: Controller): Controller {
    return controller === this.all[0] ? this.all[1] : this.all[0];
  }

  /** Changes the account of this domain controller. */
  async mark(controller: Controller, journal: Journal): Promise<{ objectGUID: string; mail: string }> {
    const objectGUID = this.#accounts.get(controller) ?? '';
    const mail = `mark-${++this.#mark}@example.test`;
    await (await controller.admin()).set(objectGUID, { mail });
    const state = await readObject(await controller.client(), objectGUID);
    if (state !== undefined) journal.note(state);
    return { objectGUID, mail };
  }

  /** `to` has afterwards what was written on the other one until now. */
  async pull(to: Controller, journal: Journal): Promise<void> {
    const from = this.other(to);
    const pulled = to.pulls;
    await to.setPulls(true);
    for (let marks = 1; !(await this.#arrives(to, await this.#marks(from, marks, journal))); marks *= MORE) {
      // It says why when it cannot.
      if (marks > MORE ** 2) await this.bed.replication.replicate(to.directory, from.directory);
      if (marks > MORE ** 4) throw new Error(`${to.name} does not get what is written on ${from.name}`);
    }
    await to.setPulls(pulled);
  }

  /** Several, since who was rolled back is believed again only when its numbers have passed those that it had before. */
  async #marks(from: Controller, count: number, journal: Journal): Promise<{ objectGUID: string; mail: string }> {
    for (let extra = 1; extra < count; extra++) await this.mark(from, journal);
    return await this.mark(from, journal);
  }

  async #arrives(to: Controller, { objectGUID, mail }: { objectGUID: string; mail: string }): Promise<boolean> {
    const deadline = performance.now() + REMIND;
    for (;;) {
      const state = await readObject(await to.client(), objectGUID);
      if (state?.values.mail === mail) return true;
      if (performance.now() > deadline) return false;
      await delay(POLL);
    }
  }

  /** Everything is up and replicates, and each has what the other has. */
  async settle(journal: Journal): Promise<void> {
    await Promise.all(this.all.map((each) => each.up()));
    for (const each of this.all) await each.setPulls(true);
    await Promise.all(this.all.map((each) => this.pull(each, journal)));
    await this.bed.replication.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.all) await each[Symbol.asyncDispose]();
    await this.bed[Symbol.asyncDispose]();
  }
}
