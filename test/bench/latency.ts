import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RequestEntry } from '../../infra/customer-engagement/traffic.ts';
import { startBed } from '../../infra/testbed/bed.ts';
import { bulkUser } from '../../infra/testbed/content.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import { type Bench, type BenchOptions, type Outcome, type Print, USERS } from './bench.ts';
import { clockError, now } from './clock.ts';
import { Floor, STAGES } from './floor.ts';
import { LineTail } from './line-tail.ts';
import { ENGINES, SAYS, startUntil } from './product.ts';
import { median, quantile, rounded, SPREAD_COLUMNS, spread, spreadFigures, table } from './statistics.ts';

/** Between the end of one repair and the next rename, so that each is measured by itself. */
const GAP = 50;
/** Beyond this the clocks of the bench and of the stand-in cannot be compared. */
const LARGEST_CLOCK_ERROR = 1;
/** What the product may park on; the last account is the floor's. */
const PARKING_ACCOUNTS = 4;

/**
 * From the writer's LDAP answer to the second PATCH answered, as the CE stand-in logs it, for both: same directory, same
 * broker, same stand-in, same measure. The product is a process of its own, the floor runs in the bench. They take turns in
 * blocks; the one whose turn it is not stands still (SIGSTOP) or does nothing. A block renames some users and renames them
 * back, so what the other one reads afterwards is no change. Its first renames are not counted: they also make sure that it has
 * caught up.
 */
export const latency: Bench = {
  name: 'latency',
  summary: `one rename in ${USERS} users until the second PATCH is answered, against a raw chain`,
  async run(options: BenchOptions, print: Print): Promise<Outcome> {
    const plan = options.quick ? { blocks: 2, people: 5 } : { blocks: 10, people: 15 };
    await using bed = await startBed({ users: USERS, brokers: 1, customerEngagement: true });
    await using admin = await DirectoryAdmin.connect(bed.directory);
    await using floor = await Floor.open(bed, bed.directory.parkingAccounts.at(-1) ?? '');
    using tail = new LineTail(bed.crm.requestLog);
    const { low, high } = await clockError(floor.engagement, tail);
    print(`clock of the stand-in against ours: between ${low.toFixed(3)} and ${high.toFixed(3)} ms`);
    if (high < -LARGEST_CLOCK_ERROR || low > LARGEST_CLOCK_ERROR) throw new Error('the clocks differ: the times would mean nothing');
    const people = await findPeople(admin, plan.people + 1);
    const bench = new LatencyBench(admin, tail, people);
    const figures: Record<string, number> = {};
    let ratios: Record<string, number> = {};
    for (const engine of ENGINES) {
      const product = await Namesake.prepare({ bed, path: join(bed.path, engine), engine, parkingAccounts: PARKING_ACCOUNTS });
      const { ours, floors } = await bench.compare(product, floor, plan.blocks);
      print(`\n${engine}\n${describe(ours, floors)}`);
      Object.assign(figures, spreadFigures(engine, values(ours, total)));
      if (engine !== 'kafka') continue;
      Object.assign(figures, spreadFigures('floor', values(floors, total)), { netRatioP50: ratio(ours, floors, net, 0.5) });
      ratios = { p50: ratio(ours, floors, total, 0.5), p99: ratio(ours, floors, total, 0.99) };
    }
    return { figures, ratios };
  },
};

interface Person {
  readonly objectGUID: string;
  readonly systemuserid: string;
  readonly sAMAccountName: string;
}

interface Sample {
  readonly total: number;
  /** What the stand-in itself took for the two PATCH. */
  readonly standIn: number;
  /** Until the first PATCH arrives, until the second one is answered. */
  readonly stages: readonly number[];
}

class LatencyBench {
  readonly #admin: DirectoryAdmin;
  readonly #tail: LineTail;
  readonly #warmUp: readonly Person[];
  readonly #people: readonly Person[];
  #names = 0;

  constructor(admin: DirectoryAdmin, tail: LineTail, people: readonly Person[]) {
    this.#admin = admin;
    this.#tail = tail;
    this.#warmUp = people.slice(0, 1);
    this.#people = people.slice(1);
  }

  async compare(product: Namesake, floor: Floor, blocks: number): Promise<{ ours: Sample[][]; floors: Sample[][] }> {
    const ours: Sample[][] = [];
    const floors: Sample[][] = [];
    await using running = product;
    await startUntil(running, { repairing: SAYS.repairing });
    for (let block = 0; block < blocks; block++) {
      await this.#block(this.#warmUp, () => undefined);
      ours.push(await this.#block(this.#people, () => undefined));
      product.pause();
      await floor.catchUp();
      await this.#block(this.#warmUp, (person, name) => floor.carry({ ...person, sAMAccountName: name }));
      floors.push(await this.#block(this.#people, (person, name) => floor.carry({ ...person, sAMAccountName: name })));
      product.resume();
    }
    return { ours, floors };
  }

  /** Renames everybody and then back. @param carry what the bench itself has to do with it */
  async #block(
    people: readonly Person[],
    carry: (person: Person, name: string) => Promise<readonly number[]> | undefined,
  ): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (const back of [false, true]) {
      for (const person of people) {
        this.#names += 1;
        const name = back ? person.sAMAccountName : `bench${this.#names}`;
        samples.push(await this.#rename(person, name, carry(person, name)));
        await delay(GAP);
      }
    }
    return samples;
  }

  async #rename(person: Person, name: string, carried: Promise<readonly number[]> | undefined): Promise<Sample> {
    const isWrite = (line: string) => line.includes('"method":"PATCH"') && line.includes(person.systemuserid);
    const first = this.#tail.next(isWrite, `the first PATCH for ${name}`);
    const second = this.#tail.next((line) => isWrite(line) && line.includes(`\\\\${name}\\"}`), `the second PATCH for ${name}`);
    await this.#admin.rename(person.objectGUID, name);
    const begun = now();
    const parked = JSON.parse(await first) as RequestEntry;
    const last = JSON.parse(await second) as RequestEntry;
    const ends = await carried;
    const total = last.answered - begun;
    return {
      total,
      standIn: parked.duration + last.duration,
      stages: ends?.map((end, index) => end - (ends[index - 1] ?? begun)) ?? [parked.arrived - begun, last.answered - parked.arrived],
    };
  }
}

async function findPeople(admin: DirectoryAdmin, count: number): Promise<Person[]> {
  const people: Person[] = [];
  for (let number = 1; number <= count; number++) {
    const { sAMAccountName } = bulkUser(number);
    const found = await admin.find(sAMAccountName);
    if (found === undefined) throw new Error(`there is no ${sAMAccountName}`);
    people.push({ ...found, systemuserid: CustomerEngagement.idOf(sAMAccountName) });
  }
  return people;
}

type Value = (sample: Sample) => number;

const total: Value = ({ total }) => total;
/** Without what the stand-in, the same for both, takes for the two PATCH. */
const net: Value = ({ total, standIn }) => total - standIn;

function values(blocks: Sample[][], value: Value): number[] {
  return blocks.flat().map(value);
}

function ratio(ours: Sample[][], floors: Sample[][], value: Value, share: number): number {
  return rounded(quantile(values(ours, value), share) / quantile(values(floors, value), share));
}

function describe(ours: Sample[][], floors: Sample[][]): string {
  const stage = (index: number) => (sample: Sample) => sample.stages[index] ?? Number.NaN;
  const rows = (blocks: Sample[][], stages: readonly string[]) => [
    ...stages.map((name, index) => [`  ${name}`, ...spread(values(blocks, stage(index)))]),
    ['  all but the stand-in', ...spread(values(blocks, net))],
  ];
  const medians = (blocks: Sample[][]) => blocks.map((block) => median(block.map(total)).toFixed(1)).join(' ');
  const all = [
    ['namesake', ...spread(values(ours, total))],
    ...rows(ours, ['until the first PATCH', 'from there']),
    ['floor', ...spread(values(floors, total))],
    ...rows(floors, STAGES),
  ];
  return `${table(['ms', ...SPREAD_COLUMNS], all)}
  medians of the blocks: namesake ${medians(ours)}
                         floor    ${medians(floors)}
  ratio: p50 ${ratio(ours, floors, total, 0.5)}, p99 ${ratio(ours, floors, total, 0.99)}; without the stand-in: p50 ${ratio(ours, floors, net, 0.5)}`;
}
