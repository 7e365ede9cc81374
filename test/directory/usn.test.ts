import { describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { decodeWatermarks } from '../../src/directory/watermarks.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { type LdapRequest, searchDone, searchEntry, searchReference } from '../support/ldap-server.ts';
import { metadata, vectorBlob } from './blobs.ts';
import { readAll } from './contract.ts';
import {
  dirSyncDone,
  guid,
  guidTextOf,
  INVOCATION_ID,
  NC,
  NEVER,
  pagedDone,
  type Script,
  scripted,
  settingsFor,
  user,
} from './scripted-dc.ts';

const OTHER = '11111111-2222-4333-8444-555555555555';
const SHOW_DELETED = '1.2.840.113556.1.4.417';

async function withSession<T>(
  script: Script,
  use: (session: DirectorySession) => Promise<T>,
  { stored, ...more }: Partial<DirectorySettings> & { stored?: Position | undefined } = {},
): Promise<T> {
  await using dc = await scripted(script, { source: 'usn', ...more });
  await using session = await dc.source.open(() => stored, NEVER);
  return await use(session);
}

const everything = (script: Script, more: Parameters<typeof withSession>[2] = {}) =>
  withSession(script, async (session) => (await readAll(session.read(undefined))).position, more);

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const watermarks = (position: Position) => decodeWatermarks(position)?.usns;

describe('a read by uSNChanged', () => {
  it('asks for page after page, each when the one before is taken, and has a position at the end', async () => {
    const asked: string[] = [];
    const paged: Script['paged'] = ({ id }, client, cookie, size) => {
      asked.push(`${cookie} ${size}`);
      client.send(searchReference(id, 'ldap://elsewhere'), ...range(asked.length * 10, 3).map((each) => user(id, each)));
      client.send(pagedDone(id, asked.length < 3 ? `p${asked.length}` : ''));
    };
    await withSession(
      { paged },
      async (session) => {
        const reader = session.read(undefined);
        expect(await reader.next()).toMatchObject({
          observations: [{ objectGUID: guidTextOf(10) }, {}, {}],
          position: undefined,
          last: false,
        });
        expect(asked).toEqual([' 3']);
        expect(await reader.next()).toMatchObject({ observations: [{ objectGUID: guidTextOf(20) }, {}, {}], last: false });
        const { observations, position } = await readAll(reader);
        expect(observations.map(({ objectGUID }) => objectGUID)).toEqual(range(30, 3).map(guidTextOf));
        expect(asked).toEqual([' 3', 'p1 3', 'p2 3']);
        expect(position).toMatchObject({
          namingContext: NC,
          source: 'usn',
          flags: 0,
          filter: '(objectClass=user)',
          domainSid: 'S-1-5-21-1-2-3',
        });
      },
      { pageSize: 3 },
    );
  });

  it('goes on from what was committed before the read, not from what was seen in it', async () => {
    const rootDse = { highestCommittedUSN: ['9007199254740993'] };
    const requests: LdapRequest[] = [];
    const paged: Script['paged'] = (request, client) => {
      requests.push(request);
      // Meanwhile the directory goes on.
      rootDse.highestCommittedUSN = ['9007199254740999'];
      client.send(user(request.id, 1, { uSNChanged: ['9007199254740998'] }), pagedDone(request.id));
    };
    const head = { replUpToDateVector: [vectorBlob({ [OTHER]: '12' })] };
    await withSession({ paged, rootDse, head }, async (session) => {
      const { position } = await readAll(session.read(undefined));
      expect(position).toMatchObject({
        highestCommittedUSN: '9007199254740993',
        seen: { [OTHER]: '12', [INVOCATION_ID]: '9007199254740993' },
      });
      expect(watermarks(position)).toEqual({ [INVOCATION_ID]: '9007199254740993' });
      const { position: next } = await readAll(session.read(position));
      expect(watermarks(next)).toEqual({ [INVOCATION_ID]: '9007199254740999' });
    });
    const users = { type: 'equal', attribute: 'objectClass', value: Buffer.from('user') };
    const since = { type: 'greaterOrEqual', attribute: 'uSNChanged', value: Buffer.from('9007199254740994') };
    expect(requests.map(({ filter }) => filter)).toEqual([
      { type: 'and', filters: [users] },
      { type: 'and', filters: [users, since] },
    ]);
    expect(requests.map(({ attributes }) => attributes.includes('replPropertyMetaData'))).toEqual([false, true]);
    for (const { baseDN, scope, controls } of requests) expect([baseDN, scope, controls.has(SHOW_DELETED)]).toEqual([NC, 'sub', true]);
  });

  it('takes what is not set for cleared, and tells apart who was created and who was brought back', async () => {
    const write = { version: 2, time: '2026-01-02T03:04:05.000Z', invocationId: OTHER, usn: '1', localUsn: '2' };
    const paged: Script['paged'] = ({ id }, client) => {
      client.send(
        user(id, 1, { replPropertyMetaData: [metadata([[0x000900dd, write]])] }),
        user(id, 2, { replPropertyMetaData: [metadata([[0x00020030, write]])] }),
        searchEntry(id, `CN=x\\0ADEL:${guidTextOf(3)},CN=Deleted Objects,${NC}`, { objectGUID: [guid(3)], isDeleted: ['TRUE'] }),
        pagedDone(id),
      );
    };
    await withSession({ paged }, async (session) => {
      const { position } = await readAll(session.read(undefined));
      const { observations } = await readAll(session.read(position));
      expect(observations.map(({ deleted }) => deleted)).toEqual([undefined, false, true]);
      expect(observations[0]?.seen).toMatchObject({ sAMAccountName: 'user1', mail: null, sn: null });
    });
  });

  it.each<[string, (id: number) => Buffer, string, string]>([
    ['success that does not tell whether there is more', (id) => searchDone(id), 'configuration', 'whether there is more'],
    ['no paged reads', (id) => searchDone(id, 12), 'configuration', 'refused'],
    ['a base that is not there', (id) => searchDone(id, 32), 'configuration', 'refused'],
    ['too many', (id) => searchDone(id, 4), 'unavailable', 'refused'],
    ['no right', (id) => searchDone(id, 50), 'rights', 'refused'],
    ['busy', (id) => searchDone(id, 51), 'unavailable', 'refused'],
  ])('never takes %s for an end (SPEC rule 4)', async (_, done, failure, words) => {
    await withSession({ paged: ({ id }, client) => void client.send(user(id, 1), done(id)) }, (session) =>
      expect(session.read(undefined).next()).rejects.toMatchObject({ failure, message: expect.stringContaining(words) }),
    );
  });

  it('that is cut off between two pages never ends as if it were whole', async () => {
    const paged: Script['paged'] = ({ id }, client, cookie) => {
      if (cookie.length === 0) client.send(user(id, 1), pagedDone(id, 'p1'));
      else client.destroy();
    };
    await withSession({ paged }, (session) => expect(readAll(session.read(undefined))).rejects.toMatchObject({ failure: 'unavailable' }));
  });

  it('does not turn round in answers that announce more for ever', async () => {
    await withSession({ paged: ({ id }, client) => void client.send(pagedDone(id, 'p')) }, (session) =>
      expect(readAll(session.read(undefined))).rejects.toMatchObject({ failure: 'configuration' }),
    );
  });

  it('follows a cookie that stays the same as long as entries come', async () => {
    let left = 3;
    const paged: Script['paged'] = ({ id }, client) => void client.send(user(id, left), pagedDone(id, --left > 0 ? 'p' : ''));
    await withSession({ paged }, async (session) => expect((await readAll(session.read(undefined))).observations).toHaveLength(3));
  });

  it('sets an entry aside that names no object, and goes on (SPEC rule 9)', async () => {
    const paged: Script['paged'] = ({ id }, client) => void client.send(searchEntry(id, 'CN=Nobody', {}), user(id, 2), pagedDone(id));
    const warnings: string[] = [];
    await withSession(
      { paged },
      async (session) => expect((await readAll(session.read(undefined))).observations).toMatchObject([{ objectGUID: guidTextOf(2) }]),
      { warn: (warning) => warnings.push(warning) },
    );
    expect(warnings).toEqual([expect.stringContaining('CN=Nobody')]);
  });
});

describe('below a base', () => {
  const base = `OU=Staff,${NC}`;
  const deleted = `CN=Deleted Objects,${NC}`;

  it.each([
    ['looks for deletions where they are', 0],
    ['does without them where they may not be seen', 32],
  ])('%s', async (_, code) => {
    const asked: string[] = [];
    const paged: Script['paged'] = ({ id, baseDN }, client) => {
      asked.push(baseDN);
      if (baseDN === deleted && code !== 0) client.send(searchDone(id, code));
      else client.send(user(id, asked.length), pagedDone(id));
    };
    await withSession(
      { paged },
      async (session) => expect((await readAll(session.read(undefined))).observations).toHaveLength(code === 0 ? 2 : 1),
      { base },
    );
    expect(asked).toEqual([base, deleted]);
  });
});

describe('several domain controllers', () => {
  const otherDc: Script = {
    invocationId: Buffer.from('1111111122224333844455555555555f', 'hex'),
    rootDse: { dnsHostName: ['dc2.corp.example.test'] },
  };

  it('keep what is known of each, so that coming back to one reads only what came since', async () => {
    const first = await everything({});
    const second = await everything(otherDc, { stored: first });
    expect(Object.keys(watermarks(second) ?? {})).toHaveLength(2);
    await withSession({}, async (session) => expect(session.resume).toEqual({ position: second }), { stored: second });
  });

  it('are each read whole at first', async () => {
    const stored = await everything({});
    await withSession(
      otherDc,
      async (session) => {
        expect(session.resume).toMatchObject({ position: stored, unread: 'dc2.corp.example.test was never read by uSNChanged before' });
        await expect(session.read(stored).next()).rejects.toMatchObject({ failure: 'position' });
      },
      { stored },
    );
  });
});

describe('the way of reading', () => {
  it.each<[string, Partial<DirectorySettings>, string]>([
    ['a base for DirSync', { base: `OU=Staff,${NC}` }, 'source: usn'],
    ['a base where DirSync may be', { base: `OU=Staff,${NC}`, source: 'auto' }, 'source: usn'],
    ['OBJECT_SECURITY without DirSync', { objectSecurity: true, source: 'usn' }, 'objectSecurity'],
  ])('%s is a wrong setting', (_, more, words) => {
    const settings: DirectorySettings = { urls: ['ldaps://dc1'], bindDn: 'x', password: () => 'x', ...more };
    expect(() => ldapDirectorySource(settings)).toThrow(
      expect.objectContaining({ failure: 'configuration', message: expect.stringContaining(words) }),
    );
  });

  it.each([
    [false, 0],
    [true, 1],
  ])('DirSync with objectSecurity %s is asked for with the flags %i, and so is the position', async (objectSecurity, flags) => {
    const asked: number[] = [];
    const dirSync: Script['dirSync'] = ({ id }, client, _cookie, flags) => {
      asked.push(flags);
      client.send(dirSyncDone(id, 'c'));
    };
    expect((await everything({ dirSync }, { source: 'dirsync', objectSecurity })).flags).toBe(flags);
    expect(asked).toEqual([flags]);
  });

  const NO_DIRSYNC: Script = { rootDse: { supportedControl: ['1.2.840.113556.1.4.528'] } };

  it('a server without DirSync is read by uSNChanged if that is allowed, and refused otherwise', async () => {
    expect((await everything(NO_DIRSYNC, { source: 'auto' })).source).toBe('usn');
    expect((await everything(NO_DIRSYNC, { source: 'usn' })).source).toBe('usn');
    await using dc = await scripted(NO_DIRSYNC);
    await expect(dc.source.open(() => undefined, NEVER)).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('DirSync'),
    });
    await expect.poll(() => dc.server.clients.every((client) => client.closed)).toBe(true);
  });

  it.each([
    [50, 'rights'],
    [53, 'unwilling'],
    [12, 'no such control'],
  ])('DirSync that is refused with %i is left for uSNChanged if that is allowed', async (code) => {
    await using dc = await scripted({ dirSync: ({ id }, client) => void client.send(searchDone(id, code)) });
    const auto = ldapDirectorySource(settingsFor(dc.server, { source: 'auto' }));
    await using refused = await auto.open(() => undefined, NEVER);
    await expect(refused.read(undefined).next()).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('uSNChanged'),
    });
    await using next = await auto.open(() => undefined, NEVER);
    expect((await readAll(next.read(undefined))).position.source).toBe('usn');
    await using only = await dc.source.open(() => undefined, NEVER);
    await expect(only.read(undefined).next()).rejects.toMatchObject({ failure: expect.stringMatching('rights|configuration') });
  });

  it('a busy server, and an answer that makes no sense, are no refusal of DirSync', async () => {
    for (const answer of [(id: number) => searchDone(id, 51), (id: number) => searchDone(id)]) {
      await using dc = await scripted({ dirSync: ({ id }, client) => void client.send(answer(id)) }, { source: 'auto' });
      await using session = await dc.source.open(() => undefined, NEVER);
      await expect(session.read(undefined).next()).rejects.toMatchObject({ message: expect.not.stringContaining('uSNChanged') });
    }
  });
});
