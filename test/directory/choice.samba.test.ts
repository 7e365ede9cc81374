import { readFileSync } from 'node:fs';
import { Attribute, Change, Client } from 'ldapts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import type { Directory } from '../../infra/testbed/directory.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { DirectoryError, type DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

let bed: Bed;
let one: Directory;
let two: Directory;

beforeAll(async () => {
  bed = await startBed({ dcs: 2, rodc: true, secondForest: true });
  const [first, second] = bed.directories;
  if (second === undefined) throw new Error('the bed has one domain controller');
  [one, two] = [first, second];
}, 300_000);
afterAll(() => bed?.[Symbol.asyncDispose]());

function source(dcs: readonly Directory[], more: Partial<DirectorySettings> = {}) {
  const { service, caFile } = one;
  const urls = dcs.map(({ url }) => url);
  return ldapDirectorySource({ urls, bindDn: service.bindDn, password: () => service.password, caFile, deadline: 5_000, ...more });
}

async function readWhole(session: DirectorySession): Promise<Position> {
  const reader = session.read(undefined);
  for (;;) {
    const page = await reader.next();
    if (page.last && page.position !== undefined) return page.position;
  }
}

/** What a session ends with. */
function endOf(session: DirectorySession): Promise<DirectoryError> {
  return new Promise((resolve, reject) => {
    session.wakes.subscribe({ error: (error) => (error instanceof DirectoryError ? resolve(error) : reject(error)) });
  });
}

async function asAdministrator(dc: Directory, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ url: dc.url, tlsOptions: { ca: readFileSync(dc.caFile) } });
  try {
    await client.bind(dc.admin.bindDn, dc.admin.password);
    await work(client);
  } finally {
    await client.unbind();
  }
}

const replaced = (type: string, value: string) =>
  new Change({ operation: 'replace', modification: new Attribute({ type, values: [value] }) });

it('passes over a read-only domain controller', async () => {
  await using session = await source([bed.rodc, one]).open(nothingStored, NEVER);
  expect(session).toMatchObject({ dc: expect.stringMatching(/^dc1\./i), passedOver: [{ reason: expect.stringContaining('read-only') }] });
});

it('passes over one whose outbound replication is disabled', async () => {
  await asAdministrator(one, async (client) => {
    const { searchEntries } = await client.search('', { scope: 'base', attributes: ['dsServiceName'] });
    const settings = String(searchEntries[0]?.dsServiceName);
    await client.modify(settings, replaced('options', '5'));
    try {
      await using session = await source([one, two]).open(nothingStored, NEVER);
      expect(session).toMatchObject({
        dc: expect.stringMatching(/^dc2\./i),
        passedOver: [{ reason: expect.stringContaining('outbound') }],
      });
    } finally {
      await client.modify(settings, replaced('options', '1'));
    }
  });
});

it.each<[string, (dc: Directory) => void | Promise<void>, (dc: Directory) => void | Promise<void>]>([
  ['is killed', (dc) => dc.kill(), (dc) => dc.start()],
  ['is frozen', (dc) => dc.pause(), (dc) => dc.resume()],
])('goes on from the same position at another one when one %s, and back once it is well', async (_, stop, start) => {
  const both = source([one, two], { heartbeat: 500, probeEvery: 250, failBackAfter: 1_000 });
  await using first = await both.open(nothingStored, NEVER);
  const stored = await readWhole(first);
  const lost = endOf(first);
  await stop(one);
  try {
    expect(both.failed(await lost)).toBe(true);
    await using second = await both.open(() => stored, NEVER);
    expect(second).toMatchObject({ dc: expect.stringMatching(/^dc2\./i), resume: { position: stored }, passedOver: [{ dc: one.url }] });
    const end = endOf(second);
    await start(one);
    // A notification that came while it was away is not sent again, and what it has not heard of keeps it from being preferred.
    await bed.replication.settled();
    expect(await end).toMatchObject({ failure: 'preferred' });
    expect(both.failed(await end)).toBe(true);
  } finally {
    await start(one);
  }
  await using third = await both.open(() => stored, NEVER);
  expect(third).toMatchObject({ dc: first.dc, passedOver: [] });
});

it('takes one that lags only when no other is left', async () => {
  await bed.replication.settled();
  await bed.replication.pause();
  try {
    await asAdministrator(one, (client) => client.modify(one.namingContext, replaced('description', 'written while nobody replicates')));
    await using session = await source([one]).open(nothingStored, NEVER);
    const stored = await readWhole(session);
    const passedOver = async () => {
      await using other = await source([two], { maxLag: 1_000 }).open(() => stored, NEVER);
      return other.passedOver.map(({ reason }) => reason);
    };
    await expect
      .poll(passedOver, { timeout: 20_000 })
      .toEqual([expect.stringMatching(/^taken although it is behind: it last heard \d+ s ago/)]);
    await using better = await source([two, one], { maxLag: 1_000 }).open(() => stored, NEVER);
    expect(better).toMatchObject({ dc: session.dc, passedOver: [{ reason: expect.stringContaining('it is behind') }] });
    await bed.replication.resume();
    expect(await passedOver()).toEqual([]);
  } finally {
    await bed.replication.resume();
  }
});

it('leaves a domain controller of another domain alone', async () => {
  const both = source([one, bed.secondForest], { deadline: 2_000 });
  await (await both.open(nothingStored, NEVER))[Symbol.asyncDispose]();
  one.pause();
  try {
    // It does not know the account: no password is tried on any other one.
    await expect(both.open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'credentials' });
  } finally {
    one.resume();
  }
});
