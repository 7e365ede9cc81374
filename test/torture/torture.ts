import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Outcome, runListener } from './listener-run.ts';
import { Pair } from './pair.ts';

/** Changes of one run, unless told otherwise. */
export const CHANGES = 110;

/** Runs one seed after the other on the same two domain controllers, for as long as these are good for more. */
export class Torture implements AsyncDisposable {
  #pair: Pair | undefined;

  async run(seed: number, changes = CHANGES): Promise<Outcome> {
    this.#pair ??= await Pair.start();
    const folder = await mkdtemp(join(tmpdir(), 'namesake-torture-'));
    try {
      const outcome = await runListener(this.#pair, seed, changes, folder);
      if (outcome.spoiled) await this.#end();
      return outcome;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #end(): Promise<void> {
    const pair = this.#pair;
    this.#pair = undefined;
    await pair?.[Symbol.asyncDispose]();
  }
}

export function commandFor(seed: number, changes = CHANGES): string {
  return `npm run torture -- listener --seed ${seed}${changes === CHANGES ? '' : ` --operations ${changes}`}`;
}
