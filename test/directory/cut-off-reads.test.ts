import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import { isReadWhole } from '../../streams/position.ts';
import { DIRSYNC, PAGED_RESULTS } from '../support/fake-domain-controller.ts';
import { type LdapClient, type LdapRequest, searchDone } from '../support/ldap-server.ts';
import { FakeListening, fakeWaits, untilSkipping } from './fake-listening.ts';
import type { Listening } from './listening.ts';

/** What becomes of an answer: its messages, the last of which ends it. */
type Damage = (request: LdapRequest, client: LdapClient, messages: readonly Buffer[]) => void;

const ANONYMOUS = '000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed\0';
const half = (messages: readonly Buffer[]) => messages.slice(0, messages.length >> 1);
const code =
  (result: number, diagnostic = ''): Damage =>
  ({ id }, client, messages) =>
    void client.send(...half(messages), searchDone(id, result, diagnostic));

/** Each with words of what is said of it. */
const DAMAGES: readonly (readonly [name: string, damage: Damage, words: string])[] = [
  [
    'a connection that is lost',
    (_, client, messages) => {
      client.send(...half(messages));
      client.end();
    },
    'closed the connection',
  ],
  ['a connection that is taken for anonymous', code(1, ANONYMOUS), 'a successful bind must be completed'],
  ['a time limit', code(3), 'LDAP result 3'],
  ['a size limit', code(4), 'LDAP result 4'],
  ['an administrative limit', code(11, '00002024: SvcErr'), 'LDAP result 11: 00002024'],
  ['a refusal', code(50, '00002098: SecErr'), 'LDAP result 50: 00002098'],
  ['a server that is busy', code(51), 'LDAP result 51'],
  ['a server that goes', code(52), 'LDAP result 52'],
  ['a server that will not', code(53), 'LDAP result 53'],
  ['trouble of its own', code(80), 'LDAP result 80'],
];
const EMPTY: (typeof DAMAGES)[number] = [
  'success and nothing else',
  ({ id }, client) => void client.send(searchDone(id)),
  'with success but',
];

const GONE = 2;
const RENAMED = [3, 4, 5, 6, 7, 8, 9];

beforeEach(fakeWaits);

afterEach(() => {
  vi.useRealTimers();
});

describe.each<[string, Partial<DirectorySettings>]>([
  ['DirSync', {}],
  ['uSNChanged', { source: 'usn' }],
])('a read by %s that ends early means no deletion (SPEC rule 4)', (_, method) => {
  let fake: FakeListening;
  let listening: Listening;
  let accounts: readonly string[];

  beforeEach(async () => {
    fake = await FakeListening.start();
    accounts = Array.from({ length: 12 }, (_, index) => fake.directory.addUser({ sAMAccountName: `user${index}` }));
    fake.dc.objectsPerAnswer = 4;
    listening = await fake.listener({ pageSize: 3, ...method });
    await listening.stop();
  });

  afterEach(async () => {
    await listening[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
  });

  const guidOf = (index: number) => accounts[index] ?? expect.unreachable();
  const stored = () => listening.log.positions.get(fake.directory.namingContext) ?? expect.unreachable();

  /** From a page in the middle on; of a read that is tried again, too. */
  function damaged(isDue: (request: LdapRequest) => boolean, damage: Damage, times: number) {
    const trouble = { struck: 0 };
    let answers = 0;
    fake.deliver = (request, client, messages) => {
      if (isDue(request) && trouble.struck < times && ++answers % 2 === 0) {
        trouble.struck += 1;
        damage(request, client, messages);
      } else {
        client.send(...messages);
      }
    };
    return trouble;
  }

  /** Everything has come to what is true, and nothing was told that never was. */
  async function recovers(trouble: { struck: number }, times: number, words: string) {
    const { log, reports } = listening;
    const isOver = () => trouble.struck === times && reports.at(-1)?.type !== 'waiting' && stored().comparing === undefined;
    await Promise.all([
      listening.start(),
      untilSkipping('it recovers', listening, () => isOver() && log.known.identity(guidOf(GONE)) === undefined),
    ]);
    const waits = listening.reportsOf('waiting');
    expect(waits).toHaveLength(times);
    for (const { error } of waits) expect(error.message).toContain(words);
    const told = log.events.filter(({ objectGUID }) => accounts.includes(objectGUID));
    expect(told.filter(({ kind }) => kind === 'deleted').map(({ objectGUID }) => objectGUID)).toEqual([guidOf(GONE)]);
    expect(told.map(({ objectGUID, kind }) => `${kind} ${objectGUID}`).sort()).toEqual(
      [`deleted ${guidOf(GONE)}`, ...RENAMED.map((index) => `renamed ${guidOf(index)}`)].sort(),
    );
    expect(log.known.identities).toEqual(fake.directory.identities());
    expect(listening.reportsOf('withheld')).toEqual([]);
    expect(isReadWhole(stored())).toBe(true);
  }

  function change() {
    for (const index of RENAMED) fake.directory.modify(guidOf(index), { sAMAccountName: `renamed${index}` });
    fake.directory.delete(guidOf(GONE));
  }

  const isRead = ({ controls }: LdapRequest) => controls.has(DIRSYNC) || controls.has(PAGED_RESULTS);

  it.each([...DAMAGES, EMPTY])('of changes: %s', async (_, damage, words) => {
    change();
    await recovers(damaged(isRead, damage, 3), 3, words);
    expect(listening.log.notices).toEqual([]);
  });

  it.each([...DAMAGES, EMPTY])('of everything, by which a database that was restored is compared: %s', async (_, damage, words) => {
    change();
    listening.log.positions.set(fake.directory.namingContext, { ...stored(), invocationId: 'd0000000-0000-4000-8000-00000000000f' });
    await recovers(damaged(isRead, damage, 3), 3, words);
    expect(listening.log.notices).toHaveLength(1);
  });
});
