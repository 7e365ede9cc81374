import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lastValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Authority } from '../../infra/testbed/authority.ts';
import { guidText } from '../../src/directory/identifiers.ts';
import { ATTRIBUTE_IDS } from '../../src/directory/metadata.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import { listen } from '../../streams/listener/listener.ts';
import { covers } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { readAll, Staff } from './contract.ts';
import { DirectoryPlace } from './place.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

let place: DirectoryPlace;
let staff: Staff;

beforeAll(async () => {
  place = await DirectoryPlace.start({ users: 1_000 });
  staff = new Staff(place.writer, place.namingContext);
}, 120_000);

afterAll(() => place?.[Symbol.asyncDispose]());

const open = (more: Partial<DirectorySettings> = {}, stored?: Position) => place.open(more, stored);

describe('objects and their writes', () => {
  let session: DirectorySession;

  beforeEach(async () => {
    session = await open();
  });

  afterEach(() => session[Symbol.asyncDispose]());

  const writesOf = async (objectGUID: string) => (await session.readObjects([objectGUID])).get(objectGUID)?.writes;
  const guidOf = async (dn: string): Promise<string> => {
    const { searchEntries } = await place.writer.search(dn, {
      scope: 'base',
      attributes: ['objectGUID'],
      explicitBufferAttributes: ['objectGUID'],
    });
    return guidText(searchEntries[0]?.objectGUID as Buffer) ?? '';
  };
  const near = (time: string | undefined) => Math.abs(Date.parse(time ?? '') - Date.now());

  it('a rename is one more version, of now, of that domain controller; nothing else was written', async () => {
    const dn = await staff.create('writ1', { mail: 'writ@example.test' });
    const objectGUID = await guidOf(dn);
    const before = await writesOf(objectGUID);
    expect(before?.sAMAccountName).toMatchObject({ version: 1, invocationId: session.invocationId, dc: session.dc });
    await staff.set(dn, 'sAMAccountName', 'writ2');
    await staff.set(dn, 'mail');
    const after = await writesOf(objectGUID);
    expect(after?.sAMAccountName).toMatchObject({ version: 2, invocationId: session.invocationId, dc: session.dc });
    expect(near(after?.sAMAccountName?.time)).toBeLessThan(10_000);
    expect(BigInt(after?.sAMAccountName?.usn ?? 0)).toBeGreaterThan(BigInt(before?.sAMAccountName?.usn ?? 0));
    expect(after?.sAMAccountName?.localUsn).toBe(after?.sAMAccountName?.usn);
    // What was cleared has a write that says so, and what never was set has none.
    expect(after?.mail).toMatchObject({ version: 2 });
    expect({ ...after, sAMAccountName: undefined, mail: undefined }).toEqual({ ...before, sAMAccountName: undefined, mail: undefined });
    expect(Object.keys(after ?? {}).sort()).toEqual(['mail', 'objectClass', 'objectSid', 'sAMAccountName', 'userAccountControl']);
    expect(covers(await session.vector(), after?.sAMAccountName ?? expect.unreachable())).toBe(true);
  });

  it('a deletion has a write of its own', async () => {
    const dn = await staff.create('writ3');
    const objectGUID = await guidOf(dn);
    await place.writer.del(dn);
    const found = (await session.readObjects([objectGUID])).get(objectGUID);
    expect(found).toMatchObject({
      deleted: true,
      seen: { sAMAccountName: 'writ3' },
      writes: { isDeleted: { version: 1, dc: session.dc } },
    });
    expect(near(found?.writes.isDeleted?.time)).toBeLessThan(10_000);
  });

  it('a thousand come at once, those that do not exist left out', async () => {
    const { observations } = await readAll(session.read(undefined));
    const people = observations.map(({ objectGUID }) => objectGUID).slice(0, 1_000);
    const nobody = Array.from({ length: 50 }, (_, i) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`);
    const found = await session.readObjects([...people, ...nobody]);
    expect(found.size).toBe(1_000);
    for (const objectGUID of people) {
      expect(found.get(objectGUID)).toMatchObject({ objectGUID, writes: { sAMAccountName: { invocationId: session.invocationId } } });
    }
  });

  it('the numbers of the attributes are those of the schema', async () => {
    const names = [...ATTRIBUTE_IDS.values()];
    const { searchEntries } = await place.writer.search(`CN=Schema,CN=Configuration,${place.namingContext}`, {
      filter: `(|${names.map((name) => `(lDAPDisplayName=${name})`).join('')})`,
      attributes: ['lDAPDisplayName', 'attributeID', 'msDS-IntId'],
    });
    const prefixes = ['2.5.4', '2.5.6', '1.2.840.113556.1.2', ...Array(6), '1.2.840.113556.1.4', ...Array(11), '0.9.2342.19200300.100.1'];
    const numbers = searchEntries.map((entry) => {
      const [, prefix = '', last] = /^(.*)\.(\d+)$/.exec(String(entry.attributeID)) ?? [];
      expect(entry['msDS-IntId']).toEqual([]);
      return [prefixes.indexOf(prefix) * 0x1_0000 + Number(last), String(entry.lDAPDisplayName)] as const;
    });
    expect(new Map(numbers.sort(([a], [b]) => a - b))).toEqual(ATTRIBUTE_IDS);
  });

  it('the directory tells how long it remembers deletions, and which domain it is', async () => {
    expect(session.tombstoneLifetime).toBe(180 * 86_400_000);
    const ann = place.directory.people[0];
    const { position } = await readAll(session.read(undefined));
    expect(ann?.objectSid.startsWith(`${position.domainSid}-`)).toBe(true);
    expect(position).toMatchObject({ source: 'dirsync', flags: 0, invocationId: session.invocationId });
    expect(position.seen).toEqual({ [session.invocationId]: position.highestCommittedUSN });
  });
});

describe('a logon', () => {
  it('with a wrong password is refused as such', async () => {
    await expect(open({ password: () => 'not it' })).rejects.toMatchObject({
      failure: 'credentials',
      message: expect.stringContaining('wrong password'),
    });
  });

  it('needs the CA that signed the certificate', async () => {
    const { caFile } = await Authority.open(join(place.path, 'other-authority'));
    await expect(open({ caFile })).rejects.toMatchObject({ failure: 'configuration', message: expect.stringContaining('caFile') });
    await expect(open({ caFile: undefined })).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('caFile'),
    });
  });

  it('needs the name that the certificate has', async () => {
    const proxy = createServer((socket) => {
      const target = connect(636, place.directory.address);
      socket.on('error', () => target.destroy()).pipe(target);
      target.on('error', () => socket.destroy()).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as { port: number };
    await expect(open({ urls: [`ldaps://127.0.0.1:${port}`] })).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('ERR_TLS_CERT_ALTNAME_INVALID'),
    });
    proxy.close();
  });

  it('goes by StartTLS on ldap://; in clear text Samba itself refuses it', async () => {
    const urls = [`ldap://${place.directory.address}`];
    await using session = await open({ urls });
    expect((await readAll(session.read(undefined))).observations.length).toBeGreaterThan(10);
    await expect(open({ urls, allowClearText: true })).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('use ldaps://'),
    });
  });
});

describe('a domain controller that goes', () => {
  it('is killed: everything fails at once, and goes on after it is back', async () => {
    await using session = await open();
    const { position } = await readAll(session.read(undefined));
    await staff.create('before');
    const lost = new Promise((_resolve, reject) => session.wakes.subscribe({ error: reject }));
    await Promise.all([expect(lost).rejects.toMatchObject({ failure: 'unavailable' }), place.directory.kill()]);
    await expect(session.read(position).next()).rejects.toMatchObject({ failure: 'unavailable' });
    await expect(open({}, position)).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('ECONNREFUSED') });
    await place.directory.start();
    await place.logOn();
    await using next = await open({}, position);
    expect(next.resume).toEqual({ position });
    expect((await readAll(next.read(position))).observations).toMatchObject([{ seen: { sAMAccountName: 'before' } }]);
  });

  it('is frozen: noticed within the deadline, by a read, by the heartbeat and when opening', async () => {
    // Whole openings on a busy machine have to come to their end within it.
    const deadline = 2_000;
    await using reading = await open({ deadline });
    await using idle = await open({ deadline, heartbeat: 100 });
    const { position } = await readAll(reading.read(undefined));
    const lost = new Promise((_resolve, reject) => idle.wakes.subscribe({ error: reject }));
    place.directory.pause();
    try {
      const begun = performance.now();
      await Promise.all([
        expect(reading.read(position).next()).rejects.toMatchObject({
          failure: 'unavailable',
          message: expect.stringContaining(`within ${deadline} ms`),
        }),
        expect(lost).rejects.toMatchObject({ failure: 'unavailable' }),
        expect(open({ deadline })).rejects.toMatchObject({ failure: 'unavailable' }),
      ]);
      expect(performance.now() - begun).toBeLessThan(3 * deadline);
    } finally {
      place.directory.resume();
    }
    await using next = await ldapDirectorySource(place.settings()).open(nothingStored, NEVER);
    expect(next.domain).toBe('CORP');
  });

  it('is frozen: a listener that is stopped while it reads leaves in about a second', async () => {
    const log = new MemoryChangeLog();
    const stop = new AbortController();
    const source = ldapDirectorySource(place.settings({ deadline: 60_000 }));
    const reports = listen([source], log, { ...READING, readEvery: 100 }, stop.signal);
    const stopped = lastValueFrom(reports);
    await expect.poll(() => log.positions.size).toBe(1);
    place.directory.pause();
    try {
      await delay(500);
      const begun = performance.now();
      stop.abort();
      await stopped;
      expect(performance.now() - begun).toBeLessThan(1_800);
    } finally {
      place.directory.resume();
    }
  });
});
