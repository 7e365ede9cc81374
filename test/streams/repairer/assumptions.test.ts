import { setTimeout as realDelay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { Settings } from '../../../infra/customer-engagement/control-client.ts';
import { sameName } from '../../../streams/identity.ts';
import type { RepairReason } from '../../../streams/repair.ts';
import { type RepairerSettings, repair } from '../../../streams/repairer/repairer.ts';
import { CALLER, type DirectoryAccount, type StandIn, standIn } from '../../customer-engagement/stand-in.ts';
import { DirectoryFeed } from '../../support/directory-feed.ts';
import { MemoryChangeLog } from '../../support/memory-change-log.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const USERS = 6;
/** The record of this one shows a UPN. */
const BY_UPN = 6;

interface Opposite {
  /** Of docs/assumptions.md. */
  readonly number: `A${number}`;
  readonly what: string;
  readonly settings?: Partial<Settings>;
  /** Milliseconds by which names lag behind on the server. */
  readonly lag?: number;
  /** The parking accounts: `off` is disabled, `upn` has a UPN. */
  readonly parking?: readonly ('on' | 'off' | 'upn')[];
  /** Reasons for which records may stay as they were; without any, all have to be right in the end. */
  readonly stays?: readonly (RepairReason | null)[];
  /** What the server says then. */
  readonly words?: RegExp;
}

const OPPOSITES: readonly Opposite[] = [
  {
    number: 'A1',
    what: 'a name that is held is refused by a code that nobody expects',
    settings: { heldName: 'invalidArgument' },
    // The one that shows a UPN is tried in one step, and is not parked for a refusal that nobody understands.
    stays: ['refused'],
    words: /Invalid argument/,
  },
  {
    number: 'A1',
    what: 'a name that is not known yet is refused by a code that nobody expects',
    settings: { unresolvableName: 'invalidArgument' },
    lag: 400,
    stays: ['refused'],
    words: /Invalid argument/,
  },
  {
    number: 'A2',
    what: 'disabled parking accounts are refused',
    settings: { disabledAccounts: 'refused' },
    parking: ['off', 'off'],
    stays: ['refused'],
    words: /Insufficient permissions to the specified Active Directory user/,
  },
  {
    number: 'A2',
    what: 'disabled parking accounts are refused, one of them is enabled',
    settings: { disabledAccounts: 'refused' },
    parking: ['off', 'on'],
  },
  { number: 'A3', what: 'change sets see themselves', settings: { changeSets: 'accepted' } },
  { number: 'A4', what: 'names and e-mail follow the account', settings: { refreshesNames: true } },
  { number: 'A5', what: 'there is no optimistic concurrency', settings: { optimisticConcurrency: false } },
  {
    number: 'A6',
    what: 'an account stays with the record that had it',
    settings: { keepsFormerAccounts: true },
    stays: ['no-parking-account-free', 'name-in-use', 'names-exchanged'],
  },
  { number: 'A7', what: 'names are known late', lag: 400 },
  { number: 'A8', what: 'the UPN of the account takes the place of the name', settings: { derivesUpn: true }, parking: ['upn', 'upn'] },
  { number: 'A8', what: 'the same, and one parking account has none', settings: { derivesUpn: true }, parking: ['upn', 'on'] },
  {
    number: 'A9',
    what: 'only a System Administrator may write',
    settings: { needsSystemAdministrator: true },
    // All but those that are tried stand behind.
    stays: ['privilege-missing', 'name-in-use', null],
    words: /does not hold the necessary privileges/,
  },
];

afterEach(() => {
  vi.useRealTimers();
});

/** Everybody is renamed in one way or another, on a server that is not as assumed; a new repairer looks at what is left in between. */
test.each(OPPOSITES)(
  'SPEC rules 6, 7, 8: $number: $what: no harm',
  { timeout: 60_000 },
  async ({ settings = {}, lag = 0, parking = ['on', 'on'], stays = [], words }) => {
    const directory = new MemoryDirectory();
    for (let number = 1; number <= USERS; number++) {
      const profile = { givenName: `First ${number}`, sn: `Last ${number}`, userPrincipalName: `user${number}@corp.test` };
      directory.create({ sAMAccountName: `user${number}`, profile });
    }
    const parkingAccounts = parking.map((kind, index) => {
      const profile = kind === 'upn' ? { userPrincipalName: `ns-park-${index}@corp.test` } : {};
      directory.create({ sAMAccountName: `ns-park-${index}`, enabled: kind !== 'off', profile });
      return `CORP\\ns-park-${index}`;
    });
    directory.create({ sAMAccountName: 'svc' });
    const seed = Array.from({ length: USERS }, (_, index) => index + 1).map((number) => ({
      systemuserid: guid('record', number),
      fullname: `Tim Person ${number}`,
      firstname: 'Tim',
      lastname: `Person ${number}`,
      internalemailaddress: `person${number}@corp.test`,
      domainname: number === BY_UPN ? `user${number}@corp.test` : `CORP\\user${number}`,
    }));
    await using server = await standIn('9.1', accountsOf(directory), [
      ...seed,
      { systemuserid: CALLER, fullname: 'Service', domainname: 'CORP\\svc' },
    ]);
    await server.control.setSettings(settings);
    await server.control.setLag(lag);
    const log = new MemoryChangeLog();
    const feed = new DirectoryFeed(directory, [log]);
    const tell = () => {
      server.setDirectory(accountsOf(directory));
      feed.publish();
    };
    tell();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
    await using first = new Repairing(server, log, parkingAccounts);
    await passed(5 * SECOND);
    expect(log.links).toHaveLength(USERS + 1);

    directory.rename(guid('account', 1), 'ann');
    directory.swap(guid('account', 2), guid('account', 3));
    directory.rename(guid('account', 4), 'user1');
    directory.rename(guid('account', 5), 'eve');
    directory.set(guid('account', BY_UPN), { userPrincipalName: 'fay@corp.test' });
    tell();
    await passed(2 * SECOND);
    await first.stop();
    await using _ = new Repairing(server, log, parkingAccounts);
    for (let waited = 0; waited < 5 * 60 * MINUTE && log.openRepairs().length > 0; waited += 10 * MINUTE)
      await passed(10 * MINUTE, 10 * SECOND);
    // Not in the middle of a try.
    while (log.openRepairs().some(({ state }) => state === 'repairing')) await passed(SECOND / 10);

    expect(await harms(server, log, directory, seed, stays)).toEqual([]);
    const left = log.links
      .map(({ systemuserid }) => log.repair(systemuserid))
      .filter((last) => last?.reason && stays.includes(last.reason));
    expect(left.length > 0).toBe(stays.length > 0);
    for (const { message } of left.filter((last) => last?.reason === stays[0]).flatMap((last) => last ?? []))
      expect(message ?? '').toMatch(words ?? /^$/);
    expect(await server.control.defects()).toEqual([]);
  },
);

/** A repairer at work. */
class Repairing implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  readonly #close: () => Promise<void>;

  constructor(server: StandIn, log: MemoryChangeLog, parkingAccounts: readonly string[]) {
    const settings: RepairerSettings = {
      parkingAccounts,
      linkEvery: 10 * MINUTE,
      nameLag: 15 * MINUTE,
      newsEvery: MINUTE,
      requestsEvery: 3 * SECOND,
      trusted: [],
      doNotTouch: { users: [], businessUnits: [], values: [] },
      recreated: 'ask',
      parallel: 2,
      dryRun: false,
      oneStep: false,
      writeNames: false,
    };
    // The clock goes so fast that any other deadline would pass.
    const client = server.client({ deadline: 24 * 60 * MINUTE });
    this.#close = () => client.close();
    repair(client, log, settings, this.#stop.signal).subscribe({ error: this.#ended.reject, complete: this.#ended.resolve });
  }

  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    for (let waited = 0; waited < 20; waited++) await passed(SECOND / 10);
    await this.#ended.promise;
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

interface Person {
  readonly systemuserid: string;
  readonly domainname: string;
  readonly firstname: string;
  readonly lastname: string;
  readonly internalemailaddress: string;
}

/** What must not be: each record is on its account under a name of it, or as it was, with a reason. */
async function harms(
  server: StandIn,
  log: MemoryChangeLog,
  directory: MemoryDirectory,
  before: readonly Person[],
  stays: readonly (RepairReason | null)[],
): Promise<string[]> {
  const found: string[] = [];
  const records = await server.control.records();
  const held = records.flatMap(({ objectGUID }) => objectGUID ?? []);
  if (new Set(held).size < held.length) found.push('two records hold one account');
  before.forEach(({ systemuserid, domainname, firstname, lastname, internalemailaddress }, index) => {
    const objectGUID = guid('account', index + 1);
    const record = records.find((one) => one.systemuserid === systemuserid);
    const identity = directory.identities().get(objectGUID);
    const last = log.repair(systemuserid);
    const told = `${systemuserid}: ${record?.domainname} (${record?.objectGUID}): ${JSON.stringify(last)}`;
    const names = [record?.firstname, record?.lastname, record?.internalemailaddress];
    if (names.join() !== [firstname, lastname, internalemailaddress].join()) found.push(`${systemuserid} is called ${names.join()}`);
    const isOnIt = record?.objectGUID === objectGUID;
    const isNamed = [`CORP\\${identity?.sAMAccountName}`, identity?.userPrincipalName ?? ''].some((name) =>
      sameName(name, record?.domainname ?? ''),
    );
    if (isOnIt && isNamed && last?.state === 'repaired') return;
    const isAsItWas = isOnIt && record?.domainname === domainname;
    const isTold = last !== undefined && (last.state === 'waiting' || last.state === 'needs-person') && stays.includes(last.reason);
    if (!isAsItWas || !isTold || last.parkingAccount !== null) found.push(told);
  });
  return found;
}

function accountsOf(directory: MemoryDirectory): DirectoryAccount[] {
  return [...directory.identities().values()].map(
    ({ objectGUID, objectSid = '', sAMAccountName, userPrincipalName, enabled, givenName, sn, mail }) => ({
      objectGUID,
      objectSid,
      sAMAccountName,
      userPrincipalName,
      enabled,
      givenName,
      sn,
      mail,
    }),
  );
}

/** The repairer's clock goes on while real requests are made. */
async function passed(milliseconds: number, step = 100): Promise<void> {
  for (let left = milliseconds; left > 0; left -= step) {
    await vi.advanceTimersByTimeAsync(Math.min(step, left));
    await realDelay(2);
  }
}
