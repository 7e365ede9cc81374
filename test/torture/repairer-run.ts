import { setTimeout as realDelay } from 'node:timers/promises';
import { vi } from 'vitest';
import type { FaultRule } from '../../infra/customer-engagement/control-client.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import { sameName } from '../../streams/identity.ts';
import { isOpen, type Repair } from '../../streams/repair.ts';
import { type RepairerSettings, repair } from '../../streams/repairer/repairer.ts';
import { CALLER, type DirectoryAccount, type StandIn, standIn } from '../customer-engagement/stand-in.ts';
import { Random } from '../support/chain-random.ts';
import { DirectoryFeed } from '../support/directory-feed.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { guid, MemoryDirectory } from '../support/memory-directory.ts';

/** What a seed came to. */
export interface RepairerOutcome {
  /** Repairs that ended as repaired. */
  readonly repairs: number;
  readonly trace: readonly string[];
  /** What must never be, or is not right in the end. */
  readonly faults: readonly string[];
}

const USERS = 60;
const STEPS = 90;
/** Things that happen at once, at most. */
const AT_ONCE = 6;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** Milliseconds of the repairer's clock for each real one: its pauses are long, and a request is over in one or two. */
const SPEED = { busy: 100, quiet: 1_000 };
/** Until everybody is right. */
const QUIET_WITHIN = 6 * 60 * MINUTE;

/** One organization, its records in a stand-in that is a process of its own, and the repairer of it. */
class Organization {
  readonly name: string;
  readonly log = new MemoryChangeLog();
  readonly standIn: StandIn;
  readonly parkingAccounts: readonly string[];
  readonly settings: RepairerSettings;
  readonly #broken: (error: unknown) => void;
  #abort = new AbortController();
  #running: { unsubscribe(): void } | undefined;
  #client: CustomerEngagement;

  constructor(name: string, server: StandIn, parkingAccounts: readonly string[], random: Random, broken: (error: unknown) => void) {
    this.name = name;
    this.standIn = server;
    this.parkingAccounts = parkingAccounts;
    this.#broken = broken;
    this.#client = this.#connect();
    this.settings = {
      parkingAccounts,
      linkEvery: 10 * MINUTE,
      nameLag: 15 * MINUTE,
      newsEvery: MINUTE,
      requestsEvery: 3 * SECOND,
      trusted: [],
      doNotTouch: { users: [], businessUnits: [], values: [] },
      recreated: random.pick(['ask', 'repair']),
      parallel: 1 + random.below(8),
      dryRun: false,
      oneStep: random.chance(0.5),
      writeNames: random.chance(0.5),
    };
  }

  start(): void {
    this.#abort = new AbortController();
    this.#client = this.#connect();
    this.#running = repair(this.#client, this.log, this.settings, this.#abort.signal).subscribe({ error: this.#broken });
  }

  /** As SIGKILL: requests that are under way may arrive or not, and nobody sees their answers. */
  async kill(): Promise<void> {
    this.log.kill();
    this.#running?.unsubscribe();
    await this.#client.close();
  }

  async asPerson(act: (client: CustomerEngagement) => Promise<unknown>): Promise<void> {
    const client = this.#connect();
    await act(client).finally(() => client.close());
  }

  #connect(): CustomerEngagement {
    return this.standIn.client({ name: this.name, connections: 8, deadline: 30 * SECOND });
  }
}

/** Changes names at random, lets requests fail and processes die, and compares in the end what everybody should be called. */
export async function runRepairer(seed: number): Promise<RepairerOutcome> {
  const random = new Random(seed);
  const trace: string[] = [];
  const faults: string[] = [];
  const directory = new MemoryDirectory();
  for (let number = 1; number <= USERS; number++) {
    const profile = {
      ...(number % 10 === 0 && { userPrincipalName: `user${number}@corp.test` }),
      ...(number % 2 === 0 && { givenName: 'Ann', sn: `Person ${number}` }),
    };
    directory.create({ sAMAccountName: `user${number}`, profile });
  }
  directory.create({ sAMAccountName: 'svc' });
  const parking = 1 + random.below(8);
  for (let number = 1; number <= parking; number++) directory.create({ sAMAccountName: `ns-park-${number}` });
  const parkingAccounts = Array.from({ length: parking }, (_, index) => `CORP\\ns-park-${index + 1}`);
  const note = (text: string) => trace.push(`${new Date().toISOString().slice(11, 23)} ${text}`);
  const organizations: Organization[] = [];
  try {
    for (let index = 0; index < 1 + random.below(3); index++) {
      const server = await standIn(random.pick(['8.2', '9.0', '9.1']), accountsOf(directory), seeds());
      organizations.push(
        new Organization(`org${index}`, server, parkingAccounts, random, (error) =>
          faults.push(`the repairer ended: ${error instanceof Error ? error.stack : error}`),
        ),
      );
    }
    const feed = new DirectoryFeed(
      directory,
      organizations.map(({ log }) => log),
    );
    const tell = () => {
      for (const { standIn: server } of organizations) server.setDirectory(accountsOf(directory));
      feed.publish();
    };
    tell();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
    for (const organization of organizations) organization.start();
    // Whoever is renamed before that has no link, and needs a person.
    for (let waited = 0; organizations.some(({ log }) => log.links.length < USERS) && waited < MINUTE; waited += SECOND)
      await passed(SECOND);
    for (const { name, log } of organizations) if (log.links.length < USERS) faults.push(`${name}: not everybody is linked at the start`);
    for (let step = 0; step < STEPS; step++) {
      for (let left = 1 + random.below(AT_ONCE); left > 0; left--) note(await disturb(random, directory, organizations));
      tell();
      await passed(random.pick([0, 100, 500, 2_000, 10_000]));
    }
    for (const { standIn: server } of organizations) await server.control.clearFaults();
    await quiet(organizations, async () => {
      for (const organization of organizations) (await freeParkingAccounts(organization, directory, tell)).forEach(note);
    });
    for (const organization of organizations) faults.push(...(await wrongs(organization, directory)));
    const repairs = organizations.flatMap(({ log }) => log.history.filter(({ state }) => state === 'repaired')).length;
    return { repairs, trace: [...trace, ...organizations.flatMap(story)], faults };
  } finally {
    for (const organization of organizations) await organization.kill();
    vi.useRealTimers();
    for (const { standIn: server } of organizations) await server[Symbol.asyncDispose]();
  }
}

function seeds(): { systemuserid: string; fullname: string; domainname: string }[] {
  const users = Array.from({ length: USERS }, (_, index) => index + 1).map((number) => ({
    systemuserid: guid('record', number),
    fullname: `Person ${number}`,
    domainname: number % 10 === 0 ? `user${number}@corp.test` : `CORP\\user${number}`,
  }));
  return [...users, { systemuserid: CALLER, fullname: 'Service', domainname: 'CORP\\svc' }];
}

function accountsOf(directory: MemoryDirectory): DirectoryAccount[] {
  return directory.guids().flatMap((objectGUID) => {
    const sAMAccountName = directory.nameOf(objectGUID);
    if (sAMAccountName === undefined) return [];
    const { userPrincipalName } = directory.readObject(objectGUID)?.seen ?? {};
    const upn = typeof userPrincipalName === 'string' ? { userPrincipalName } : {};
    return [{ objectGUID, objectSid: `S-1-5-21-1-2-3-${Number(objectGUID.slice(-12)) + 1000}`, sAMAccountName, ...upn }];
  });
}

/** One thing that happens. @returns what */
async function disturb(random: Random, directory: MemoryDirectory, organizations: readonly Organization[]): Promise<string> {
  const one = guid('account', 1 + random.below(USERS));
  const other = guid('account', 1 + random.below(USERS));
  const organization = random.pick(organizations);
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2: {
      const to = random.chance(0.5) ? `new${directory.usn}` : `user${1 + random.below(USERS)}`;
      return `rename ${one.slice(-2)} to ${to}: ${directory.rename(one, to)}`;
    }
    case 3:
    case 4:
      return `swap ${one.slice(-2)} and ${other.slice(-2)}: ${directory.swap(one, other)}`;
    case 5: {
      const all = Array.from({ length: 2 + random.below(6) }, () => guid('account', 1 + random.below(USERS)));
      for (const next of all.slice(1)) directory.swap(all[0] ?? '', next);
      return `cycle of ${all.length}`;
    }
    case 6: {
      const upn = guid('account', 10 * (1 + random.below(USERS / 10)));
      return `UPN of ${upn.slice(-2)}: ${directory.set(upn, { userPrincipalName: `upn${directory.usn}@corp.test` })}`;
    }
    case 7: {
      const name = directory.nameOf(one);
      if (name === undefined || random.chance(0.7)) return 'nothing';
      directory.delete(one);
      const anew = random.chance(0.5) ? directory.create({ sAMAccountName: name }) : undefined;
      return `delete ${one.slice(-2)} ${name}${anew === undefined ? '' : ', made anew'}`;
    }
    case 8:
    case 9: {
      const rules = Array.from({ length: 1 + random.below(3) }, () => fault(random));
      await organization.standIn.control.setFaults(rules);
      return `faults of ${organization.name}: ${JSON.stringify(rules)}`;
    }
    case 10:
      await organization.kill();
      organization.start();
      return `kill ${organization.name}`;
    default: {
      const ms = random.pick([0, 0, 5, 20]);
      await organization.standIn.control.setLag(ms);
      return `lag of ${organization.name}: ${ms}`;
    }
  }
}

function fault(random: Random): FaultRule {
  const match = { method: random.pick(['PATCH', 'PATCH', 'GET']), nth: 1 + random.below(6), times: 1 + random.below(3) };
  return random.pick<FaultRule>([
    { match, fault: { kind: 'drop-before' } },
    { match, fault: { kind: 'drop-after-write' } },
    { match, fault: { kind: 'truncate' } },
    { match, fault: { kind: 'html', status: 503 } },
    { match, fault: { kind: 'html', status: 200 } },
    { match, fault: { kind: 'html', status: 401, when: 'before' } },
    { match, fault: { kind: 'status', status: 500, when: 'after' } },
    { match, fault: { kind: 'status', status: 503, retryAfter: 2 } },
    { match, fault: { kind: 'status', status: 403, code: 0x80040220, message: 'is missing prvWriteUser privilege' } },
    { match, fault: { kind: 'hang', when: random.pick(['before', 'after']) } },
  ]);
}

/** The repairer's clock goes on while real requests are made. */
async function passed(milliseconds: number, speed = SPEED.busy): Promise<void> {
  for (let left = milliseconds; left > 0; left -= speed) {
    await vi.advanceTimersByTimeAsync(Math.min(speed, left));
    await realDelay(1);
  }
}

async function quiet(organizations: readonly Organization[], help: () => Promise<void>): Promise<void> {
  const isQuiet = () => organizations.every(({ log }) => log.openRepairs().length === 0 && log.acknowledged === log.events.length);
  for (let waited = 0; waited < QUIET_WITHIN && !isQuiet(); waited += 10 * SECOND) {
    await help();
    await passed(10 * SECOND, SPEED.quiet);
  }
  await help();
  // Looked at once more: a write that was given up can have been carried out late.
  await passed(21 * MINUTE, SPEED.quiet);
}

/**
 * What a person has to do for records whose account was deleted while they were parked: gives each an account of its own that is no
 * parking account, once: the repairer sees it when it looks at everybody. @returns what was done
 */
async function freeParkingAccounts(organization: Organization, directory: MemoryDirectory, tell: () => void): Promise<string[]> {
  const { name, log } = organization;
  const left = [...new Set(log.history.map(({ systemuserid }) => systemuserid))].flatMap((systemuserid) => {
    const last = log.repair(systemuserid);
    const isForPerson = last?.state === 'needs-person' && (last.reason === 'account-deleted' || last.reason === 'account-recreated');
    return isForPerson && last.parkingAccount !== null ? [systemuserid] : [];
  });
  const done: string[] = [];
  for (const systemuserid of left) {
    const account = `former-${name}-${systemuserid.slice(-2)}`;
    if (directory.create({ sAMAccountName: account }) === undefined) continue;
    tell();
    await organization.asPerson((client) => client.setDomainName(systemuserid, `CORP\\${account}`));
    done.push(`${name}: a person gives ${systemuserid.slice(-2)} the account ${account}`);
  }
  return done;
}

/** Ends that are true, whatever the record shows. */
const TRUE_ENDS: readonly Repair['reason'][] = ['account-recreated', 'account-deleted', 'link-uncertain', 'upn-missing'];

async function wrongs({ name, log, standIn: server, parkingAccounts }: Organization, directory: MemoryDirectory): Promise<string[]> {
  const wrong: string[] = [];
  const records = new Map((await server.control.records()).map((record) => [record.systemuserid, record]));
  for (const { kind, detail } of await server.control.defects()) wrong.push(`${name}: careless request: ${kind} ${detail}`);
  for (const repair of log.openRepairs()) wrong.push(`${name}: open: ${JSON.stringify(repair)}`);
  const held = [...records.values()].flatMap(({ objectGUID }) => objectGUID ?? []);
  if (new Set(held).size < held.length) wrong.push(`${name}: two records hold one account`);
  for (const { systemuserid, domainname } of records.values()) {
    if (parkingAccounts.some((account) => sameName(account, domainname))) {
      wrong.push(`${name}: ${systemuserid} is on ${domainname}`);
    }
  }
  const links = [...new Map(log.links.map((link) => [link.objectGUID, link])).values()].filter(({ denied }) => !denied);
  for (const { objectGUID, systemuserid } of links) {
    const account = accountsOf(directory).find((one) => one.objectGUID === objectGUID);
    const record = records.get(systemuserid);
    const last = log.repair(systemuserid);
    if (account === undefined || record === undefined || systemuserid === CALLER || TRUE_ENDS.includes(last?.reason ?? null)) continue;
    const isNamed = [`CORP\\${account.sAMAccountName}`, account.userPrincipalName ?? ''].some((right) =>
      sameName(right, record.domainname),
    );
    if (!isNamed || record.objectGUID !== objectGUID) {
      wrong.push(
        `${name}: ${systemuserid} shows ${record.domainname} (${record.objectGUID}), is ${account.sAMAccountName} (${objectGUID}); ${JSON.stringify(last)}`,
      );
    }
  }
  return wrong;
}

function story({ name, log }: Organization): string[] {
  return log.history.map(
    ({ at, systemuserid, state, reason, from, to, parkingAccount, message }) =>
      `${at.slice(11, 23)} ${name} ${systemuserid.slice(-2)} ${state} ${reason ?? ''} ${from} → ${to} ${parkingAccount ?? ''} ${isOpen({ state }) ? '' : (message ?? '')}`,
  );
}
