import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import type { PositionInput } from '../../streams/position.ts';
import { BIND, DIRSYNC, NOTIFICATION, PAGED_RESULTS } from '../support/fake-domain-controller.ts';
import { type LdapRequest, searchDone } from '../support/ldap-server.ts';
import { FakeListening, fakeWaits, untilSkipping } from './fake-listening.ts';
import type { Listening } from './listening.ts';

const ANONYMOUS = '000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed\0';
const RESTORED: Partial<PositionInput> = { invocationId: 'd0000000-0000-4000-8000-00000000000f' };
const REFUSED: Partial<PositionInput> = { cookie: Buffer.from('no cookie').toString('base64') };
const [GONE, RENAMED, LAST] = [2, 3, 11];

beforeEach(fakeWaits);
afterEach(() => {
  vi.useRealTimers();
});

const isRead = ({ controls }: LdapRequest) => controls.has(DIRSYNC) || controls.has(PAGED_RESULTS);
const isLookUp = (request: LdapRequest) => !isRead(request) && request.attributes.includes('sAMAccountName');

describe.each<[string, Partial<DirectorySettings>]>([
  ['DirSync', {}],
  ['uSNChanged', { source: 'usn' }],
])('a directory, read by %s, that shows nobody (SPEC rule 4)', (_, method) => {
  let fake: FakeListening;
  let listening: Listening;
  let accounts: readonly string[];

  beforeEach(async () => {
    fake = await FakeListening.start();
    accounts = Array.from({ length: 12 }, (_, index) => fake.directory.addUser({ sAMAccountName: `user${index}` }));
    listening = await fake.listener(method);
    await listening.stop();
  });

  afterEach(async () => {
    await listening[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
  });

  const guidOf = (index: number) => accounts[index] ?? expect.unreachable();
  const stored = () => listening.log.positions.get(fake.directory.namingContext) ?? expect.unreachable();
  const lose = (damage: Partial<PositionInput>) =>
    listening.log.positions.set(fake.directory.namingContext, { ...stored(), ...(damage as object) });
  const told = () =>
    listening.log.events.filter(({ objectGUID }) => accounts.includes(objectGUID)).map(({ kind, objectGUID }) => [kind, objectGUID]);
  const isCompared = () => listening.log.notices.length > 0 && stored().comparing === undefined;
  /** With the end of each answer that the condition holds for, but nothing of what is in it. */
  const hide = (isHidden: (request: LdapRequest) => boolean) => {
    fake.deliver = (request, client, messages) => void client.send(...(isHidden(request) ? messages.slice(-1) : messages));
  };
  const showAll = () => {
    fake.deliver = (_, client, messages) => void client.send(...messages);
  };
  function change() {
    fake.directory.delete(guidOf(GONE));
    fake.directory.modify(guidOf(RENAMED), { sAMAccountName: 'renamed' });
  }
  const CHANGES = () => [
    ['renamed', guidOf(RENAMED)],
    ['deleted', guidOf(GONE)],
  ];

  it.each([
    ['restored', RESTORED],
    ['refused', REFUSED],
  ])('in a comparison after its position was %s: whoever is found by objectGUID is as it is', async (_, damage) => {
    change();
    lose(damage);
    hide(isRead);
    await Promise.all([listening.start(), untilSkipping('it is compared', listening, isCompared)]);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
    expect(listening.reportsOf('set-aside')).toEqual([]);
  });

  it('nor by objectGUID, in a comparison after a refused position: what is known is kept, and that is said', async () => {
    change();
    lose(REFUSED);
    fake.deliver = (request, client, messages) => {
      const isHidden = isRead(request) || isLookUp(request);
      client.send(...(isHidden ? messages.filter((message) => !message.includes('CN=user')) : messages));
    };
    await Promise.all([listening.start(), untilSkipping('it is compared', listening, isCompared)]);
    expect(told()).toEqual([]);
    expect(accounts.filter((guid) => listening.log.known.identity(guid) === undefined)).toEqual([]);
    const asides = listening.reportsOf('set-aside');
    expect(asides.map(({ objectGUID }) => objectGUID)).toEqual(accounts);
    for (const { reason } of asides) expect(reason).toContain('out of sight');
    // What was not seen then is seen by the next comparison.
    showAll();
    await listening.stop();
    lose(RESTORED);
    await Promise.all([listening.start(), untilSkipping('it is compared', listening, () => isCompared() && told().length > 1)]);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });

  it('nor by objectGUID, in a comparison after a restored database: it is withheld until somebody is shown again', async () => {
    change();
    lose(RESTORED);
    hide((request) => isRead(request) || isLookUp(request));
    const started = listening.start();
    await untilSkipping('it is withheld', listening, () => listening.reportsOf('withheld').length > 0);
    expect(listening.reportsOf('withheld')).toMatchObject([{ deletions: 13, known: 13 }]);
    expect(told()).toEqual([]);
    showAll();
    for (const client of fake.server.clients) client.destroy();
    await Promise.all([started, untilSkipping('it is compared', listening, isCompared)]);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
    expect(stored().withheld).toBeUndefined();
  });

  it.each([
    ['taken for anonymous', 1, ANONYMOUS],
    ['a time limit', 3, ''],
    ['a size limit', 4, ''],
    ['an administrative limit', 11, ''],
    ['no such object', 32, ''],
    ['no right', 50, ''],
    ['busy', 51, ''],
    ['unwilling', 53, ''],
  ])('nor by objectGUID, since that is refused: %s', async (_, code, diagnostic) => {
    change();
    lose(RESTORED);
    fake.deliver = (request, client, messages) => {
      const isRefused = isLookUp(request) && listening.reportsOf('waiting').length < 2;
      if (isRefused) client.send(searchDone(request.id, code, diagnostic));
      else client.send(...(isRead(request) ? messages.slice(-1) : messages));
    };
    await Promise.all([listening.start(), untilSkipping('it is compared', listening, isCompared)]);
    expect(listening.reportsOf('waiting')).toHaveLength(2);
    for (const { error } of listening.reportsOf('waiting')) expect(error.message).toContain(`LDAP result ${code}`);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
  });

  it.each([50, 53])('one that is refused by objectGUID too (%i) is not gone for that', async (code) => {
    change();
    lose(RESTORED);
    const hidden = guidOf(LAST);
    let refused = 0;
    const object = fake.directory.object(hidden);
    fake.deliver = (request, client, messages) => {
      const others = messages.filter((message) => !message.includes(object.dn));
      const isOfIt = others.length < messages.length;
      if (isOfIt && isLookUp(request)) client.send(searchDone(request.id, code));
      else client.send(...others);
      if (isOfIt && isLookUp(request)) refused += 1;
    };
    await Promise.all([listening.start(), untilSkipping('it is compared', listening, isCompared)]);
    expect(refused).toBeGreaterThan(0);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.known.identities).toEqual(fake.directory.identities());
    expect(listening.reportsOf('set-aside')).toMatchObject([{ objectGUID: hidden }]);
  });

  it.each<[string, (request: LdapRequest) => Buffer, string]>([
    ['refuses', ({ id }) => searchDone(id, 1, ANONYMOUS), 'a successful bind must be completed'],
    ['hides', ({ id }) => searchDone(id), 'shows no invocationId'],
  ])('since it takes the listener for anonymous when that comes back, and %s everything', async (_, answer, words) => {
    await listening.start();
    let asked = 0;
    fake.deliver = (request, client, messages) => {
      const isOpen = request.operation === BIND || request.baseDN === '' || request.controls.has(NOTIFICATION);
      if (!isOpen) asked += 1;
      client.send(...(isOpen ? messages : [answer(request)]));
    };
    for (const client of fake.server.clients) client.destroy();
    change();
    await untilSkipping('it has tried three times', listening, () => listening.reportsOf('waiting').length > 3);
    expect(asked).toBeGreaterThan(3);
    expect(listening.log.known.identities.size).toBe(13);
    const [, ...later] = listening.reportsOf('waiting');
    for (const { error } of later) expect(error.message).toContain(words);
    showAll();
    await untilSkipping('it goes on', listening, () => told().length > 1);
    expect(told()).toEqual(CHANGES());
    expect(listening.log.notices).toEqual([]);
  });
});
