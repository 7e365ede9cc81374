import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { Position } from '../../streams/position.ts';
import { describeSession, readAll, Staff } from './contract.ts';
import { DirectoryPlace } from './place.ts';
import { NEVER } from './scripted-dc.ts';

let place: DirectoryPlace;
let staff: Staff;

beforeAll(async () => {
  place = await DirectoryPlace.start();
  staff = new Staff(place.writer, place.namingContext);
}, 120_000);

afterAll(() => place?.[Symbol.asyncDispose]());

const reading = (more: Partial<DirectorySettings>) => () => ({
  writer: place.writer,
  namingContext: place.namingContext,
  open: (stored?: Position) => place.open(more, stored),
});

describeSession('a session by DirSync', reading({}));
describeSession('a session by uSNChanged', reading({ source: 'usn' }));
// Pages of one entry: as many answers as there are entries.
describeSession('a session by uSNChanged, in small pages', reading({ source: 'usn', pageSize: 1 }));

/** Of an account that may do no more than any other. */
const ordinary = async (): Promise<Partial<DirectorySettings>> => {
  const { bindDn, password } = await place.directory.account('alee');
  return { bindDn, password: () => password };
};

/** A session that has read everything, and what it reads after that. */
async function reader(session: DirectorySession) {
  const first = await readAll(session.read(undefined));
  let { position } = first;
  const changes = async (): Promise<Observation[]> => {
    const read = await readAll(session.read(position));
    position = read.position;
    return read.observations;
  };
  return { everybody: first.observations, position: () => position, changes };
}

describe('DirSync', () => {
  let session: DirectorySession;

  beforeEach(async () => {
    session = await place.open();
  });

  afterEach(() => session[Symbol.asyncDispose]());

  it('gives everybody at first, then only what changed', async () => {
    const { everybody, changes } = await reader(session);
    const ann = place.directory.people.find(({ sAMAccountName }) => sAMAccountName === 'alee');
    const { dn, objectGUID, ...seen } = ann ?? expect.unreachable();
    expect(everybody.find((each) => each.objectGUID === objectGUID)).toEqual({
      objectGUID,
      dn,
      seen: { ...seen, userAccountControl: expect.any(Number), objectClass: ['top', 'person', 'organizationalPerson', 'user'] },
    });
    expect(session).toMatchObject({ domain: 'CORP', namingContext: place.namingContext, limits: [] });
    expect(session.dc.toLowerCase()).toBe(place.directory.hostName);
    const created = await staff.create('part1', { mail: 'part1@example.test' });
    const before = (await changes())[0] ?? expect.unreachable();
    await staff.set(created, 'sAMAccountName', 'part2');
    expect(await changes()).toEqual([{ objectGUID: before.objectGUID, dn: created, seen: { sAMAccountName: 'part2' } }]);
    await staff.set(created, 'mail');
    expect(await changes()).toEqual([{ objectGUID: before.objectGUID, dn: created, seen: { mail: null } }]);
  });

  it('says nothing of accounts whose parent was renamed', async () => {
    const { changes } = await reader(session);
    await place.writer.modifyDN(`OU=People,${place.namingContext}`, 'OU=Folk');
    expect(await changes()).toEqual([]);
    await place.writer.modifyDN(`OU=Folk,${place.namingContext}`, 'OU=People');
  });

  it('refuses a position that is none', async () => {
    const { position } = await reader(session);
    const garbage = { ...position(), cookie: Buffer.from('no cookie at all').toString('base64') };
    await expect(session.read(garbage).next()).rejects.toMatchObject({ failure: 'position' });
    expect((await readAll(session.read(undefined))).observations.length).toBeGreaterThan(10);
  });

  it('of an account without the right opens, but does not read', async () => {
    await using other = await place.open(await ordinary());
    await expect(other.read(undefined).next()).rejects.toMatchObject({
      failure: 'rights',
      message: expect.stringContaining('DS-Replication-Get-Changes'),
    });
  });
});

describe('an account without the right to replicate', () => {
  it.each<[string, Partial<DirectorySettings>]>([
    ['DirSync with OBJECT_SECURITY', { objectSecurity: true }],
    ['uSNChanged', { source: 'usn' }],
  ])('follows by %s what it may see, and the session tells what that leaves out', async (how, more) => {
    await using session = await place.open({ ...(await ordinary()), ...more });
    expect(session.limits?.[0]).toContain(how);
    expect(session.limits).toContainEqual(expect.stringContaining('CN=Deleted Objects'));
    const { everybody, changes, position } = await reader(session);
    expect(everybody.length).toBeGreaterThan(10);
    const name = `seen-${how.length}`;
    const dn = await staff.create(name);
    const [created] = await changes();
    expect(created).toMatchObject({ dn, seen: { sAMAccountName: name } });
    await staff.set(dn, 'sAMAccountName', `${name}x`);
    expect(await changes()).toMatchObject([{ dn, seen: { sAMAccountName: `${name}x` } }]);
    expect((await session.readObjects([created?.objectGUID ?? ''])).get(created?.objectGUID ?? '')).toMatchObject({
      writes: { sAMAccountName: { version: 2 } },
    });
    await place.writer.del(dn);
    expect((await changes()).filter(({ deleted }) => deleted)).toEqual([]);
    await using next = await place.open({ ...(await ordinary()), ...more }, position());
    expect(next.resume).toEqual({ position: position() });
  });

  it('a position of another way of reading is lost', async () => {
    await using session = await place.open();
    const { position } = await reader(session);
    await using seen = await place.open({ objectSecurity: true }, position());
    expect(seen.resume).toMatchObject({ position: undefined, reason: expect.stringContaining('flags 0, not 1') });
    await using usn = await place.open({ source: 'usn' }, position());
    expect(usn.resume).toMatchObject({ position: undefined, reason: expect.stringContaining('by DirSync, and uSNChanged is used now') });
  });

  it('is read by uSNChanged where DirSync is refused and `auto` allows it, then and later', async () => {
    const settings = { ...(await ordinary()), source: 'auto' } as const;
    const source = ldapDirectorySource(place.settings(settings));
    await using refused = await source.open(() => undefined, NEVER);
    await expect(refused.read(undefined).next()).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringMatching(/DS-Replication-Get-Changes.*by uSNChanged from now on/),
    });
    await using session = await source.open(() => undefined, NEVER);
    const { position } = await reader(session);
    expect(position().source).toBe('usn');
    await using later = await place.open(settings, position());
    expect(later.resume).toEqual({ position: position() });
  });

  it('`auto` stays with DirSync where it is not refused', async () => {
    await using session = await place.open({ source: 'auto' });
    expect((await reader(session)).position().source).toBe('dirsync');
  });
});

describe('uSNChanged below a base', () => {
  it('follows what is there: what comes in, changes and is deleted', async () => {
    const base = `OU=Staff,${place.namingContext}`;
    await using session = await place.open({ source: 'usn', base });
    expect(session.limits).toContainEqual(expect.stringContaining(base));
    const { everybody, changes, position } = await reader(session);
    expect(everybody.filter(({ deleted }) => !deleted).every(({ dn }) => dn.endsWith(base))).toBe(true);
    const elsewhere = `CN=based,OU=People,${place.namingContext}`;
    await place.writer.add(elsewhere, { objectClass: 'user', sAMAccountName: 'based' });
    expect(await changes()).toEqual([]);
    await place.writer.modifyDN(elsewhere, staff.dnOf('based'));
    const [came] = await changes();
    expect(came).toMatchObject({ dn: staff.dnOf('based'), seen: { sAMAccountName: 'based' } });
    await staff.set(staff.dnOf('based'), 'sn', 'Below');
    expect(await changes()).toMatchObject([{ objectGUID: came?.objectGUID, seen: { sn: 'Below' } }]);
    await place.writer.del(staff.dnOf('based'));
    expect(await changes()).toMatchObject([{ objectGUID: came?.objectGUID, deleted: true }]);
    await using other = await place.open({ source: 'usn' }, position());
    expect(other.resume).toEqual({ position: position(), changed: 'the scope was changed' });
  });

  it('that does not exist is a wrong setting, and nobody is gone (SPEC rule 4)', async () => {
    await using session = await place.open({ source: 'usn', base: `OU=Nowhere,${place.namingContext}` });
    await expect(session.read(undefined).next()).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('OU=Nowhere'),
    });
  });
});
