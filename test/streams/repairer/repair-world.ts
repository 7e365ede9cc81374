import type { Subscription } from 'rxjs';
import { expect, vi } from 'vitest';
import { LogError } from '../../../streams/change-log.ts';
import { domainName, sameName } from '../../../streams/identity.ts';
import type { Repair } from '../../../streams/repair.ts';
import { type RepairerReport, type RepairerSettings, repair } from '../../../streams/repairer/repairer.ts';
import { DirectoryFeed } from '../../support/directory-feed.ts';
import { MemoryChangeLog } from '../../support/memory-change-log.ts';
import { type Call, MemoryCustomerEngagement } from '../../support/memory-customer-engagement.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { FOLLOWS, REASONS } from './decision-table.ts';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;

export interface WorldSettings {
  /** Persons with a record: `user1` and so on, objectGUID and systemuserid of the same number. */
  readonly users?: number;
  readonly parking?: number;
  /** What `parkingAccounts` says; by default all that there are. */
  readonly configured?: readonly string[];
}

/** A directory, a log that a listener keeps up with it, an organization, and a repairer that can be killed and started again. */
export class World {
  readonly directory = new MemoryDirectory();
  readonly log = new MemoryChangeLog();
  readonly ce = new MemoryCustomerEngagement(this.directory);
  readonly parkingAccounts: string[] = [];
  readonly reports: RepairerReport[] = [];
  /** Breaches of what must never happen, as they happen. */
  readonly breaches: string[] = [];
  readonly users: number;
  /** Instead of those of most tests; they count from the next start on. */
  settings: Partial<RepairerSettings> = {};
  outcome: 'running' | 'completed' | Error = 'running';
  readonly #configured: readonly string[] | undefined;
  readonly #feed = new DirectoryFeed(this.directory, [this.log]);
  #abort = new AbortController();
  #running: Subscription | undefined;

  constructor({ users = 3, parking = 2, configured }: WorldSettings = {}) {
    this.users = users;
    this.#configured = configured;
    for (let i = 1; i <= users; i++) {
      this.directory.create({ sAMAccountName: `user${i}`, profile: { sn: `Person ${i}` } });
      this.ce.add({ systemuserid: guid('record', i), domainname: `CORP\\user${i}` });
    }
    for (let i = 1; i <= parking; i++) {
      this.directory.create({ sAMAccountName: `ns-park-${i}` });
      this.parkingAccounts.push(`CORP\\ns-park-${i}`);
    }
    this.directory.create({ sAMAccountName: 'svc' });
    const service = users < 90 ? 90 : 990;
    this.ce.own = this.ce.add({ systemuserid: guid('record', service), domainname: 'CORP\\svc' }).systemuserid;
    this.ce.add({ systemuserid: guid('record', service + 1), domainname: '', fullname: 'SYSTEM', special: true });
    this.ce.onSend = ({ systemuserid, domainname, special }, name) => {
      const link = this.log.links.findLast((candidate) => candidate.systemuserid === systemuserid);
      const identity = link && this.log.known.identity(link.objectGUID);
      if (link === undefined) this.breaches.push(`${systemuserid} is written and not linked`);
      if (special || systemuserid === this.ce.own) this.breaches.push(`${systemuserid} is written`);
      if (identity && sameName(domainName(identity), domainname))
        this.breaches.push(`${systemuserid} shows ${domainname}, is given ${name}`);
    };
    this.ce.onWrite = (_, name) => {
      const there = this.ce.records.filter((record) => this.isParked(record.domainname) && sameName(record.domainname, name));
      if (there.length > 0) this.breaches.push(`${name} is taken twice`);
    };
    this.publish();
  }

  isParked(name: string): boolean {
    return this.parkingAccounts.some((account) => sameName(account, name));
  }

  start(): void {
    this.#abort = new AbortController();
    this.outcome = 'running';
    const settings: RepairerSettings = {
      parkingAccounts: this.#configured ?? this.parkingAccounts,
      linkEvery: 10 * MINUTE,
      nameLag: 15 * MINUTE,
      newsEvery: 10 * MINUTE,
      requestsEvery: SECOND,
      trusted: [],
      doNotTouch: { users: [], businessUnits: [], values: [] },
      recreated: 'ask',
      parallel: 8,
      dryRun: false,
      oneStep: false,
      writeNames: false,
      ...this.settings,
    };
    this.#running = repair(this.ce.client(), this.log, settings, this.#abort.signal).subscribe({
      next: (report) => this.reports.push(report),
      error: (error) => {
        this.outcome = error;
      },
      complete: () => {
        this.outcome = 'completed';
      },
    });
  }

  stop(): void {
    this.#abort.abort();
  }

  /** SIGKILL, as far as that goes in one process: nothing that is under way has any effect from now on. */
  kill(): void {
    this.log.kill();
    this.ce.kill();
    this.#running?.unsubscribe();
  }

  /** What a listener does after each wake. */
  publish(): void {
    this.#feed.publish();
  }

  rename(user: number, name: string): void {
    if (!this.directory.rename(guid('account', user), name)) throw new Error(`${name} is in use`);
    this.publish();
  }

  swap(one: number, other: number): void {
    this.directory.swap(guid('account', one), guid('account', other));
    this.publish();
  }

  shown(user: number): string {
    return this.ce.get(guid('record', user)).domainname;
  }

  repair(user: number): Repair | undefined {
    return this.log.repair(guid('record', user));
  }

  /** As (state, reason, to) of each journal record of one user. */
  journal(user: number): string[] {
    const records = this.log.history.filter(({ systemuserid }) => systemuserid === guid('record', user));
    return records.map(({ state, reason }) => (reason === null ? state : `${state} ${reason}`));
  }

  get isQuiet(): boolean {
    return this.#unended().length === 0 && this.log.acknowledged === this.log.events.length;
  }

  /** Open repairs, but for those that wait for good: every parking account holds a record about which a person has to decide. */
  #unended(): Repair[] {
    const stuck = this.ce.records.filter(
      ({ systemuserid, domainname }) => this.isParked(domainname) && this.log.repair(systemuserid)?.state === 'needs-person',
    );
    const noneLeft = stuck.length === this.parkingAccounts.length;
    return this.log.openRepairs().filter(({ reason }) => !(noneLeft && reason === 'no-parking-account-free'));
  }

  breakLog(when: 'before' | 'after', skip = 0): void {
    let left = skip;
    this.log.interference = {
      [when]: (operation: string) => {
        if (operation === 'refresh' || left-- > 0) return;
        this.log.interference = {};
        throw new LogError('broken by the test');
      },
    };
  }

  /** What has to hold in the end, whatever happened: each linked record shows its account's name or says truly why not. */
  expectRight(): void {
    expect(this.breaches).toEqual([]);
    expect(this.#unended()).toEqual([]);
    for (const { systemuserid, objectGUID } of this.log.links) {
      const record = this.ce.get(systemuserid);
      const name = this.directory.nameOf(objectGUID);
      const last = this.log.repair(systemuserid);
      if (last?.reason === 'no-parking-account-free') continue;
      if (last?.reason === 'account-recreated') {
        expect([last.state, name]).toEqual(['needs-person', undefined]);
        continue;
      }
      if (name === undefined) {
        expect([undefined, 'account-deleted', 'names-agree', null]).toContain(last?.reason);
        if (this.isParked(record.domainname)) expect(last).toMatchObject({ state: 'needs-person', reason: 'account-deleted' });
      } else if (systemuserid !== this.ce.own) {
        expect(record.domainname.toLowerCase()).toBe(`corp\\${name.toLowerCase()}`);
        expect(record.objectGUID).toBe(objectGUID);
        expect([undefined, 'repaired', 'unneeded']).toContain(last?.state);
      } else if (!sameName(record.domainname, `CORP\\${name}`)) {
        expect(last).toMatchObject({ state: 'needs-person', reason: 'own-record' });
      }
    }
    this.#expectJournal();
  }

  #expectJournal(): void {
    const states = new Map<string, Repair>();
    for (const repaired of this.log.history) {
      const { systemuserid, state, reason, parkingAccount } = repaired;
      const before = states.get(systemuserid)?.state ?? 'nothing';
      expect(FOLLOWS[before][state], `${before} → ${state}`).toBe(true);
      expect(REASONS[state]).toContain(reason);
      if (state === 'repairing') expect(parkingAccount).not.toBeNull();
      if (state === 'repaired' || state === 'unneeded') expect(parkingAccount).toBeNull();
      states.set(systemuserid, repaired);
    }
  }
}

export const passed = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

/** With a repairer that has looked at everything. */
export async function started(settings: WorldSettings = {}): Promise<World> {
  const world = new World(settings);
  world.start();
  await passed(50);
  return world;
}

/** The first call for which this holds has this fate; all others go well. */
export function once(world: World, fate: Awaited<ReturnType<World['ce']['fate']>>, is: (call: Call) => boolean): void {
  let left = true;
  world.ce.fate = (call) => {
    if (!left || !is(call)) return 'ok';
    left = false;
    return fate;
  };
}

export const isParking = ({ operation, name }: Call) => operation === 'set' && /park/.test(name ?? '');
export const isNaming = (call: Call) => call.operation === 'set' && !isParking(call);

export function reportsOf<T extends RepairerReport['type']>(world: World, type: T): Extract<RepairerReport, { type: T }>[] {
  return world.reports.filter((report): report is Extract<RepairerReport, { type: T }> => report.type === type);
}
