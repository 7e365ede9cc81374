import { randomBytes } from 'node:crypto';
import type { ShownRecord } from '../../infra/customer-engagement/control-client.ts';
import { domainName, type Identity, sameName } from '../../streams/identity.ts';
import { DirectoryTruth } from './chain-directory.ts';
import type { Stage } from './chain-stage.ts';

/** What is true of one account from some moment on. */
export interface Moment {
  /** Milliseconds since 1970, with fractions: not before this. */
  readonly since: number;
  /** Null: there is no such account, not yet or not any more. */
  readonly identity: Identity | null;
}

/** The accounts of a directory with all that was ever true of each, kept by whoever changes them. */
export class Population implements AsyncDisposable {
  /** By objectGUID; the first moment is what was true before anything happened. */
  readonly moments = new Map<string, Moment[]>();
  /** objectGUID to systemuserid of the people with user records. */
  readonly records: ReadonlyMap<string, string>;
  /** What the records showed at first, by systemuserid. */
  readonly shown: ReadonlyMap<string, string>;
  #directory: DirectoryTruth;

  private constructor(directory: DirectoryTruth, records: Map<string, string>, shown: Map<string, string>) {
    this.#directory = directory;
    this.records = records;
    this.shown = shown;
  }

  static async of(stage: Stage): Promise<Population> {
    const directory = await DirectoryTruth.connect(stage.bed.directory);
    const all = await stage.control.records();
    await renameHeirs(stage, all, await directory.identities());
    const records = new Map(all.flatMap(({ objectGUID, systemuserid }) => (objectGUID === null ? [] : [[objectGUID, systemuserid]])));
    const population = new Population(directory, records, new Map(all.map(({ systemuserid, domainname }) => [systemuserid, domainname])));
    for (const [objectGUID, identity] of await directory.identities()) population.moments.set(objectGUID, [{ since: 0, identity }]);
    return population;
  }

  /** After the directory was away. */
  async reconnect(stage: Stage): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
    this.#directory = await DirectoryTruth.connect(stage.bed.directory);
  }

  now(objectGUID: string): Identity | null {
    return this.moments.get(objectGUID)?.at(-1)?.identity ?? null;
  }

  /** objectGUIDs of the accounts that are there. */
  present(): string[] {
    return [...this.moments.keys()].filter((objectGUID) => this.now(objectGUID) !== null);
  }

  /** Also as the first part of a userPrincipalName, which the directory reserves. */
  isTaken(name: string): boolean {
    const taken = this.present().flatMap((objectGUID) => {
      const identity = this.now(objectGUID);
      return [identity?.sAMAccountName ?? '', identity?.userPrincipalName?.split('@')[0] ?? ''];
    });
    return taken.some((other) => sameName(other, name));
  }

  /** Makes one change of one account and notes what is true after it. */
  async change(objectGUID: string, body: () => Promise<unknown>): Promise<void> {
    const since = performance.timeOrigin + performance.now();
    await body();
    await this.note(objectGUID, since);
  }

  async note(objectGUID: string, since: number): Promise<void> {
    const identity = await this.#directory.identity(objectGUID);
    const known = this.moments.get(objectGUID) ?? [{ since: 0, identity: null }];
    this.moments.set(objectGUID, [...known, { since, identity }]);
  }

  /** The user names of an account at any time between two moments. */
  namesBetween(objectGUID: string, from: number, to: number): string[] {
    const moments = this.moments.get(objectGUID) ?? [];
    const relevant = moments.filter(({ since }, index) => since <= to && (moments[index + 1]?.since ?? Number.POSITIVE_INFINITY) >= from);
    return relevant.flatMap(({ identity }) => (identity === null ? [] : [domainName(identity)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
  }
}

/**
 * Takes from whoever has it the name of an account that is gone and whose record still shows it. An earlier test on the same bed
 * may have left that behind, and a log that is new cannot tell whose record it is.
 */
async function renameHeirs(stage: Stage, records: readonly ShownRecord[], identities: ReadonlyMap<string, Identity>): Promise<void> {
  const left = records.filter(({ objectGUID }) => objectGUID !== null && !identities.has(objectGUID));
  const heirs = [...identities.values()].filter((identity) => left.some(({ domainname }) => sameName(domainname, domainName(identity))));
  for (const { objectGUID } of heirs) await stage.admin.set(objectGUID, { sAMAccountName: `heir-${randomBytes(4).toString('hex')}` });
}

/** Everybody but the accounts that the parts work with, and whoever else is to be left alone. */
export function subjectsOf(population: Population, except?: string): string[] {
  return population.present().filter((objectGUID) => {
    const { givenName, sAMAccountName } = population.now(objectGUID) ?? {};
    return givenName !== undefined && sAMAccountName !== except;
  });
}
