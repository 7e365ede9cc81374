import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { PageReader } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import { Position } from '../../streams/position.ts';
import { type LdapClient, noticeOfDisconnection, searchDone, searchEntry, searchReference } from '../support/ldap-server.ts';
import { cookieBlob, vectorBlob } from './blobs.ts';
import {
  DEADLINE,
  dirSyncDone,
  domainController,
  guid,
  guidTextOf,
  INVOCATION_ID,
  NC,
  NEVER,
  nothingStored,
  type Script,
  scripted,
  user,
  withSession,
} from './scripted-dc.ts';
import { storedPosition } from './scripted-dcs.ts';

async function readAll(reader: PageReader) {
  const pages = [];
  for (;;) {
    const page = await reader.next();
    pages.push(page);
    if (page.last) return pages;
  }
}

/** Bytes, without what is no longer held. */
function heldBuffers(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().arrayBuffers;
}

const cookieOf = (position: Position | undefined) => position && Buffer.from(position.cookie, 'base64').toString();
const names = (observations: readonly Observation[]) => observations.map(({ seen }) => seen.sAMAccountName);

describe('a DirSync read', () => {
  it('follows MoreResults; each answer ends with a position, the last one with the end', async () => {
    const asked: string[] = [];
    const dirSync: Script['dirSync'] = ({ id }, client, cookie) => {
      asked.push(cookie.toString());
      const round = asked.length;
      client.send(
        searchReference(id, 'ldap://elsewhere'),
        user(id, round * 2),
        user(id, round * 2 + 1),
        dirSyncDone(id, `c${round}`, round < 3),
      );
    };
    await withSession({ dirSync }, async (session) => {
      const pages = await readAll(session.read(undefined));
      expect(asked).toEqual(['', 'c1', 'c2']);
      expect(pages.map(({ observations }) => names(observations))).toEqual([
        ['user2', 'user3'],
        ['user4', 'user5'],
        ['user6', 'user7'],
      ]);
      expect(pages.map(({ position, last }) => [cookieOf(position), last])).toEqual([
        ['c1', false],
        ['c2', false],
        ['c3', true],
      ]);
      expect(pages[2]?.position).toMatchObject({
        namingContext: NC,
        dc: 'dc1.corp.example.test',
        highestCommittedUSN: '4000',
        filter: '(objectClass=user)',
        source: 'dirsync',
        flags: 0,
        domainSid: 'S-1-5-21-1-2-3',
      });
      expect(Math.abs(Date.now() - Date.parse(pages[2]?.position?.readAt ?? ''))).toBeLessThan(60_000);
      await session.read(pages[0]?.position).next();
      expect(asked.at(-1)).toBe('c1');
    });
  });

  describe('says what had been seen', () => {
    const OTHER = '11111111-2222-4333-8444-555555555555';
    const seenAfter = async (script: Script, from?: Position) =>
      await withSession(script, async (session) => (await readAll(session.read(from))).map(({ position }) => position?.seen));
    const replUpToDateVector = [vectorBlob({ [OTHER]: '12' })];

    it('by the cookie, and by its own number from before the read', async () => {
      // Samba's cookie has the number from after the read, at which something may have come that was not read.
      const dirSync: Script['dirSync'] = ({ id }, client) =>
        void client.send(dirSyncDone(id, cookieBlob({ [OTHER]: '34', [INVOCATION_ID]: '4001' })));
      expect(await seenAfter({ dirSync, head: { replUpToDateVector } })).toEqual([{ [OTHER]: '34', [INVOCATION_ID]: '4000' }]);
    });

    it('by the vector from when the session began where the cookie is of another kind', async () => {
      expect(await seenAfter({ head: { replUpToDateVector } })).toEqual([{ [OTHER]: '12', [INVOCATION_ID]: '4000' }]);
    });

    it('as no more than before, as long as there is more to come', async () => {
      const dirSync: Script['dirSync'] = ({ id }, client, cookie) =>
        void client.send(user(id, 1), dirSyncDone(id, cookieBlob({ [OTHER]: '34' }), cookie.length === 0 || cookie.toString() === 'c'));
      expect(await seenAfter({ dirSync })).toEqual([{}, { [OTHER]: '34', [INVOCATION_ID]: '4000' }]);
      const from = await withSession({}, async (session) => (await session.read(undefined).next()).position);
      const stored = Position.parse({ ...from, cookie: Buffer.from('c').toString('base64'), seen: { [OTHER]: '33' } });
      expect(await seenAfter({ dirSync }, stored)).toEqual([{ [OTHER]: '33' }, { [OTHER]: '34', [INVOCATION_ID]: '4000' }]);
    });
  });

  it('cuts an answer into pages of which only the last has a position', async () => {
    const dirSync: Script['dirSync'] = ({ id }, client) => {
      client.send(...Array.from({ length: 25 }, (_, i) => user(id, i)), dirSyncDone(id, 'c'));
    };
    await withSession(
      { dirSync },
      async (session) => {
        const pages = await readAll(session.read(undefined));
        expect(pages.map(({ observations, position, last }) => [observations.length, cookieOf(position), last])).toEqual([
          [10, undefined, false],
          [10, undefined, false],
          [5, 'c', true],
        ]);
      },
      { pageSize: 10 },
    );
  });

  it.each<[string, number, string, string, string]>([
    [
      'a cookie refused as Windows does',
      2,
      '0000203D: LdapErr: DSID-0C090B1B, comment: Error processing control, data 0, v4563',
      'position',
      'position was refused',
    ],
    ['a cookie refused as Samba does', 12, '0000202C: Unable to unmarshall cookie', 'position', 'position was refused'],
    ['another protocol error', 2, 'no', 'configuration', ''],
    ['no such control', 12, '00002040: LdapErr: Unavailable critical extension', 'configuration', ''],
    [
      'no right',
      50,
      '00002105: LdapErr: replication access was denied',
      'rights',
      '"Replicating Directory Changes" (DS-Replication-Get-Changes) on DC=corp',
    ],
    ['busy', 51, '', 'unavailable', ''],
    ['not logged on', 1, '000004DC: In order to perform this operation a successful bind must be completed', 'unavailable', ''],
    ['too slow', 3, '', 'unavailable', ''],
    ['unwilling', 53, '', 'configuration', ''],
  ])('%s', async (_, code, diagnostic, kind, words) => {
    const dirSync: Script['dirSync'] = ({ id }, client, cookie) => {
      if (cookie.length === 0) client.send(dirSyncDone(id, 'c1'));
      else client.send(user(id, 1), searchDone(id, code, diagnostic));
    };
    await withSession({ dirSync }, async (session) => {
      const { position } = await session.read(undefined).next();
      await expect(session.read(position).next()).rejects.toMatchObject({
        name: 'DirectoryError',
        failure: kind,
        message: expect.stringContaining(words),
      });
    });
  });

  it('takes a refused control of a first read for no lost position', async () => {
    await withSession(
      { dirSync: ({ id }, client) => void client.send(searchDone(id, 2, '0000203D: Error processing control')) },
      (session) => expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'configuration' }),
    );
  });

  it.each<[string, (id: number) => Buffer, string]>([
    ['success without the control', (id) => searchDone(id), 'no DirSync control'],
    ['an unreadable control', (id) => searchDone(id, 0, '', { '1.2.840.113556.1.4.841': Buffer.from('xx') }), 'a DirSync control with'],
    ['no cookie', (id) => dirSyncDone(id, ''), 'no cookie'],
  ])('never takes %s for an end', async (_, done, words) => {
    await withSession({ dirSync: ({ id }, client) => void client.send(user(id, 1), done(id)) }, (session) =>
      expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'configuration', message: expect.stringContaining(words) }),
    );
  });

  it('does not turn round in an answer that announces more for ever', async () => {
    await withSession({ dirSync: ({ id }, client) => void client.send(dirSyncDone(id, 'c', true)) }, async (session) => {
      const reader = session.read(undefined);
      expect(await reader.next()).toMatchObject({ observations: [], last: false });
      await expect(reader.next()).rejects.toMatchObject({ failure: 'configuration', message: expect.stringContaining('announces more') });
    });
  });

  it('that is cut off never ends as if it were whole', async () => {
    const cut: Script['dirSync'] = ({ id }, client) => {
      client.send(user(id, 1), user(id, 2), user(id, 3).subarray(0, 30));
      client.end();
    };
    await withSession({ dirSync: cut }, async (session) => {
      await expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'unavailable' });
      await expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'unavailable' });
      await expect(session.readObjects([guidTextOf(1)])).rejects.toMatchObject({ failure: 'unavailable' });
    });
  });

  it('gives up on a server that stops in the middle, also one that goes on drop by drop', async () => {
    const drip: Script['dirSync'] = async ({ id }, client) => {
      client.send(user(id, 1));
      for (const byte of user(id, 2)) {
        await delay(50);
        if (client.closed) return;
        client.send(Buffer.of(byte));
      }
    };
    const begun = performance.now();
    await withSession({ dirSync: drip }, (session) =>
      expect(session.read(undefined).next()).rejects.toMatchObject({
        failure: 'unavailable',
        message: expect.stringContaining(`within ${DEADLINE} ms`),
      }),
    );
    // The whole entry, drop by drop, would take longer than that.
    expect(performance.now() - begun).toBeLessThan(4_000);
  });

  it('waits longer for the first entry of a full read and of the first read, but not of a later one', async () => {
    const dirSync: Script['dirSync'] = async ({ id }, client) => {
      await delay(1.2 * DEADLINE);
      client.send(user(id, 1), dirSyncDone(id, 'c'));
    };
    await withSession({ dirSync }, async (session) => {
      const { position } = await session.read(undefined).next();
      await session.read(undefined).next();
      await expect(session.read(position).next()).rejects.toMatchObject({ failure: 'unavailable' });
    });
  });

  it('waits no longer for the first one either where the position is of a moment ago', async () => {
    const dirSync: Script['dirSync'] = async ({ id }, client) => {
      await delay(1.2 * DEADLINE);
      client.send(dirSyncDone(id, 'c'));
    };
    const ago = (milliseconds: number) => storedPosition({ readAt: new Date(Date.now() - milliseconds).toISOString() });
    await withSession({ dirSync }, async (session) => {
      await expect(session.read(ago(3_600_000)).next()).resolves.toMatchObject({ last: true });
    });
    await withSession({ dirSync }, async (session) => {
      await expect(session.read(ago(1_000)).next()).rejects.toMatchObject({ failure: 'unavailable' });
    });
  });

  it('that nobody finishes gives way to the next', async () => {
    let round = 0;
    const dirSync: Script['dirSync'] = ({ id }, client) => {
      round += 1;
      client.send(...Array.from({ length: 30 }, (_, i) => user(id, round * 100 + i)), dirSyncDone(id, `c${round}`));
    };
    await withSession(
      { dirSync },
      async (session) => {
        await session.read(undefined).next();
        const pages = await readAll(session.read(undefined));
        expect(pages.flatMap(({ observations }) => names(observations))).toEqual(Array.from({ length: 30 }, (_, i) => `user${200 + i}`));
      },
      { pageSize: 10 },
    );
  });

  it('sets an entry aside that names no object, and goes on', async () => {
    const warnings: string[] = [];
    const dirSync: Script['dirSync'] = ({ id }, client) => {
      client.send(user(id, 1), searchEntry(id, 'CN=Nobody', { sAMAccountName: ['x'] }), user(id, 2), dirSyncDone(id, 'c'));
    };
    await withSession(
      { dirSync },
      async (session) => expect(names((await session.read(undefined).next()).observations)).toEqual(['user1', 'user2']),
      { warn: (warning) => warnings.push(warning) },
    );
    expect(warnings).toEqual([expect.stringContaining('CN=Nobody')]);
  });

  it('takes nothing from the wire that its reader has not asked for, and still reads objects', { timeout: 60_000 }, async () => {
    // Sixty megabytes: what the kernel's buffers take must be little of it. Entries are large since each costs more than its bytes.
    const total = 15_000;
    const filler = { displayName: ['x'.repeat(3_900)] };
    let writer: LdapClient | undefined;
    const dirSync: Script['dirSync'] = async ({ id }, client) => {
      writer = client;
      for (let i = 0; i < total && !client.closed; i += 25) {
        const entries = Array.from({ length: 25 }, (_, k) => user(id, i + k, filler));
        if (!client.send(...entries)) await client.drained();
      }
      client.send(dirSyncDone(id, 'c'));
    };
    const objects: Script['objects'] = ({ id }, client) =>
      void client.send(searchEntry(id, 'CN=Ann', { objectGUID: [guid(7)] }), searchDone(id));
    await withSession(
      { dirSync, objects },
      async (session) => {
        const reader = session.read(undefined);
        let read = (await reader.next()).observations.length;
        // The kernel's buffers take some megabytes; after that the server has to stand still.
        let before = -1;
        await expect
          .poll(
            () => {
              const still = writer?.bytesWritten === before;
              before = writer?.bytesWritten ?? 0;
              return still;
            },
            { interval: 200, timeout: 30_000 },
          )
          .toBe(true);
        expect(before).toBeLessThan((total * 4_000) / 2);
        // What is held stays: nothing is taken meanwhile. What is not held goes with one of the next collections.
        await expect.poll(heldBuffers, { timeout: 15_000 }).toBeLessThan(32e6);
        expect((await session.readObjects([guidTextOf(7)])).get(guidTextOf(7))).toMatchObject({ deleted: false });
        for (const page of await readAll(reader)) read += page.observations.length;
        expect(read).toBe(total);
      },
      { deadline: 10_000 },
    );
  });
});

describe('change notification', () => {
  /** Keeps the registration, so that a test can wake. */
  function notifying() {
    const waiting: { id: number; client: LdapClient; controls: ReadonlyMap<string, Buffer> }[] = [];
    const notification: Script['notification'] = ({ id, controls }, client) => void waiting.push({ id, client, controls });
    const wake = () => waiting[0]?.client.send(searchEntry(waiting[0].id, 'CN=Ann', {}));
    return { notification, waiting, wake };
  }

  it('is registered before open returns, together with deleted objects, and wakes', async () => {
    const { notification, waiting, wake } = notifying();
    await withSession({ notification }, async (session) => {
      expect(waiting).toHaveLength(1);
      expect([...(waiting[0]?.controls.keys() ?? [])]).toEqual(['1.2.840.113556.1.4.528', '1.2.840.113556.1.4.417']);
      let woken = 0;
      session.wakes.subscribe(() => {
        woken += 1;
      });
      wake();
      wake();
      await expect.poll(() => woken).toBe(2);
    });
  });

  it('is not lost when nobody has subscribed yet', async () => {
    const { notification, wake } = notifying();
    await withSession({ notification }, async (session) => {
      wake();
      await session.readObjects([guidTextOf(1)]); // is answered after the wake
      await new Promise<void>((resolve) => session.wakes.subscribe(resolve));
    });
  });

  it('ends with the session', async () => {
    await withSession({}, async (session) => {
      const completed = new Promise<void>((resolve, reject) => session.wakes.subscribe({ complete: resolve, error: reject }));
      await session[Symbol.asyncDispose]();
      await completed;
    });
  });

  it.each<[string, (id: number) => Buffer]>([
    ['ended', (id) => searchDone(id)],
    ['ended by a limit', (id) => searchDone(id, 4)],
    ['busy', (id) => searchDone(id, 51)],
    ['at its limit', (id) => searchDone(id, 11)],
    ['taking leave', () => noticeOfDisconnection(52, 'idle')],
  ])('that is %s loses the session, reads too', async (_, message) => {
    const { notification, waiting } = notifying();
    await withSession({ notification }, async (session) => {
      const lost = new Promise((_resolve, reject) => session.wakes.subscribe({ error: reject }));
      waiting[0]?.client.send(message(waiting[0].id));
      await expect(lost).rejects.toMatchObject({ failure: 'unavailable' });
      await expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'unavailable' });
    });
  });

  it.each([
    [51, 'unavailable'],
    [11, 'unavailable'],
    [53, 'configuration'],
  ])('refused with %i does not open', async (code, failure) => {
    await using dc = await scripted({ notification: ({ id }, client) => void client.send(searchDone(id, code)) });
    await expect(dc.source.open(nothingStored, NEVER)).rejects.toMatchObject({ failure });
    await expect.poll(() => dc.server.clients.every((client) => client.closed)).toBe(true);
  });

  it('does not wait for ever at a dead server: the heartbeat notices', async () => {
    let dead = false;
    const answer = domainController();
    await using dc = await scripted((request, client) => (dead ? undefined : answer(request, client)), {
      deadline: DEADLINE,
      heartbeat: 50,
    });
    await using session = await dc.source.open(nothingStored, NEVER);
    const lost = new Promise((_resolve, reject) => session.wakes.subscribe({ error: reject }));
    dead = true;
    await expect(lost).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining(`within ${DEADLINE} ms`) });
  });
});
