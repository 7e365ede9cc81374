import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { guidBytes } from '../../src/directory/identifiers.ts';
import { type Answer, type Attributes, type LdapRequest, searchDone, searchEntry } from '../support/ldap-server.ts';
import { metadata, vectorBlob } from './blobs.ts';
import {
  guid,
  guidsOf,
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

describe('readObjects', () => {
  const OTHER = '11111111-2222-4333-8444-555555555555';
  const GONE = '22222222-2222-4333-8444-555555555555';
  const write = { version: 3, time: '2026-01-02T03:04:05.000Z', invocationId: INVOCATION_ID, usn: '77', localUsn: '78' };
  const NAME = 0x000900dd;

  const answering =
    (more: (guid: string) => Attributes | undefined): Answer =>
    (request, client) => {
      for (const asked of guidsOf(request)) {
        const attributes = more(asked);
        if (attributes !== undefined) client.send(user(request.id, Number.parseInt(asked.slice(-12), 16), attributes));
      }
      client.send(searchDone(request.id));
    };
  const range = (count: number) => Array.from({ length: count }, (_, i) => guidTextOf(i));

  it('gives objects whole with their writes, deleted ones too, and leaves out who is not there', async () => {
    let asked: LdapRequest | undefined;
    const replPropertyMetaData = [
      metadata([
        [NAME, write],
        [0x00020030, { ...write, invocationId: OTHER }],
        [0x00090001, write],
      ]),
    ];
    const objects: Script['objects'] = (request, client) => {
      asked = request;
      const deleted = searchEntry(request.id, `CN=x\\0ADEL:${guidTextOf(3)},CN=Deleted Objects,${NC}`, {
        objectGUID: [guid(3)],
        isDeleted: ['TRUE'],
        replPropertyMetaData,
      });
      client.send(user(request.id, 1, { replPropertyMetaData }), deleted, searchDone(request.id));
    };
    await withSession({ objects }, async (session) => {
      const found = await session.readObjects([guidTextOf(1), guidTextOf(2), guidTextOf(3)]);
      expect([...found.keys()]).toEqual([guidTextOf(1), guidTextOf(3)]);
      expect(found.get(guidTextOf(1))).toEqual({
        objectGUID: guidTextOf(1),
        dn: `CN=User 1,${NC}`,
        deleted: false,
        seen: { sAMAccountName: 'user1', userPrincipalName: null, displayName: null, givenName: null, sn: null, mail: null },
        writes: {
          sAMAccountName: { ...write, dc: 'dc1.corp.example.test' },
          isDeleted: { ...write, invocationId: OTHER, dc: undefined },
        },
      });
      expect(found.get(guidTextOf(3))).toMatchObject({ deleted: true });
      expect(asked).toMatchObject({
        baseDN: NC,
        scope: 'sub',
        attributes: expect.arrayContaining(['sAMAccountName', 'replPropertyMetaData']),
      });
      expect([...(asked?.controls.keys() ?? [])]).toEqual(['1.2.840.113556.1.4.417', '1.2.840.113556.1.4.2064']);
    });
  });

  it('asks for many in several searches, one after the other, each object once', async () => {
    const sizes: number[] = [];
    let open = 0;
    const objects: Script['objects'] = async (request, client) => {
      open += 1;
      expect(open).toBe(1);
      const asked = guidsOf(request);
      sizes.push(asked.length);
      await delay(5);
      open -= 1;
      client.send(...asked.map((text) => user(request.id, Number.parseInt(text.slice(-12), 16))), searchDone(request.id));
    };
    await withSession({ objects }, async (session) => {
      const found = await session.readObjects([...range(250), ...range(3)]);
      expect([...found.keys()]).toEqual(range(250));
      expect(sizes.reduce((sum, size) => sum + size)).toBe(250);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
    });
  });

  it('asks nothing of nobody', async () => {
    await withSession({ objects: () => expect.unreachable() }, async (session) => expect(await session.readObjects([])).toEqual(new Map()));
  });

  it('names the domain controller of a write; one that is not known is looked for once', async () => {
    const sites: Script['sites'] = ({ id }, client) => {
      const server = `CN=DC2,CN=Servers,CN=Site,CN=Sites,CN=Configuration,${NC}`;
      client.send(
        searchEntry(id, `CN=NTDS Settings,${server}`, { invocationId: [guidBytes(OTHER)] }),
        searchEntry(id, `CN=NTDS Settings,CN=Orphan,${server}`, { invocationId: [guidBytes(GONE)] }),
        searchEntry(id, server, { dNSHostName: ['dc2.corp.example.test'] }),
        searchDone(id),
      );
    };
    const objects = answering((asked) => {
      const invocationId = [INVOCATION_ID, OTHER, GONE][Number(asked.slice(-1))] ?? GONE;
      return { replPropertyMetaData: [metadata([[NAME, { ...write, invocationId }]])] };
    });
    await using dc = await scripted({ objects, sites });
    await using session = await dc.source.open(nothingStored, NEVER);
    const looks = () => dc.server.requests.filter(({ baseDN }) => baseDN.startsWith('CN=Sites')).length;
    const nameOf = async (number: number) =>
      (await session.readObjects([guidTextOf(number)])).get(guidTextOf(number))?.writes.sAMAccountName?.dc;
    expect([await nameOf(0), looks()]).toEqual(['dc1.corp.example.test', 0]);
    expect([await nameOf(1), looks()]).toEqual(['dc2.corp.example.test', 1]);
    expect([await nameOf(2), looks()]).toEqual([undefined, 1]);
  });

  it.each([
    ['bytes that are no metadata', Buffer.from('nonsense')],
    ['a count that is not there', Buffer.from('01000000' + '00000000' + 'ffffffff' + '00000000', 'hex')],
    ['nothing', Buffer.alloc(0)],
  ])('takes %s for no writes, with a warning (SPEC rule 9)', async (_, value) => {
    const warnings: string[] = [];
    await withSession(
      { objects: answering(() => ({ replPropertyMetaData: [value] })) },
      async (session) => expect((await session.readObjects([guidTextOf(1)])).get(guidTextOf(1))).toMatchObject({ writes: {} }),
      { warn: (warning) => warnings.push(warning) },
    );
    expect(warnings).toEqual([expect.stringContaining(`CN=User 1,${NC}`)]);
  });

  it.each([10, 34, 50, 53])('refused with %i because of one object gives the others (SPEC rule 9)', async (code) => {
    const warnings: string[] = [];
    const objects: Script['objects'] = (request, client) => {
      const asked = guidsOf(request);
      if (asked.includes(guidTextOf(2))) client.send(searchDone(request.id, code, 'not this one'));
      else client.send(...asked.map((text) => user(request.id, Number.parseInt(text.slice(-12), 16))), searchDone(request.id));
    };
    await withSession(
      { objects },
      async (session) => {
        expect([...(await session.readObjects(range(5))).keys()]).toEqual(range(5).filter((each) => each !== guidTextOf(2)));
        expect(await session.readObjects([guidTextOf(2)])).toEqual(new Map());
      },
      { warn: (warning) => warnings.push(warning) },
    );
    const refusal = expect.stringContaining(`object ${guidTextOf(2)} was refused (LDAP result ${code}: not this one)`);
    expect(warnings).toEqual([refusal, refusal]);
  });

  it('refused one and all is no answer (SPEC rule 4)', async () => {
    const objects: Script['objects'] = ({ id }, client) => void client.send(searchDone(id, 50));
    await withSession({ objects }, (session) => expect(session.readObjects(range(5))).rejects.toMatchObject({ failure: 'rights' }));
  });

  it.each([
    [1, 'unavailable'],
    [32, 'configuration'],
    [51, 'unavailable'],
    [80, 'unavailable'],
  ])('refused with %i is a failure, and the session goes on', async (code, failure) => {
    let refusing = true;
    const objects: Script['objects'] = (request, client) => {
      if (refusing) client.send(searchDone(request.id, code));
      else client.send(user(request.id, 1), searchDone(request.id));
    };
    await withSession({ objects }, async (session) => {
      await expect(session.readObjects(range(2))).rejects.toMatchObject({ name: 'DirectoryError', failure });
      refusing = false;
      expect(await session.readObjects([guidTextOf(1)])).toHaveProperty('size', 1);
    });
  });

  it('takes neither more objects than it asked for nor others', async () => {
    const many: Script['objects'] = ({ id }, client) => void client.send(...range(20).map((_, i) => user(id, i)), searchDone(id));
    await withSession({ objects: many }, (session) =>
      expect(session.readObjects([guidTextOf(1)])).rejects.toMatchObject({ failure: 'configuration' }),
    );
    const another: Script['objects'] = ({ id }, client) => void client.send(user(id, 7), searchDone(id));
    await withSession({ objects: another }, async (session) => expect(await session.readObjects([guidTextOf(1)])).toEqual(new Map()));
  });
});

describe('what a session tells of its directory', () => {
  const OTHER = '11111111-2222-4333-8444-555555555555';
  const DAY = 86_400_000;

  it.each([
    [undefined, 60],
    [180, 180],
    [0, 60],
  ])('a tombstoneLifetime of %s days is one of %i', async (tombstoneLifetime, days) => {
    await withSession(tombstoneLifetime === undefined ? {} : { tombstoneLifetime }, async (session) =>
      expect(session.tombstoneLifetime).toBe(days * DAY),
    );
  });

  it('the vector is what was replicated, and its own number of now', async () => {
    const rootDse = { highestCommittedUSN: ['4000'] };
    const replUpToDateVector = [vectorBlob({ [OTHER]: '12', [INVOCATION_ID]: '9' })];
    await withSession({ rootDse, head: { replUpToDateVector } }, async (session) => {
      expect(await session.vector()).toEqual({ [OTHER]: '12', [INVOCATION_ID]: '4000' });
      rootDse.highestCommittedUSN = ['4001'];
      expect(await session.vector()).toEqual({ [OTHER]: '12', [INVOCATION_ID]: '4001' });
    });
  });

  it.each<[string, Attributes]>([
    ['nothing', {}],
    ['nonsense', { replUpToDateVector: ['?'], 'msDS-NCReplCursors': ['?'] }],
  ])('the vector is its own number where the head shows %s', async (_, head) => {
    await withSession({ head }, async (session) => expect(await session.vector()).toEqual({ [INVOCATION_ID]: '4000' }));
  });

  it('opening costs one round trip for rootDSE and one for all the rest', async () => {
    await using dc = await scripted({});
    await using session = await dc.source.open(nothingStored, NEVER);
    const read = dc.server.requests.filter(({ operation }) => operation === 0x63).map(({ baseDN }) => baseDN.slice(0, 12));
    expect(read).toEqual(['', 'CN=NTDS Sett', 'CN=Partition', NC.slice(0, 12), 'CN=Directory', NC.slice(0, 12), '']);
    expect(session).toMatchObject({ invocationId: INVOCATION_ID, passedOver: [] });
  });
});
