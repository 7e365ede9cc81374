import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { claimAddress } from './address.ts';
import { Authority } from './authority.ts';
import { BROKER_PORTS, Broker } from './broker.ts';
import { CUSTOMER_ENGAGEMENT_PORTS, CustomerEngagement } from './customer-engagement.ts';
import { DIRECTORY_PORTS, Directory } from './directory.ts';
import { BEDS } from './paths.ts';
import type { Controls } from './process.ts';

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
  /** Default false; needs the directory. */
  readonly customerEngagement?: boolean;
  /** How many bulk users have CE records. Default: all. */
  readonly linked?: number;
  /** Told when a part answers, with the milliseconds it took. */
  readonly progress?: (part: string, elapsed: number) => void;
}

/** Real parts on a loopback address of their own. Disposing stops them. */
export class Bed implements AsyncDisposable {
  readonly path: string;
  readonly address: string;
  readonly #directory: Directory | undefined;
  readonly #broker: Broker | undefined;
  readonly #crm: CustomerEngagement | undefined;
  readonly #releases: AsyncDisposableStack;

  constructor(path: string, address: string, parts: Parts, releases: AsyncDisposableStack) {
    this.path = path;
    this.address = address;
    this.#directory = parts.directory;
    this.#broker = parts.broker;
    this.#crm = parts.crm;
    this.#releases = releases;
  }

  get directory(): Directory {
    return present(this.#directory, 'directory');
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

  /** Every process of the bed that runs, with where it answers. */
  get parts(): { readonly name: string; readonly pid: number; readonly address: string }[] {
    const nodes = this.#broker?.nodes.map((node, index) => ({ node, address: this.#broker?.bootstrap[index] ?? '' })) ?? [];
    const all = [
      { node: this.#directory, address: this.#directory?.url ?? '' },
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
  readonly directory: Directory | undefined;
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
    const parts = await startParts(options, path, claim.address, releases, progress);
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
  const startDirectory = async () =>
    await start(await Directory.prepare({ path: join(path, 'directory'), address, authority, users }), 'directory');
  const startCrm = async (directory: Directory) => {
    const place = { path: join(path, 'customer-engagement'), address, authority, directory, linked };
    return await start(await CustomerEngagement.prepare(place), 'customer engagement');
  };
  const starting = (options.directory ?? true) ? startDirectory() : undefined;
  // All of them settle before anything is stopped, so that nothing is started or written afterwards.
  const [directory, broker, crm] = await Promise.allSettled([
    starting,
    brokers === 0 ? undefined : startBroker(brokers),
    options.customerEngagement ? starting?.then(startCrm) : undefined,
  ]);
  return { directory: started(directory), broker: started(broker), crm: started(crm) };
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
    ...((options.directory ?? true) ? DIRECTORY_PORTS : []),
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
