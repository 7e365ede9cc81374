import type { Bed } from '../../infra/testbed/bed.ts';
import { startBed } from '../../infra/testbed/bed.ts';
import { until } from '../support/chain-wait.ts';
import { Controller } from './controller.ts';
import type { Journal } from './journal.ts';
import { readObject } from './object-state.ts';

/** A notification that was lost is not sent again, so one that does not help is followed by another; milliseconds. */
const REMIND = 3_000;
const PULL_WITHIN = 60_000;

/** Two domain controllers of one domain, each with an account of its own that is written nowhere else: what of it is seen tells what was seen. */
export class Pair implements AsyncDisposable {
  readonly bed: Bed;
  readonly all: readonly [Controller, Controller];
  readonly #marks: ReadonlyMap<Controller, string>;
  #mark = 0;

  private constructor(bed: Bed, all: readonly [Controller, Controller], marks: ReadonlyMap<Controller, string>) {
    this.bed = bed;
    this.all = all;
    this.#marks = marks;
  }

  static async start(): Promise<Pair> {
    const bed = await startBed({ dcs: 2 });
    try {
      const [first, second] = bed.directories;
      if (second === undefined) throw new Error('the bed has one domain controller');
      const all = [await Controller.of(first), await Controller.of(second)] as const;
      const admin = await all[0].admin();
      const marks = new Map<Controller, string>();
      for (const each of all) marks.set(each, (await admin.create({ sAMAccountName: `mark-${each.name}` })).objectGUID);
      await bed.replication.settled();
      return new Pair(bed, all, marks);
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
    const objectGUID = this.#marks.get(controller) ?? '';
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
    const deadline = performance.now() + PULL_WITHIN;
    for (let arrived = false, marks = 1; !arrived; marks *= 8) {
      // Who was rolled back is believed again once its numbers have passed those that it had before.
      for (let extra = 1; extra < marks; extra++) await this.mark(from, journal);
      const { objectGUID, mail } = await this.mark(from, journal);
      const isThere = async () => (await readObject(await to.client(), objectGUID))?.values.mail === mail;
      arrived = await until(`${to.name} pulls from ${from.name}`, isThere, REMIND).then(
        () => true,
        (error: Error) => {
          if (performance.now() > deadline) throw error;
          return false;
        },
      );
    }
    await to.setPulls(pulled);
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
