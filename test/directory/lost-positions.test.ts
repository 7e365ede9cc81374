import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import { until } from '../support/chain-wait.ts';
import { cookieValue, sidBytes } from '../support/directory-values.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { DIRSYNC, type Refusal, readRequestCookie } from '../support/fake-domain-controller.ts';
import { READING } from '../support/reading-settings.ts';
import { FakeListening } from './fake-listening.ts';
import type { Listening } from './listening.ts';

const DAY = 86_400_000;
const ACCOUNTS = 20;
const ELSEWHERE = 'd0000009-0000-4000-8000-000000000009';

let fake: FakeListening;
let accounts: readonly string[];

beforeEach(async () => {
  fake = await FakeListening.start();
  accounts = Array.from({ length: ACCOUNTS }, (_, index) => fake.directory.addUser({ sAMAccountName: `user${index}` }));
});

afterEach(() => fake[Symbol.asyncDispose]());

const guidOf = (index: number) => accounts[index] ?? expect.unreachable();
const namingContext = () => fake.directory.namingContext;
const told = (events: readonly ChangeEvent[]) => events.map(({ kind, objectGUID, observed }) => [kind, objectGUID, observed.via]).sort();

async function change(): Promise<void> {
  fake.directory.modify(guidOf(1), { sAMAccountName: 'renamed' });
  fake.directory.delete(guidOf(2));
}

const compared = () =>
  [
    ['renamed', guidOf(1), 'comparison'],
    ['deleted', guidOf(2), 'comparison'],
  ].sort();

describe('a cookie (SPEC rule 5)', () => {
  it.each<[string, Refusal]>([
    ['Windows', { code: 2, diagnostic: '0000203D: LdapErr: DSID-0C090B1B, comment: Error processing control, data 0, v4563\0' }],
    ['Samba', { code: 12, diagnostic: '0000202C: Unable to unmarshall cookie' }],
  ])('that is refused in the words of %s while it listens is told of once, and everything is compared', async (_, refusal) => {
    await using listening = await fake.listener();
    let refused = 0;
    fake.dc.refuse = ({ controls }) => {
      const cookie = readRequestCookie(controls.get(DIRSYNC) ?? Buffer.from('300702010002010004 00'.replace(' ', ''), 'hex'));
      if (cookie.length === 0 || refused > 0) return undefined;
      refused += 1;
      return refusal;
    };
    const before = listening.log.events.length;
    await change();
    await until('it is compared', async () => isCompared(listening));
    expect(told(listening.log.events.slice(before))).toEqual(compared());
    expect(listening.log.notices).toMatchObject([{ kind: 'position-lost', reason: 'the directory refused the position' }]);
    expect(listening.reportsOf('waiting').map(({ error }) => error.message)).toEqual([
      expect.stringContaining('the stored position was refused'),
    ]);
    // The next one is good.
    const events = await listening.events(async () => fake.directory.modify(guidOf(3), { sAMAccountName: 'later' }));
    expect(events).toMatchObject([{ kind: 'renamed', observed: { via: 'dirsync' } }]);
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });

  it('that is answered with everything is noticed by that, and everything is compared once', async () => {
    await using listening = await fake.listener();
    const unknown = cookieValue({ invocationId: ELSEWHERE, highest: 0, vector: new Map() }).toString('base64');
    const events = await listening.eventsAfterLoss(namingContext(), { cookie: unknown }, change);
    expect(events.map(({ kind, objectGUID }) => [kind, objectGUID]).sort()).toEqual(compared().map(([kind, guid]) => [kind, guid]));
    expect(listening.log.notices).toMatchObject([{ reason: expect.stringContaining('answered with everything') }]);
    expect(await listening.events(async () => {})).toEqual([]);
    expect(listening.log.notices).toHaveLength(1);
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });

  it('that is answered with everything each time tells nothing twice, and does not make it read without pause', async () => {
    await using listening = await fake.listener();
    const reads = () => fake.server.requests.filter(({ controls }) => controls.has(DIRSYNC)).length;
    fake.interpose = (request) => {
      const asked = request.controls.get(DIRSYNC);
      // Whatever stands in it: nothing of that server's.
      if (asked !== undefined) (request.controls as Map<string, Buffer>).set(DIRSYNC, Buffer.from('3009020100020300ffff0400', 'hex'));
    };
    const events = await listening.events(change);
    await until('it is compared', async () => isCompared(listening));
    const before = reads();
    expect(events.map(({ kind }) => kind).sort()).toEqual(['deleted', 'renamed']);
    await listening.events(async () => fake.directory.modify(guidOf(3), { sAMAccountName: 'later' }));
    expect(listening.log.events.filter(({ objectGUID }) => objectGUID === guidOf(3))).toHaveLength(1);
    expect(reads() - before).toBeLessThan(6);
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });
});

describe.each<[string, Partial<DirectorySettings>]>([
  ['DirSync', {}],
  ['uSNChanged', { source: 'usn' }],
])('a position, read by %s (SPEC rule 5)', (_, method) => {
  it('of longer ago than deletions are remembered: who is not there any more is deleted', async () => {
    await using listening = await fake.listener(method);
    const readAt = new Date(Date.now() - 61 * DAY).toISOString();
    const events = await listening.eventsAfterLoss(namingContext(), { readAt }, async () => {
      await change();
      fake.directory.delete(guidOf(4));
      fake.directory.forget(guidOf(4));
    });
    expect(told(events)).toEqual([...compared(), ['deleted', guidOf(4), 'comparison']].sort());
    expect(listening.log.notices).toMatchObject([{ reason: expect.stringContaining('remembers deletions for 60 days') }]);
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });

  it('of less long ago is good, as the directory itself says how long that is', async () => {
    const settings = `CN=Directory Service,CN=Windows NT,CN=Services,${fake.directory.configuration}`;
    fake.directory.add(settings, { objectClass: ['top', 'nTDSService'], tombstoneLifetime: '180' });
    await using listening = await fake.listener(method);
    const events = await listening.eventsAfterAbsence(async () => {
      const stored = listening.log.positions.get(namingContext()) ?? expect.unreachable();
      listening.log.positions.set(namingContext(), { ...stored, readAt: new Date(Date.now() - 61 * DAY).toISOString() });
      await change();
    });
    expect(told(events)).toEqual(compared().map(([kind, guid]) => [kind, guid, method.source ?? 'dirsync']));
    expect(listening.log.notices).toEqual([]);
  });

  it.each([
    ['few accounts, whose deletion is told', 4],
    ['many accounts, whose deletion waits for a person', ACCOUNTS],
  ])('of a domain that was built anew under its name: %s', async (_, kept) => {
    for (const guid of accounts.slice(kept)) fake.directory.delete(guid);
    setSid(fake.directory, 'S-1-5-21-1-1-1');
    const before = await fake.listener(method);
    await before.stop();
    const { log } = before;
    const old = [...log.known.identities.keys()];
    const directory = new FakeDirectory({ invocationId: ELSEWHERE });
    setSid(directory, 'S-1-5-21-2-2-2');
    await using anew = await FakeListening.start(directory);
    for (let index = 0; index < 3; index += 1) directory.addUser({ sAMAccountName: `user${index}` });
    const settings = { ...READING, readEvery: 1_000, readGap: 5, requestsEvery: 20 };
    await using listening = await anew.listener(method, log, settings);
    expect(log.notices).toMatchObject([{ reason: expect.stringContaining('built anew: its objectSid is S-1-5-21-2-2-2') }]);
    const deleted = () => log.events.filter(({ kind }) => kind === 'deleted').map(({ objectGUID }) => objectGUID);
    if (kept === ACCOUNTS) {
      const { digest } = await until('it is withheld', async () => listening.reportsOf('withheld')[0]);
      expect(listening.reportsOf('withheld')).toMatchObject([{ deletions: ACCOUNTS + 1 }]);
      expect(deleted()).toEqual([]);
      log.requests.push({
        id: 'yes',
        kind: 'accept-deletions',
        namingContext: directory.namingContext,
        time: new Date().toISOString(),
        digest,
      });
    }
    await until('all old ones are gone', async () => deleted().length === old.length);
    expect(deleted().sort()).toEqual(old.sort());
    const created = log.events.filter(({ kind }) => kind === 'created');
    expect(created.map(({ after }) => after?.sAMAccountName).sort()).toEqual(['mark', 'user0', 'user1', 'user2']);
    const formerOf = (name: string) => created.find(({ after }) => after?.sAMAccountName === name)?.formerHolder;
    expect([0, 1, 2].map((index) => formerOf(`user${index}`))).toEqual(accounts.slice(0, 3));
    expect(log.events.filter(({ sharedWith }) => sharedWith !== undefined)).toEqual([]);
    expect(log.known.identities).toEqual(directory.identities());
    expect(log.notices).toHaveLength(1);
  });
});

function isCompared({ log }: Listening): boolean {
  return log.notices.length > 0 && log.positions.get(namingContext())?.comparing === undefined;
}

function setSid(directory: FakeDirectory, sid: string): void {
  const head = directory.objects().find(({ dn }) => dn === directory.namingContext) ?? expect.unreachable();
  directory.modify(head.objectGUID, { objectSid: sidBytes(sid) });
}
