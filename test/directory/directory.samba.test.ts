import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Attribute, Change, Client, Control } from 'ldapts';
import { lastValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Authority } from '../../infra/testbed/authority.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { guidText } from '../../src/directory/identifiers.ts';
import { ATTRIBUTE_IDS } from '../../src/directory/metadata.ts';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession, PageReader } from '../../streams/directory-source.ts';
import { listen } from '../../streams/listener.ts';
import type { Observation } from '../../streams/observation.ts';
import { covers } from '../../streams/origin.ts';
import type { Position } from '../../streams/position.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

const SHOW_DELETED = new Control('1.2.840.113556.1.4.417', { critical: true });

let bed: Bed;
let writer: Client;
let base: string;

beforeAll(async () => {
  bed = await startBed({ users: 1_000 });
  base = `OU=Staff,${bed.directory.namingContext}`;
  await logOn();
}, 120_000);

afterAll(async () => {
  await writer?.unbind().catch(() => {});
  await bed?.[Symbol.asyncDispose]();
});

async function logOn(): Promise<void> {
  const { url, caFile, admin } = bed.directory;
  writer = new Client({ url, tlsOptions: { ca: readFileSync(caFile) } });
  await writer.bind(admin.bindDn, admin.password);
}

function settings(more: Partial<DirectorySettings> = {}): DirectorySettings {
  const { url, caFile, service } = bed.directory;
  return { urls: [url], bindDn: service.bindDn, password: () => service.password, caFile, deadline: 2_000, ...more };
}

const open = (more: Partial<DirectorySettings> = {}, stored?: Position) => ldapDirectorySource(settings(more)).open(() => stored, NEVER);

async function readAll(reader: PageReader): Promise<{ observations: Observation[]; position: Position }> {
  const observations: Observation[] = [];
  for (;;) {
    const page = await reader.next();
    observations.push(...page.observations);
    if (page.last && page.position !== undefined) return { observations, position: page.position };
  }
}

const dnOf = (cn: string) => `CN=${cn},${base}`;
const set = (dn: string, type: string, ...values: string[]) =>
  writer.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type, values }) }));

async function create(cn: string, more: Record<string, string | string[]> = {}): Promise<string> {
  await writer.add(dnOf(cn), { objectClass: 'user', sAMAccountName: cn, userAccountControl: '544', ...more });
  return dnOf(cn);
}

describe('DirSync', () => {
  let session: DirectorySession;
  let position: Position;

  beforeEach(async () => {
    session = await open();
    position = (await readAll(session.read(undefined))).position;
  });

  afterEach(() => session[Symbol.asyncDispose]());

  const whole = async (objectGUID: string) => (await session.readObjects([objectGUID])).get(objectGUID);

  async function changes(): Promise<Observation[]> {
    const { observations, position: next } = await readAll(session.read(position));
    position = next;
    return observations;
  }

  it('gives everybody at first, then only what changed', async () => {
    const { observations } = await readAll(session.read(undefined));
    const ann = bed.directory.people.find(({ sAMAccountName }) => sAMAccountName === 'alee');
    const { dn, objectGUID, ...seen } = ann ?? expect.unreachable();
    expect(observations.find((each) => each.objectGUID === objectGUID)).toEqual({
      objectGUID,
      dn,
      seen: { ...seen, userAccountControl: expect.any(Number), objectClass: ['top', 'person', 'organizationalPerson', 'user'] },
    });
    expect(session).toMatchObject({ domain: 'CORP', namingContext: bed.directory.namingContext });
    expect(session.dc.toLowerCase()).toBe(bed.directory.hostName);
    expect(await changes()).toEqual([]);
  });

  it('gives a rename, one of case only, a cleared attribute and a disabling as they are', async () => {
    const dn = await create('kind1', { mail: 'kind1@example.test', displayName: 'Kind Öne' });
    const [created] = await changes();
    const { objectGUID } = created ?? expect.unreachable();
    expect(created).toMatchObject({ dn, seen: { sAMAccountName: 'kind1', displayName: 'Kind Öne', mail: 'kind1@example.test' } });
    expect(created?.deleted).toBeUndefined();
    await set(dn, 'sAMAccountName', 'kind2');
    expect(await changes()).toEqual([{ objectGUID, dn, seen: { sAMAccountName: 'kind2' } }]);
    await set(dn, 'sAMAccountName', 'KIND2');
    expect(await changes()).toEqual([{ objectGUID, dn, seen: { sAMAccountName: 'KIND2' } }]);
    await set(dn, 'mail');
    expect(await changes()).toEqual([{ objectGUID, dn, seen: { mail: null } }]);
    // A full read leaves out what was cleared, and must not leave it as it was known (SPEC rule 5).
    const everybody = (await readAll(session.read(undefined))).observations;
    expect(everybody.find((each) => each.objectGUID === objectGUID)?.seen).toMatchObject({ displayName: 'Kind Öne', mail: null, sn: null });
    await set(dn, 'userAccountControl', '546');
    expect(await changes()).toEqual([{ objectGUID, dn, seen: { userAccountControl: 546 } }]);
    await set(dn, 'userAccountControl', '546');
    await set(dn, 'description', 'not watched');
    expect(await changes()).toEqual([]);
    expect(await whole(objectGUID)).toMatchObject({
      objectGUID,
      dn,
      deleted: false,
      seen: { sAMAccountName: 'KIND2', displayName: 'Kind Öne', userAccountControl: 546, mail: null, givenName: null },
    });
  });

  it('gives a deletion, and an account that was brought back', async () => {
    const dn = await create('mortal', { givenName: 'Mort' });
    const objectGUID = (await changes())[0]?.objectGUID ?? expect.unreachable();
    await writer.del(dn);
    const [deleted] = await changes();
    expect(deleted).toMatchObject({ objectGUID, deleted: true, dn: expect.stringContaining(`\\0ADEL:${objectGUID},CN=Deleted Objects,`) });
    expect(await whole(objectGUID)).toMatchObject({
      objectGUID,
      deleted: true,
      seen: { sAMAccountName: 'mortal', givenName: null },
    });

    await writer.modify(
      deleted?.dn ?? '',
      [
        new Change({ operation: 'delete', modification: new Attribute({ type: 'isDeleted', values: [] }) }),
        new Change({ operation: 'replace', modification: new Attribute({ type: 'distinguishedName', values: [dn] }) }),
      ],
      [SHOW_DELETED],
    );
    expect(await changes()).toMatchObject([{ objectGUID, deleted: false, dn }]);
    expect(await whole(objectGUID)).toMatchObject({ objectGUID, deleted: false, dn, seen: { sAMAccountName: 'mortal' } });
  });

  it('gives an account that came and went between two reads as deleted', async () => {
    await writer.del(await create('mayfly'));
    expect(await changes()).toMatchObject([{ deleted: true, seen: { sAMAccountName: 'mayfly' } }]);
  });

  it('gives the last of several changes, and a swap as two', async () => {
    await Promise.all([create('left'), create('right')]);
    await changes();
    for (const [cn, name] of [
      ['left', 'interim'],
      ['right', 'left'],
      ['left', 'right'],
    ] as const)
      await set(dnOf(cn), 'sAMAccountName', name);
    const seen = (await changes()).map(({ dn, seen }) => [dn, seen.sAMAccountName]);
    expect(seen.sort()).toEqual([
      [dnOf('left'), 'right'],
      [dnOf('right'), 'left'],
    ]);
  });

  it('gives a computer with its class', async () => {
    await writer.add(dnOf('PC1'), { objectClass: 'computer', sAMAccountName: 'PC1$' });
    expect(await changes()).toMatchObject([{ seen: { sAMAccountName: 'PC1$', objectClass: expect.arrayContaining(['computer']) } }]);
  });

  it('says nothing new of an account that was moved, or whose parent was renamed', async () => {
    const dn = await create('mover');
    await changes();
    await writer.modifyDN(dn, `CN=mover,OU=People,${bed.directory.namingContext}`);
    for (const { seen, deleted } of await changes()) expect({ seen, deleted }).toEqual({ seen: {}, deleted: undefined });
    await writer.modifyDN(`OU=People,${bed.directory.namingContext}`, 'OU=Folk');
    expect(await changes()).toEqual([]);
    await writer.modifyDN(`OU=Folk,${bed.directory.namingContext}`, 'OU=People');
  });

  it('wakes at a change, also at a deletion', async () => {
    let woken = 0;
    session.wakes.subscribe(() => {
      woken += 1;
    });
    for (const change of [() => create('waker'), () => set(dnOf('waker'), 'sn', 'Up'), () => writer.del(dnOf('waker'))]) {
      const before = woken;
      await change();
      await expect.poll(() => woken, { interval: 2, timeout: 7_000 }).toBeGreaterThan(before);
    }
  });

  it('resumes in another session, and refuses a position that is none', async () => {
    await using next = await open({}, position);
    expect(next.resume).toEqual({ position });
    await create('resumed');
    expect((await readAll(next.read(position))).observations).toMatchObject([{ seen: { sAMAccountName: 'resumed' } }]);
    const garbage = { ...position, cookie: Buffer.from('no cookie at all').toString('base64') };
    await expect(next.read(garbage).next()).rejects.toMatchObject({ failure: 'position' });
    expect((await readAll(next.read(undefined))).observations.length).toBeGreaterThan(10);
  });

  it('notices a lower highestCommittedUSN and another invocationId', async () => {
    await using rolledBack = await open({}, { ...position, highestCommittedUSN: '99999999' });
    expect(rolledBack.resume).toMatchObject({ position: undefined, reason: expect.stringContaining('rolled back') });
    await using restored = await open({}, { ...position, invocationId: '00000000-0000-4000-8000-000000000000' });
    expect(restored.resume).toMatchObject({ position: undefined, reason: expect.stringContaining('restored') });
  });
});

describe('objects and their writes', () => {
  let session: DirectorySession;

  beforeEach(async () => {
    session = await open();
  });

  afterEach(() => session[Symbol.asyncDispose]());

  const writesOf = async (objectGUID: string) => (await session.readObjects([objectGUID])).get(objectGUID)?.writes;
  const guidOf = async (dn: string): Promise<string> => {
    const { searchEntries } = await writer.search(dn, {
      scope: 'base',
      attributes: ['objectGUID'],
      explicitBufferAttributes: ['objectGUID'],
    });
    return guidText(searchEntries[0]?.objectGUID as Buffer) ?? '';
  };
  const near = (time: string | undefined) => Math.abs(Date.parse(time ?? '') - Date.now());

  it('a rename is one more version, of now, of that domain controller; nothing else was written', async () => {
    const dn = await create('writ1', { mail: 'writ@example.test' });
    const objectGUID = await guidOf(dn);
    const before = await writesOf(objectGUID);
    expect(before?.sAMAccountName).toMatchObject({ version: 1, invocationId: session.invocationId, dc: session.dc });
    await set(dn, 'sAMAccountName', 'writ2');
    await set(dn, 'mail');
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
    const dn = await create('writ3');
    const objectGUID = await guidOf(dn);
    await writer.del(dn);
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
    const { searchEntries } = await writer.search(`CN=Schema,CN=Configuration,${bed.directory.namingContext}`, {
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
    const ann = bed.directory.people[0];
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

  it('of an account without the right opens, but does not read', async () => {
    const { bindDn, password } = await bed.directory.account('alee');
    await using session = await open({ bindDn, password: () => password });
    await expect(session.read(undefined).next()).rejects.toMatchObject({
      failure: 'rights',
      message: expect.stringContaining('DS-Replication-Get-Changes'),
    });
  });

  it('needs the CA that signed the certificate', async () => {
    const { caFile } = await Authority.open(join(bed.path, 'other-authority'));
    await expect(open({ caFile })).rejects.toMatchObject({ failure: 'configuration', message: expect.stringContaining('caFile') });
    await expect(open({ caFile: undefined })).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('caFile'),
    });
  });

  it('needs the name that the certificate has', async () => {
    const proxy = createServer((socket) => {
      const target = connect(636, bed.directory.address);
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
    const urls = [`ldap://${bed.directory.address}`];
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
    await create('before');
    const lost = new Promise((_resolve, reject) => session.wakes.subscribe({ error: reject }));
    await Promise.all([expect(lost).rejects.toMatchObject({ failure: 'unavailable' }), bed.directory.kill()]);
    await expect(session.read(position).next()).rejects.toMatchObject({ failure: 'unavailable' });
    await expect(open({}, position)).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('ECONNREFUSED') });
    await bed.directory.start();
    await logOn();
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
    bed.directory.pause();
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
      bed.directory.resume();
    }
    await using next = await ldapDirectorySource(settings()).open(nothingStored, NEVER);
    expect(next.domain).toBe('CORP');
  });

  it('is frozen: a listener that is stopped while it reads leaves in about a second', async () => {
    const log = new MemoryChangeLog();
    const stop = new AbortController();
    const source = ldapDirectorySource(settings({ deadline: 60_000 }));
    const reports = listen([source], log, { ...READING, readEvery: 100 }, stop.signal);
    const stopped = lastValueFrom(reports);
    await expect.poll(() => log.positions.size).toBe(1);
    bed.directory.pause();
    try {
      await delay(500);
      const begun = performance.now();
      stop.abort();
      await stopped;
      expect(performance.now() - begun).toBeLessThan(1_800);
    } finally {
      bed.directory.resume();
    }
  });
});
