import { Control } from 'ldapts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import { type ListenerReport, listen } from '../../streams/listener/listener.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { type Listening, told } from './listening.ts';
import { SambaListening, settingsOf } from './samba-listening.ts';

const TREE_DELETE = new Control('1.2.840.113556.1.4.805', { critical: true });

let samba: SambaListening;
let listening: Listening;

beforeAll(async () => {
  samba = await SambaListening.start();
  listening = samba.listening;
});

afterAll(() => samba?.[Symbol.asyncDispose]());

afterEach(async () => {
  await samba.expectKnown();
  expect(listening.reportsOf('set-aside')).toEqual([]);
  expect(samba.warnings).toEqual([]);
});

const dn = (rdns: string) => `${rdns},${samba.namingContext}`;
const by = (objectGUID: string) => (events: readonly ChangeEvent[]) => events.filter((event) => event.objectGUID === objectGUID).map(told);

describe('the first read', () => {
  it('makes everybody known and tells of nobody', () => {
    expect(listening.log.known.identities.size).toBeGreaterThan(20);
    expect(listening.log.events.filter(({ kind }) => kind !== 'profile-updated')).toEqual([]);
  });

  it('leaves out who was deleted before', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'past' });
    await samba.admin.delete(objectGUID);
    const log = new MemoryChangeLog();
    const stop = new AbortController();
    const source = ldapDirectorySource(settingsOf(samba.bed));
    const done = new Promise<void>((complete) =>
      listen([source], log, { ...READING, readEvery: 1_000, positionEvery: 1 }, stop.signal).subscribe({
        next: (report) => report.type === 'read-progress' && report.done && stop.abort(),
        complete,
      }),
    );
    await done;
    expect(log.events).toEqual([]);
    expect(log.batches.some(({ identities }) => identities.has(objectGUID))).toBe(false);
    expect(log.known.identities.size).toBeGreaterThan(20);
    await listening.events(async () => {});
  });
});

describe('a change of an account', () => {
  it('is told once each: created, changed, cleared; a new cn is none', async () => {
    const [created] = await listening.events(() =>
      samba.admin.create({ sAMAccountName: 'delta', attributes: { givenName: 'Del', mail: 'delta@example.test' } }),
    );
    expect(created).toMatchObject({
      kind: 'created',
      before: null,
      after: { sAMAccountName: 'delta', givenName: 'Del', mail: 'delta@example.test', enabled: true, domain: 'CORP' },
      observed: { dn: dn('CN=delta,OU=Staff') },
    });
    const { objectGUID } = created ?? expect.unreachable();
    const steps = [
      { values: { sn: 'Ta', givenName: 'Della' }, kind: 'profile-updated', changed: ['givenName', 'sn'] },
      { values: { userPrincipalName: 'delta@corp.example.test' }, kind: 'upn-changed', changed: ['userPrincipalName'] },
      { values: { givenName: null }, kind: 'profile-updated', changed: ['givenName'] },
      { values: { sAMAccountName: 'Delta' }, kind: 'renamed', changed: ['sAMAccountName'], caseOnly: true },
    ];
    for (const { values, ...expected } of steps) {
      const events = await listening.events(() => samba.admin.set(objectGUID, values));
      expect(events).toMatchObject([expected]);
    }
    expect(await listening.events(() => samba.admin.move(objectGUID, 'OU=Staff', 'Delta, Ann'))).toEqual([]);
    const [disabled] = await listening.events(() => samba.admin.disable(objectGUID));
    expect(disabled).toMatchObject({
      kind: 'disabled',
      observed: { dn: dn('CN=Delta\\, Ann,OU=Staff') },
      after: { sn: 'Ta', enabled: false },
    });
    expect(disabled?.after).not.toHaveProperty('givenName');
    expect(await listening.events(() => samba.admin.enable(objectGUID))).toMatchObject([{ kind: 'enabled' }]);
  });

  it('that writes what is there already is none', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'same', attributes: { mail: 'same@example.test' } });
    expect(await listening.events(() => samba.admin.set(objectGUID, { mail: 'same@example.test', sAMAccountName: 'same' }))).toEqual([]);
  });

  it('that is not one of who it is, is none: groups, password, description', async () => {
    const { objectGUID, dn: name } = await samba.known({ sAMAccountName: 'member' });
    const group = dn('CN=Crew,OU=Staff');
    const events = await listening.events(async () => {
      await samba.client.add(group, { objectClass: 'group', sAMAccountName: 'crew', member: name });
      const { searchEntries } = await samba.client.search(group, { scope: 'base', explicitBufferAttributes: ['objectGUID'] });
      expect(searchEntries[0]?.member).toBe(name);
      await samba.client.modifyDN(group, dn('CN=Crew,OU=People'));
      await samba.client.del(dn('CN=Crew,OU=People'));
      await samba.write(objectGUID, 'unicodePwd', [Buffer.from('"Rather-secret-1"', 'utf16le')]);
      await samba.admin.set(objectGUID, { description: 'of no interest' });
    });
    expect(events).toEqual([]);
  });

  it('shows nothing but who it is, whatever else is set', async () => {
    const secrets = { employeeID: 'E-4711', unixUserPassword: 'unix-secret', comment: 'a-comment', homePhone: '555-0100' };
    let objectGUID = '';
    // One after the other: who is created and deleted between two reads was never there.
    const all = [
      ...(await listening.events(async () => {
        ({ objectGUID } = await samba.admin.create({ sAMAccountName: 'discreet', attributes: secrets }));
        await samba.write(objectGUID, 'unicodePwd', [Buffer.from('"Rather-secret-2"', 'utf16le')]);
      })),
      ...(await listening.events(() => samba.admin.rename(objectGUID, 'discreeter'))),
      ...(await listening.events(() => samba.admin.delete(objectGUID))),
    ];
    expect(all.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['created', 'renamed', 'deleted']));
    const text = JSON.stringify([all, listening.log.batches.map(({ identities }) => [...identities]), listening.reports]);
    for (const value of [...Object.values(secrets), 'Rather-secret']) expect(text).not.toContain(value);
    const known = [
      'objectGUID',
      'objectSid',
      'domain',
      'sAMAccountName',
      'userPrincipalName',
      'displayName',
      'givenName',
      'sn',
      'mail',
      'enabled',
    ];
    for (const { before, after } of all) expect(known).toEqual(expect.arrayContaining(Object.keys({ ...before, ...after })));
  });

  it('of everything at once becomes several, in their order, each from one whole identity to the next', async () => {
    const attributes = {
      displayName: 'Al',
      givenName: 'Al',
      sn: 'L',
      mail: 'all@example.test',
      userPrincipalName: 'all@corp.example.test',
    };
    const { objectGUID } = await samba.known({ sAMAccountName: 'all', attributes });
    const events = await listening.eventsAfterAbsence(async () => {
      for (const type of Object.keys(attributes)) await samba.write(objectGUID, type, [], 'delete');
      await samba.admin.rename(objectGUID, 'nothing');
      await samba.admin.disable(objectGUID);
    });
    expect(events.map(({ kind }) => kind)).toEqual(['renamed', 'upn-changed', 'profile-updated', 'disabled']);
    for (const [index, { before }] of events.entries()) if (index > 0) expect(before).toEqual(events[index - 1]?.after);
    expect(Object.keys(events.at(-1)?.after ?? {}).sort()).toEqual(['domain', 'enabled', 'objectGUID', 'objectSid', 'sAMAccountName']);
  });

  it('and back again while nobody looked is none; of several only the last is told', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'pendulum', attributes: { mail: 'pendulum@example.test' } });
    const away = async (names: string[]) => {
      for (const name of names) await samba.admin.rename(objectGUID, name);
    };
    expect(await listening.eventsAfterAbsence(() => away(['elsewhere', 'pendulum']))).toEqual([]);
    expect(by(objectGUID)(await listening.eventsAfterAbsence(() => away(['one', 'two', 'three'])))).toEqual([
      { kind: 'renamed', from: 'pendulum', to: 'three', changed: ['sAMAccountName'] },
    ]);
  });
});

describe('names that change hands', () => {
  it('two accounts swap by a temporary name', async () => {
    const left = await samba.known({ sAMAccountName: 'left' });
    const right = await samba.known({ sAMAccountName: 'right' });
    await expect(samba.admin.rename(left.objectGUID, 'right')).rejects.toMatchObject({ code: 68 });
    const events = await listening.eventsAfterAbsence(async () => {
      await samba.admin.rename(left.objectGUID, 'interim');
      await samba.admin.rename(right.objectGUID, 'left');
      await samba.admin.rename(left.objectGUID, 'right');
    });
    expect(events).toHaveLength(2);
    expect(by(left.objectGUID)(events)).toMatchObject([{ from: 'left', to: 'right', formerHolder: right.objectGUID }]);
    expect(by(right.objectGUID)(events)).toMatchObject([{ from: 'right', to: 'left', formerHolder: left.objectGUID }]);
  });

  it('one gives its name up and another takes it', async () => {
    const [a, c] = [await samba.known({ sAMAccountName: 'a' }), await samba.known({ sAMAccountName: 'c' })];
    const events = await listening.eventsAfterAbsence(async () => {
      await samba.admin.rename(a.objectGUID, 'b');
      await samba.admin.rename(c.objectGUID, 'a');
    });
    expect(by(a.objectGUID)(events)).toEqual([{ kind: 'renamed', from: 'a', to: 'b', changed: ['sAMAccountName'] }]);
    expect(by(c.objectGUID)(events)).toMatchObject([{ from: 'c', to: 'a', formerHolder: a.objectGUID }]);
  });

  it.each(['events', 'eventsAfterAbsence'] as const)('a new account takes the name of a deleted one (%s)', async (watching) => {
    const name = `heir-${watching.length}`;
    const old = await samba.known({ sAMAccountName: name });
    let heir = '';
    const events = await listening[watching](async () => {
      await samba.admin.delete(old.objectGUID);
      heir = (await samba.admin.create({ sAMAccountName: name, cn: `${name} II` })).objectGUID;
    });
    expect(events).toHaveLength(2);
    expect(by(old.objectGUID)(events)).toMatchObject([{ kind: 'deleted', from: name }]);
    expect(by(heir)(events)).toMatchObject([{ kind: 'created', to: name, formerHolder: old.objectGUID }]);
  });
});

describe('an account that goes', () => {
  it('is told as deleted, with all that was known of it, and as restored with its name and little else', async () => {
    const { objectGUID } = await samba.known({
      sAMAccountName: 'phoenix',
      attributes: { givenName: 'Phil', mail: 'phoenix@example.test' },
    });
    const before = listening.log.known.identity(objectGUID);
    expect(await listening.events(() => samba.admin.delete(objectGUID))).toMatchObject([{ kind: 'deleted', before, after: null }]);
    const [restored] = await listening.events(() => samba.admin.reanimate(objectGUID, 'phoenix'));
    expect(restored).toMatchObject({ kind: 'restored', objectGUID, before: null, after: { sAMAccountName: 'phoenix', enabled: true } });
    expect(restored?.after).not.toHaveProperty('mail');
    // Without a look in between it was never gone.
    const quick = await listening.eventsAfterAbsence(async () => {
      await samba.admin.set(objectGUID, { mail: 'again@example.test' });
      await samba.admin.delete(objectGUID);
      await samba.admin.reanimate(objectGUID, 'phoenix');
    });
    expect(quick).toEqual([]);
  });

  it('is none when it came and went unseen', async () => {
    const events = await listening.eventsAfterAbsence(async () => {
      const { objectGUID } = await samba.admin.create({ sAMAccountName: 'mayfly' });
      await samba.admin.delete(objectGUID);
    });
    expect(events).toEqual([]);
  });

  it('goes with its whole OU', async () => {
    await samba.client.add(dn('OU=Closing'), { objectClass: 'organizationalUnit' });
    const gone = [];
    for (const sAMAccountName of ['closing1', 'closing2']) gone.push(await samba.known({ sAMAccountName, parent: 'OU=Closing' }));
    const events = await listening.events(() => samba.client.del(dn('OU=Closing'), TREE_DELETE));
    expect(events.map(({ kind, objectGUID }) => `${kind} ${objectGUID}`).sort()).toEqual(
      gone.map(({ objectGUID }) => `deleted ${objectGUID}`).sort(),
    );
  });
});

describe('an account that moves', () => {
  it('is the same one, also below a parent with another name, and is told of as before', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'nomad' });
    expect(await listening.events(() => samba.admin.move(objectGUID, 'OU=People'))).toEqual([]);
    expect(await listening.events(() => samba.client.modifyDN(dn('OU=People'), dn('OU=Folk')))).toEqual([]);
    const [renamed] = await listening.events(() => samba.admin.rename(objectGUID, 'settler'));
    expect(renamed).toMatchObject({ kind: 'renamed', observed: { dn: dn('CN=nomad,OU=Folk') } });
    await samba.client.modifyDN(dn('OU=Folk'), dn('OU=People'));
  });
});

describe('what is no person', () => {
  it.each([
    ['a computer', { objectClass: 'computer', sAMAccountName: 'PC7$' }],
    ['a managed service account', { objectClass: 'msDS-ManagedServiceAccount', sAMAccountName: 'svc7$', userAccountControl: '4096' }],
    [
      'a group managed service account',
      {
        objectClass: 'msDS-GroupManagedServiceAccount',
        sAMAccountName: 'gmsa7$',
        userAccountControl: '4096',
        'msDS-ManagedPasswordInterval': '30',
      },
    ],
    ['a contact', { objectClass: 'contact', mail: 'contact@example.test' }],
  ])('%s comes, changes and goes unheard', async (what, attributes) => {
    const name = dn(`CN=${what},OU=Staff`);
    const events = await listening.events(async () => {
      await samba.client.add(name, attributes);
      await samba.client.modifyDN(name, dn(`CN=${what} II,OU=Staff`));
      await samba.client.del(dn(`CN=${what} II,OU=Staff`));
    });
    expect(events).toEqual([]);
  });

  it('has a $ at its end, or not: the class tells', async () => {
    expect(await listening.events(() => samba.admin.create({ sAMAccountName: 'person$' }))).toMatchObject([{ kind: 'created' }]);
    const inet = { objectClass: 'inetOrgPerson', sAMAccountName: 'inet', userAccountControl: '544' };
    expect(await listening.events(() => samba.client.add(dn('CN=inet,OU=Staff'), inet))).toMatchObject([{ kind: 'created' }]);
  });
});

describe('a position', () => {
  it.each([
    ['of another server', 1],
    ['of another server that never heard of this one', Number.POSITIVE_INFINITY],
  ])('%s tells each change once all the same', async (_, times) => {
    const { objectGUID } = await samba.known({ sAMAccountName: `abroad${times}` });
    const events = await listening.eventsAfterAbsence(async () => {
      const { log } = listening;
      const stored = log.positions.get(samba.namingContext) ?? expect.unreachable();
      log.positions.set(samba.namingContext, { ...stored, cookie: withForeignServer(stored.cookie, times) });
      await samba.admin.rename(objectGUID, `home${times}`);
    });
    expect(events.map(told)).toEqual([{ kind: 'renamed', from: `abroad${times}`, to: `home${times}`, changed: ['sAMAccountName'] }]);
  });

  it('that is none leads to a full read, which tells what is different', async () => {
    const { objectGUID } = await samba.known({ sAMAccountName: 'kept' });
    const events = await listening.eventsAfterAbsence(async () => {
      const { log } = listening;
      const stored = log.positions.get(samba.namingContext) ?? expect.unreachable();
      log.positions.set(samba.namingContext, { ...stored, cookie: Buffer.from('MSDS, but no more').toString('base64') });
      await samba.admin.rename(objectGUID, 'found');
    });
    expect(events.map(told)).toEqual([{ kind: 'renamed', from: 'kept', to: 'found', changed: ['sAMAccountName'] }]);
    expect(listening.reportsOf('connected').at(-1)?.fullRead).toBe('the directory refused the position');
  });

  /** The cookie with another invocationId: of the server that gave it, or wherever it stands, so that none is left of this one. */
  function withForeignServer(cookie: string, times: number): string {
    const bytes = Buffer.from(cookie, 'base64');
    const own = Buffer.from(bytes.subarray(52, 68));
    for (let replaced = 0, at = 52; at >= 0 && replaced < times; at = bytes.indexOf(own), replaced++) bytes.fill(0xab, at, at + own.length);
    return bytes.toString('base64');
  }
});

it('an account without the right listens to nothing and says what it needs (SPEC rule 4)', async () => {
  const { bindDn, password } = await samba.bed.directory.account('alee');
  const log = new MemoryChangeLog();
  const stop = new AbortController();
  const source = ldapDirectorySource(settingsOf(samba.bed, { bindDn, password: () => password }));
  const waiting = await new Promise<ListenerReport>((resolve) =>
    listen([source], log, { ...READING, readEvery: 1_000 }, stop.signal).subscribe(
      (report) => report.type === 'waiting' && resolve(report),
    ),
  );
  stop.abort();
  expect(waiting).toMatchObject({ error: { failure: 'rights', message: expect.stringContaining('DS-Replication-Get-Changes') } });
  expect(log.batches).toEqual([]);
});
