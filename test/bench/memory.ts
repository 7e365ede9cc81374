import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Authority } from '../../infra/testbed/authority.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { run } from '../../infra/testbed/run.ts';
import { Command } from '../support/chain-cli.ts';
import type { Bench, BenchOptions, Outcome, Print } from './bench.ts';
import { monotonic } from './clock.ts';
import { CrowdedDirectory } from './crowded-directory.ts';
import { LineTail } from './line-tail.ts';
import { ENGINES, type Engine, SAYS, startUntil } from './product.ts';
import { median, quantile, rounded, SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';
import { forgetPeak, memoryMB } from './usage.ts';

const FEW = 1_000;
const MANY = 100_000;
/** What Active Directory gives in one DirSync answer; Samba gives everything. */
const PER_ANSWER = 1_000;
/** Milliseconds of quiet before the memory at rest is looked at. */
const SETTLE = 15_000;
/** Between the end of one rename and the next one, so that each is measured by itself. */
const GAP = 50;

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** The package as it is installed: Node's removal of types alone takes some thirty megabytes. */
const PROGRAM = inRepository('dist/src/cli/main.js');

/**
 * The package is built, as it is installed. One listener reads a directory of 100,000 users, another one of 1,000, made up by a process each and reached by LDAPS. Memory is
 * what the kernel says (VmHWM, VmRSS). Then both are renamed in, in turn, block by block: from the change in the directory until
 * the product says that the event is in the log. The noise is what the blocks of the small one differ by among themselves.
 */
export const memory: Bench = {
  name: 'memory',
  summary: `the memory of a listener with ${MANY} users; one rename there against one among ${FEW}`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    const plan = quick ? { many: 10_000, blocks: 2, renames: 10, settle: 3_000 } : { many: MANY, blocks: 20, renames: 20, settle: SETTLE };
    await run(inRepository('node_modules/.bin/tsc'), ['-p', inRepository('infra/publish/tsconfig.json')]);
    await using bed = await startBed({ directory: false, brokers: 1 });
    const authority = await Authority.open(join(bed.path, 'authority'));
    const certificate = await authority.issue('crowd', ['127.0.0.1']);
    await using few = await CrowdedDirectory.start(FEW, PER_ANSWER, certificate);
    await using many = await CrowdedDirectory.start(plan.many, PER_ANSWER, certificate);
    await using whole = await CrowdedDirectory.start(plan.many, plan.many, certificate);
    const figures: Record<string, number> = {};
    const ratios: Record<string, number> = {};
    for (const engine of ENGINES) {
      const outcome = await measure({ bed, caFile: authority.caFile, engine, few, many, whole }, plan, print);
      for (const [name, figure] of Object.entries(outcome.figures)) figures[`${engine}${name}`] = figure;
      for (const [name, ratio] of Object.entries(outcome.ratios)) ratios[`${engine}${name}`] = ratio;
    }
    return { figures, ratios };
  },
};

interface Plan {
  readonly many: number;
  readonly blocks: number;
  readonly renames: number;
  readonly settle: number;
}

interface Parts {
  readonly bed: Bed;
  readonly caFile: string;
  readonly engine: Engine;
  readonly few: CrowdedDirectory;
  readonly many: CrowdedDirectory;
  /** As many, but all in one answer. */
  readonly whole: CrowdedDirectory;
}

async function measure(parts: Parts, plan: Plan, print: Print): Promise<Outcome> {
  const { engine } = parts;
  const inOneAnswer = await Listener.prepare(parts, 'whole');
  const wholePeak = await inOneAnswer.readEverything();
  await inOneAnswer[Symbol.asyncDispose]();
  await using few = await Listener.prepare(parts, 'few');
  await using many = await Listener.prepare(parts, 'many');
  const fewPeak = await few.readEverything();
  const manyPeak = await many.readEverything();
  await delay(plan.settle);
  const atRest = { few: await few.resident(), many: await many.resident() };
  const blocks = { few: [] as number[][], many: [] as number[][] };
  for (let block = 0; block < plan.blocks; block++) {
    blocks.few.push(await few.renames(plan.renames));
    blocks.many.push(await many.renames(plan.renames));
  }
  const renamed = { few: await few.resident(), many: await many.resident() };
  const comparison = await many.compare();
  const rows = [
    ['peak of the first read', fewPeak, manyPeak],
    ['the same in one answer', '', wholePeak],
    ['at rest', atRest.few, atRest.many],
    ['after the renames', renamed.few, renamed.many],
    ['peak of a comparison', '', comparison.peak],
    ['  of the command', '', comparison.command],
  ];
  print(`\n${engine}\n${table(['MB', String(FEW), String(plan.many)], rows)}`);
  print(`\n${describe(blocks, plan)}`);
  return {
    figures: {
      FirstReadPeakMB: rounded(manyPeak),
      OneAnswerPeakMB: rounded(wholePeak),
      AtRestMB: rounded(atRest.many),
      AfterRenamesMB: rounded(renamed.many),
      ComparisonPeakMB: rounded(comparison.peak),
      CommandPeakMB: rounded(comparison.command),
      FewFirstReadPeakMB: rounded(fewPeak),
      FewAtRestMB: rounded(atRest.few),
      ...spreadFigures('Few', blocks.few.flat()),
      ...spreadFigures('Many', blocks.many.flat()),
      NoiseP50: noise(blocks.few, 0.5),
      NoiseP90: noise(blocks.few, 0.9),
    },
    ratios: { P50: ratio(blocks.many, blocks.few, 0.5), P90: ratio(blocks.many, blocks.few, 0.9) },
  };
}

class Listener implements AsyncDisposable {
  readonly #directory: CrowdedDirectory;
  readonly #product: Namesake;
  /** Unlike that of any other listener of the directory. */
  readonly #name: string;
  #names = 0;

  private constructor(directory: CrowdedDirectory, product: Namesake, name: string) {
    this.#directory = directory;
    this.#product = product;
    this.#name = name;
  }

  static async prepare(parts: Parts, which: 'few' | 'many' | 'whole'): Promise<Listener> {
    const { bed, caFile, engine } = parts;
    const name = `${engine}-${which}`;
    const passwordFile = join(bed.path, 'crowd-password');
    await writeFile(passwordFile, 'taken as it comes', { mode: 0o600 });
    const directory = { urls: [parts[which].url], bindDn: 'svc-namesake@corp.example.test', passwordFile, caFile };
    const settings = { directories: [directory], organizations: [] };
    const path = join(bed.path, name);
    const product = await Namesake.prepare({ bed, path, command: 'listen', engine, topicPrefix: `${name}.`, settings, program: PROGRAM });
    return new Listener(parts[which], product, name);
  }

  /** @returns the peak in MB */
  async readEverything(): Promise<number> {
    await startUntil(this.#product, { read: SAYS.readEverything });
    return (await memoryMB(this.#pid)).peak;
  }

  async resident(): Promise<number> {
    return (await memoryMB(this.#pid)).now;
  }

  /** One after the other, all over the directory. @returns milliseconds of each */
  async renames(count: number): Promise<number[]> {
    using tail = new LineTail(this.#product.logFile);
    const times: number[] = [];
    for (let rename = 0; rename < count; rename++) {
      this.#names += 1;
      const name = `${this.#name}-${this.#names}`;
      const said = tail.next((line) => line.includes(`"sAMAccountName":"${name}"`), `the event of ${name}`).then(() => monotonic());
      const begun = await this.#directory.rename(((this.#names * 7_919) % this.#directory.users) + 1, name);
      times.push((await said) - begun);
      await delay(GAP);
    }
    return times;
  }

  /** @returns peaks in MB of the listener, and of the command that asks for it */
  async compare(): Promise<{ peak: number; command: number }> {
    await forgetPeak(this.#pid);
    await using command = new Command(['compare', '--config', this.#product.configFile], { within: 120_000, program: PROGRAM });
    let over = false;
    const ended = command.ended.finally(() => {
      over = true;
    });
    let peak = 0;
    for (; !over; await delay(20)) peak = (await memoryMB(command.pid ?? 0).catch(() => undefined))?.peak || peak;
    const { code, stderr } = await ended;
    if (code !== 0) throw new Error(`namesake compare ended with ${code}: ${stderr}`);
    return { peak: (await memoryMB(this.#pid)).peak, command: peak };
  }

  get #pid(): number {
    return this.#product.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#product.stop();
  }
}

type Blocks = readonly (readonly number[])[];

function ratio(one: Blocks, other: Blocks, share: number): number {
  return rounded(quantile(one.flat(), share) / quantile(other.flat(), share));
}

/** Every second block against those in between. */
function noise(blocks: Blocks, share: number): number {
  const half = (which: number) => blocks.filter((_, index) => index % 2 === which);
  return ratio(half(0), half(1), share);
}

function describe({ few, many }: Record<'few' | 'many', Blocks>, plan: Plan): string {
  const medians = (blocks: Blocks) => blocks.map((block) => median(block).toFixed(1)).join(' ');
  const rows = [
    [`${FEW} users`, ...spread(few.flat())],
    [`${plan.many} users`, ...spread(many.flat())],
  ];
  return `${table(['ms, one rename', ...SPREAD_COLUMNS], rows)}
  medians of the blocks: ${FEW} users: ${medians(few)}
    ${plan.many} users: ${medians(many)}
  ratio: p50 ${ratio(many, few, 0.5)}, p90 ${ratio(many, few, 0.9)}; noise: p50 ${noise(few, 0.5)}, p90 ${noise(few, 0.9)}`;
}
