import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { claimAddress } from './address.ts';
import { Authority } from './authority.ts';
import { BROKER_PORTS, Broker } from './broker.ts';
import { CORP, PARTNER } from './content.ts';
import { type Controllers, type LocatedSeat, prepareControllers, SECOND_FOREST, type Seat, seatsOf } from './controllers.ts';
import { CUSTOMER_ENGAGEMENT_PORTS, CustomerEngagement } from './customer-engagement.ts';
import type { Directory } from './directory.ts';
import { BEDS } from './paths.ts';
import type { Controls, ManagedProcess } from './process.ts';
import type { Replication } from './replication.ts';

export interface BedOptions {
  /** The bed's directory, kept with its data when the bed ends. Default: a fresh one, removed when the bed ends. */
  readonly path?: string;
  /** Bulk users besides the people. Default 0. */
  readonly users?: number;
  /** Default 0: no broker. */
  readonly brokers?: 0 | 1 | 3;
  /** Default false: the brokers have no listener with TLS and a logon. */
  readonly securedBrokers?: boolean;
  /** Default true. */
  readonly directory?: boolean;
  /** How many domain controllers of the domain take writes; two replicate with each other. Default 1. */
  readonly dcs?: 1 | 2;
  /** One more that is read-only. Default false. */
  readonly rodc?: boolean;
  /** Another domain beside it, with a domain controller and people of its own. Default false. */
  readonly secondForest?: boolean;
  /** Default false; needs the directory. */
  readonly customerEngagement?: boolean;
  /** Whether CE takes NTLM logons too, which the domain controller checks. Default false. */
  readonly windowsLogon?: boolean;
  /** How many bulk users have CE records. Default: all. */
  readonly linked?: number;
  /** Told when a part answers, with the milliseconds it took. */
  readonly progress?: (part: string, elapsed: number) => void;
}

/** Real parts on a loopback address of their own. Disposing stops them. */
export class Bed implements AsyncDisposable {
  readonly path: string;
  readonly address: string;
  readonly #corp: Controllers | undefined;
  readonly #secondForest: Directory | undefined;
  readonly #broker: Broker | undefined;
  readonly #crm: CustomerEngagement | undefined;
  readonly #releases: AsyncDisposableStack;

  constructor(path: string, address: string, parts: Parts, releases: AsyncDisposableStack) {
    this.path = path;
    this.address = address;
    this.#corp = parts.corp;
    this.#secondForest = parts.secondForest;
    this.#broker = parts.broker;
    this.#crm = parts.crm;
    this.#releases = releases;
  }

  /** The first domain controller. What is to be there in numbers is best made here: others have 500 SIDs to give. */
  get directory(): Directory {
    return this.directories[0];
  }

  /** All domain controllers of the domain that take writes. */
  get directories(): Controllers['directories'] {
    return present(this.#corp, 'directory').directories;
  }

  /** The read-only one; the service accounts can log on there, nobody else. */
  get rodc(): Directory {
    return present(this.#corp?.readOnly, 'read-only domain controller');
  }

  get replication(): Replication {
    return present(this.#corp?.replication, 'second domain controller');
  }

  get secondForest(): Directory {
    return present(this.#secondForest, 'second forest');
  }

  get broker(): Broker {
    return present(this.#broker, 'broker');
  }

  get crm(): CustomerEngagement {
    return present(this.#crm, 'CE stand-in');
  }

  get hasBroker(): boolean {
    return this.#broker !== undefined;
  }

  /** Every domain controller, whatever its domain. */
  get controllers(): readonly Directory[] {
    return [...(this.#corp === undefined ? [] : allOf(this.#corp)), this.#secondForest].filter((dc) => dc !== undefined);
  }

  /** Every part of the bed, running or not. */
  get processes(): readonly ManagedProcess[] {
    return [...this.controllers, ...(this.#broker?.nodes ?? []), this.#crm].filter((process) => process !== undefined);
  }

  /** Every process of the bed that runs, with where it answers. */
  get parts(): { readonly name: string; readonly pid: number; readonly address: string }[] {
    const nodes = this.#broker?.nodes.map((node, index) => ({ node, address: this.#broker?.bootstrap[index] ?? '' })) ?? [];
    const all = [
      ...this.controllers.map((node) => ({ node, address: node.url })),
      ...nodes,
      { node: this.#crm, address: this.#crm?.url ?? '' },
    ];
    return all.flatMap(({ node, address }) => (node?.pid === undefined ? [] : [{ name: node.name, pid: node.pid, address }]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#releases.disposeAsync();
  }
}

interface Parts {
  readonly corp: Controllers | undefined;
  readonly secondForest: Directory | undefined;
  readonly broker: Broker | undefined;
  readonly crm: CustomerEngagement | undefined;
}

/** Starts what is asked for, side by side where possible. When a part does not start, all are stopped and its log is in the error. */
export async function startBed(options: BedOptions = {}): Promise<Bed> {
  const begun = performance.now();
  const progress = (part: string) => options.progress?.(part, performance.now() - begun);
  const path = await bedDirectory(options.path);
  await using releases = new AsyncDisposableStack();
  // Kept when the start fails: its logs tell more than the error.
  let keep = true;
  releases.defer(() => (keep ? undefined : rm(path, { recursive: true, force: true })));
  const claim = releases.use(await claimAddress(path, portsOf(options)));
  try {
    const seats = await located(options, path, claim.address, releases);
    const parts = await startParts(options, path, claim.address, seats, releases, progress);
    keep = options.path !== undefined;
    return new Bed(path, claim.address, parts, releases.move());
  } catch (error) {
    // The first failure is the story; that something else stops badly afterwards is noise.
    await releases.disposeAsync().catch(() => {});
    throw error;
  }
}

/**
 * Every part is registered before it starts: one that is still starting when another fails is stopped too. Where no data are kept
 * it is killed, which saves the broker's farewells.
 */
async function startParts(
  options: BedOptions,
  path: string,
  address: string,
  seats: Seats,
  releases: AsyncDisposableStack,
  progress: (part: string) => void,
): Promise<Parts> {
  const { users = 0, brokers = 0, securedBrokers = false, linked = users } = options;
  const authority = await Authority.open(join(path, 'authority'));
  const start = async <Part extends Startable>(part: Part, name: string) => {
    releases.defer(() => (options.path === undefined ? part.kill() : part.stop()));
    await part.start();
    progress(name);
    return part;
  };
  const startBroker = async (count: 1 | 3) => {
    const securedBy = securedBrokers ? authority : undefined;
    return await start(await Broker.prepare({ path: join(path, 'broker'), address, count, securedBy }), 'broker');
  };
  const startCorp = async (corp: NonNullable<Seats['corp']>) => {
    const controllers = await prepareControllers({
      path,
      authority,
      plan: CORP,
      users,
      seats: corp,
      winbind: options.windowsLogon ?? false,
    });
    const all = allOf(controllers);
    const starts = all.map((controller) => start(controller, all.length === 1 ? 'directory' : controller.name));
    (await Promise.allSettled(starts)).map(started);
    await controllers.replication?.refresh();
    return controllers;
  };
  const startSecondForest = async (seat: LocatedSeat) => {
    const { directories } = await prepareControllers({ path, authority, plan: PARTNER, users: 0, seats: [seat] });
    return await start(directories[0], 'second forest');
  };
  const startCrm = async (directory: Directory) => {
    const windowsLogon = options.windowsLogon ?? false;
    const place = { path: join(path, 'customer-engagement'), address, authority, directory, linked, windowsLogon };
    return await start(await CustomerEngagement.prepare(place), 'customer engagement');
  };
  const starting = seats.corp && startCorp(seats.corp);
  // All of them settle before anything is stopped, so that nothing is started or written afterwards.
  const [corp, secondForest, broker, crm] = await Promise.allSettled([
    starting,
    seats.secondForest && startSecondForest(seats.secondForest),
    brokers === 0 ? undefined : startBroker(brokers),
    options.customerEngagement ? starting?.then(({ directories }) => startCrm(directories[0])) : undefined,
  ]);
  return { corp: started(corp), secondForest: started(secondForest), broker: started(broker), crm: started(crm) };
}

function allOf({ directories, readOnly }: Controllers): Directory[] {
  return [...directories, ...(readOnly === undefined ? [] : [readOnly])];
}

interface Seats {
  readonly corp: readonly [LocatedSeat, ...LocatedSeat[]] | undefined;
  readonly secondForest: LocatedSeat | undefined;
}

/** The first domain controller is at the bed's own address, every other one at another. */
async function located(options: BedOptions, path: string, address: string, releases: AsyncDisposableStack): Promise<Seats> {
  const locate = async (seat: Seat) => {
    const claim = releases.use(await claimAddress(join(path, seat.folder), seat.ports));
    return { ...seat, address: claim.address };
  };
  const [first, ...others] = seatsOf(options.dcs ?? 1, options.rodc ?? false);
  const more: LocatedSeat[] = [];
  for (const seat of (options.directory ?? true) ? others : []) {
    more.push(await locate(seat));
  }
  return {
    corp: (options.directory ?? true) ? [{ ...first, address }, ...more] : undefined,
    secondForest: options.secondForest ? await locate(SECOND_FOREST) : undefined,
  };
}

function started<Part>(outcome: PromiseSettledResult<Part>): Part {
  if (outcome.status === 'rejected') {
    throw outcome.reason;
  }
  return outcome.value;
}

type Startable = Pick<Controls, 'start' | 'stop' | 'kill'>;

async function bedDirectory(path: string | undefined): Promise<string> {
  if (path !== undefined) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return resolve(path);
  }
  await mkdir(BEDS, { recursive: true, mode: 0o700 });
  return await mkdtemp(join(BEDS, 'bed-'));
}

function portsOf(options: BedOptions): number[] {
  return [
    ...((options.directory ?? true) ? seatsOf(options.dcs ?? 1, options.rodc ?? false)[0].ports : []),
    ...(options.brokers ? BROKER_PORTS : []),
    ...(options.customerEngagement ? CUSTOMER_ENGAGEMENT_PORTS : []),
  ];
}

function present<Part>(part: Part | undefined, name: string): Part {
  if (part === undefined) {
    throw new Error(`this bed has no ${name}: startBed was not asked for it`);
  }
  return part;
}
