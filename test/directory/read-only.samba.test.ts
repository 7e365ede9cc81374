import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { Directory } from '../../infra/testbed/directory.ts';
import { DirectoryAdmin, type Found } from '../../infra/testbed/ldap.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { until } from '../support/chain-wait.ts';
import { Listening } from './listening.ts';
import { settingsOf } from './samba-listening.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

let bed: Bed;
let admin: DirectoryAdmin;
let mark: Found;
let listening: Listening | undefined;

beforeAll(async () => {
  bed = await startBed({ rodc: true });
  admin = await DirectoryAdmin.connect(bed.directory);
  mark = await admin.create({ sAMAccountName: 'mark' });
  await bed.replication.settled();
}, 300_000);
afterEach(() => listening?.[Symbol.asyncDispose]());
afterAll(async () => {
  await admin?.[Symbol.asyncDispose]();
  await bed?.[Symbol.asyncDispose]();
});

/** What is written on the writable one comes to the read-only one within seconds. */
async function listenTo(dcs: readonly Directory[], more: Partial<DirectorySettings>): Promise<Listening> {
  const source = ldapDirectorySource(settingsOf(bed, { urls: dcs.map(({ url }) => url), ...more }));
  let marks = 0;
  listening = new Listening(source, mark.objectGUID, async () => {
    const mail = `mark${++marks}.${dcs.length}@example.test`;
    await admin.set(mark.objectGUID, { mail });
    return ({ known }) => known.identity(mark.objectGUID)?.mail === mail;
  });
  return await listening.start();
}

const connectedTo = (listening: Listening) => listening.reportsOf('connected').map(({ dc }) => dc.split('.')[0]?.toLowerCase());

it('a read-only domain controller is followed by uSNChanged, and its events say where the change was made', async () => {
  const listening = await listenTo([bed.rodc], { source: 'usn' });
  expect(connectedTo(listening)).toEqual(['rodc']);
  const { objectGUID } = await admin.create({ sAMAccountName: 'read' });
  const origin = { dc: expect.stringMatching(/^dc1\./i) };
  expect(await listening.events(async () => {})).toMatchObject([{ kind: 'created', objectGUID, observed: { via: 'usn', origin } }]);
  expect(await listening.events(() => admin.rename(objectGUID, 'only'))).toMatchObject([{ kind: 'renamed', observed: { origin } }]);
  expect(await listening.events(() => admin.delete(objectGUID))).toMatchObject([{ kind: 'deleted', before: { sAMAccountName: 'only' } }]);
});

it('the history shows nothing of leaving it for a writable one, nor of coming back', async () => {
  const listening = await listenTo([bed.rodc, bed.directory], { source: 'usn', probeEvery: 200, failBackAfter: 500 });
  const { objectGUID } = await admin.create({ sAMAccountName: 'before' });
  await listening.events(async () => {});
  const events = await listening.events(async () => {
    await bed.rodc.kill();
    await admin.rename(objectGUID, 'meanwhile');
  });
  expect(events).toMatchObject([{ kind: 'renamed', objectGUID, after: { sAMAccountName: 'meanwhile' } }]);
  await bed.rodc.start();
  await until('it has gone back', async () => connectedTo(listening).length === 3, 60_000);
  expect(await listening.events(() => admin.rename(objectGUID, 'after'))).toMatchObject([{ kind: 'renamed', objectGUID }]);
  expect(connectedTo(listening)).toEqual(['rodc', 'dc1', 'rodc']);
  expect(listening.log.events.filter((event) => event.objectGUID === objectGUID).map(({ kind }) => kind)).toEqual([
    'created',
    'renamed',
    'renamed',
  ]);
});

it('where DirSync is wanted it is taken only if that is allowed and there is no other', async () => {
  const open = (urls: readonly string[], source: DirectorySettings['source']) =>
    ldapDirectorySource(settingsOf(bed, { urls, source })).open(nothingStored, NEVER);
  const [readOnly, writable] = [bed.rodc.url, bed.directory.url];
  await expect(open([readOnly], 'dirsync')).rejects.toMatchObject({
    failure: 'configuration',
    message: expect.stringContaining('read-only'),
  });
  {
    await using session = await open([readOnly, writable], 'auto');
    expect(session).toMatchObject({
      dc: expect.stringMatching(/^dc1\./i),
      via: 'dirsync',
      passedOver: [{ reason: expect.stringContaining('read-only') }],
    });
  }
  await using session = await open(['ldaps://127.0.0.1:1', readOnly], 'auto');
  expect(session).toMatchObject({ dc: expect.stringMatching(/^rodc\./i), via: 'usn' });
  expect(session.passedOver.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('ECONNREFUSED'),
    'taken although it is a read-only domain controller, which serves no DirSync: no other one can be listened to',
  ]);
});
