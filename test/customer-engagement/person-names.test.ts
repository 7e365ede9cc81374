import { lastValueFrom } from 'rxjs';
import { expect, test } from 'vitest';
import type { Repair } from '../../streams/repair.ts';
import { type RepairerSettings, repair } from '../../streams/repairer/repairer.ts';
import { DirectoryFeed } from '../support/directory-feed.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { guid, MemoryDirectory } from '../support/memory-directory.ts';
import { CALLER, type StandIn, standIn } from './stand-in.ts';

/** A repairer on the stand-in: what goes over the wire when a person gets another name. */

const RECORD = guid('record', 1);
const MINUTE = 60_000;

interface Place extends AsyncDisposable {
  readonly at: StandIn;
  /** Renames the account, and waits until its record is repaired. */
  renamed(): Promise<Repair | undefined>;
  /** What was written, request by request. */
  writes(): Promise<unknown[]>;
  shown(): Promise<unknown>;
}

/** With Ann Lee linked to her account, whose names are these. */
async function started(profile: { givenName?: string; sn?: string }, settings: Partial<RepairerSettings>): Promise<Place> {
  const directory = new MemoryDirectory();
  directory.create({ sAMAccountName: 'alee', profile: { ...profile, mail: 'ann.stone@corp.test' } });
  directory.create({ sAMAccountName: 'ns-park-1' });
  directory.create({ sAMAccountName: 'svc' });
  const accounts = () =>
    directory.guids().map((objectGUID, index) => ({
      objectGUID,
      objectSid: `S-1-5-21-1-2-3-${1000 + index}`,
      sAMAccountName: directory.nameOf(objectGUID) ?? '',
    }));
  const ann = { firstname: 'Ann', lastname: 'Lee', fullname: 'Ann Lee', internalemailaddress: 'ann.lee@corp.test' };
  const at = await standIn('9.1', accounts(), [
    { systemuserid: CALLER, fullname: 'svc', domainname: 'CORP\\svc' },
    { systemuserid: RECORD, domainname: 'CORP\\alee', ...ann },
  ]);
  const log = new MemoryChangeLog();
  const feed = new DirectoryFeed(directory, [log]);
  feed.publish();
  const abort = new AbortController();
  const all: RepairerSettings = {
    parkingAccounts: ['CORP\\ns-park-1'],
    linkEvery: 10 * MINUTE,
    nameLag: 15 * MINUTE,
    newsEvery: 10 * MINUTE,
    requestsEvery: MINUTE,
    trusted: [],
    doNotTouch: { users: [], businessUnits: [], values: [] },
    recreated: 'ask',
    parallel: 1,
    dryRun: false,
    oneStep: false,
    writeNames: false,
    ...settings,
  };
  const ended = lastValueFrom(repair(at.ce, log, all, abort.signal), { defaultValue: undefined });
  await expect.poll(() => log.links.some(({ systemuserid }) => systemuserid === RECORD), { timeout: 10_000 }).toBe(true);
  await at.control.clear();
  return {
    at,
    async renamed() {
      directory.rename(guid('account', 1), 'astone');
      at.setDirectory(accounts());
      feed.publish();
      await expect.poll(() => log.repair(RECORD)?.state, { timeout: 10_000 }).toBe('repaired');
      return log.repair(RECORD);
    },
    async writes() {
      const requests = await at.control.requests();
      return requests.filter(({ method }) => method === 'PATCH').map(({ body }) => JSON.parse(body ?? ''));
    },
    async shown() {
      return (await at.control.records()).find(({ systemuserid }) => systemuserid === RECORD);
    },
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
      await at[Symbol.asyncDispose]();
    },
  };
}

const PARK = { domainname: 'CORP\\ns-park-1' };

test.each<[string, Parameters<typeof started>, object, string]>([
  ['off by default: the user name alone', [{ givenName: 'Anna', sn: 'Stone' }, {}], {}, 'Ann Lee'],
  ['both', [{ givenName: 'Anna', sn: 'Stone' }, { writeNames: true }], { firstname: 'Anna', lastname: 'Stone' }, 'Anna Stone'],
  ['only what differs', [{ givenName: 'Ann', sn: 'Stone' }, { writeNames: true }], { lastname: 'Stone' }, 'Ann Stone'],
  ['nothing more where they agree', [{ givenName: 'Ann', sn: 'Lee' }, { writeNames: true }], {}, 'Ann Lee'],
  ['nothing for what the account does not have', [{ givenName: 'Anna' }, { writeNames: true }], { firstname: 'Anna' }, 'Anna Lee'],
])('%s', async (_, [profile, settings], names, fullname) => {
  await using place = await started(profile, settings);
  expect(await place.renamed()).toMatchObject({ message: null });
  // Two requests that write, and never the e-mail address: that would take back the approval of the mailbox.
  expect(await place.writes()).toEqual([PARK, { domainname: 'CORP\\astone', ...names }]);
  expect(await place.shown()).toMatchObject({ domainname: 'CORP\\astone', fullname, internalemailaddress: 'ann.lee@corp.test' });
  expect(await place.at.control.defects()).toEqual([]);
});

test('what is too long for its column is left out, and told', async () => {
  await using place = await started({ givenName: 'Anna', sn: 'x'.repeat(65) }, { writeNames: true });
  expect((await place.renamed())?.message).toMatch(/last name \(sn\) has 65 characters/);
  expect(await place.writes()).toEqual([PARK, { domainname: 'CORP\\astone', firstname: 'Anna' }]);
  expect(await place.at.control.defects()).toEqual([]);
});

test('a cut connection in the second step is resolved by reading', async () => {
  await using place = await started({ givenName: 'Anna', sn: 'Stone' }, { writeNames: true });
  await place.at.control.setFaults([{ match: { method: 'PATCH', nth: 2, times: 1 }, fault: { kind: 'drop-after-write' } }]);
  expect(await place.renamed()).toMatchObject({ names: { firstname: 'Anna', lastname: 'Stone' } });
  expect(await place.writes()).toHaveLength(2);
  expect(await place.shown()).toMatchObject({ domainname: 'CORP\\astone', fullname: 'Anna Stone' });
});
