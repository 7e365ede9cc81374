import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { claimAddress } from './address.ts';
import { Authority } from './authority.ts';
import { BROKER_PORTS, Broker } from './broker.ts';
import { CUSTOMER_ENGAGEMENT_PORTS, CustomerEngagement } from './customer-engagement.ts';
import { DIRECTORY_PORTS, Directory } from './directory.ts';
import { BEDS } from './paths.ts';

export interface BedOptions {
  /** The bed's directory, kept with its data when the bed ends. Default: a fresh one, removed when the bed ends. */
  readonly path?: string;
  /** Bulk users besides the people. Default 0. */
  readonly users?: number;
  /** Default 0: no broker. */
  readonly brokers?: 0 | 1 | 3;
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

  /** Every process of the bed. */
  get processes(): { readonly name: string; readonly pid: number | undefined }[] {
    return [this.#directory, ...(this.#broker?.nodes ?? []), this.#crm].filter((part) => part !== undefined);
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
  if (options.path === undefined) {
    releases.defer(() => rm(path, { recursive: true, force: true }));
  }
  const claim = releases.use(await claimAddress(path, portsOf(options)));
  const parts = await prepare(options, path, claim.address);
  try {
    await startAll(parts, releases, progress);
  } catch (error) {
    // The first failure is the story; those of parts that depended on it are noise.
    await releases.disposeAsync().catch(() => {});
    throw error;
  }
  return new Bed(path, claim.address, parts, releases.move());
}

async function prepare(options: BedOptions, path: string, address: string): Promise<Parts> {
  const { users = 0, brokers = 0, linked = users } = options;
  const authority = await Authority.open(join(path, 'authority'));
  const wanted = options.directory ?? true;
  const [directory, broker] = await Promise.all([
    wanted ? Directory.prepare({ path: join(path, 'directory'), address, authority, users }) : undefined,
    brokers > 0 ? Broker.prepare({ path: join(path, 'broker'), address, count: brokers === 3 ? 3 : 1 }) : undefined,
  ]);
  if (!options.customerEngagement) {
    return { directory, broker, crm: undefined };
  }
  const place = { path: join(path, 'customer-engagement'), address, authority, linked };
  return { directory, broker, crm: await CustomerEngagement.prepare({ ...place, directory: present(directory, 'directory') }) };
}

async function startAll(parts: Parts, releases: AsyncDisposableStack, progress: (part: string) => void): Promise<void> {
  const { directory, broker, crm } = parts;
  // Registered before they start: a part that is still starting when another fails is stopped too.
  for (const part of [broker, directory, crm]) {
    releases.use(part);
  }
  const start = async (part: { start(): Promise<void> } | undefined, name: string) => {
    if (part !== undefined) {
      await part.start();
      progress(name);
    }
  };
  await Promise.all([start(broker, 'broker'), start(directory, 'directory').then(() => start(crm, 'customer engagement'))]);
}

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
