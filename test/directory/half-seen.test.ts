import { setTimeout as sleep } from 'node:timers/promises';
import { BerReader } from 'ldapts';
import { describe, expect, it } from 'vitest';
import { parseEndpoint } from '../../src/directory/endpoint.ts';
import { until } from '../support/chain-wait.ts';
import { DIRSYNC, dirSyncDone, PAGED_RESULTS } from '../support/fake-domain-controller.ts';
import { type LdapRequest, searchEntry } from '../support/ldap-server.ts';
import { READING } from '../support/reading-settings.ts';
import { FakeListening } from './fake-listening.ts';

const SEARCH = 0x63;
const SETTINGS = { ...READING, readEvery: 300, readGap: 5, scopeEvery: 300 };
const METHODS = [
  ['dirsync', DIRSYNC],
  ['usn', PAGED_RESULTS],
] as const;

describe.each(METHODS)('a server that answers the read before it answers how far it has come, by %s', (source, control) => {
  it('hides no change that was made in between (SPEC rule 1)', async () => {
    await using fake = await FakeListening.start();
    const anna = fake.directory.addUser({ sAMAccountName: 'anna' });
    await using listening = await fake.listener({ source }, undefined, SETTINGS);
    let bert: string | undefined;
    fake.interpose = async ({ baseDN, attributes }) => {
      if (baseDN === '' && attributes.join() === 'highestCommittedUSN') await sleep(60);
    };
    fake.deliver = ({ operation, controls }, client, messages) => {
      client.send(...messages);
      if (bert !== undefined || operation !== SEARCH || !controls.has(control)) return;
      fake.directory.modify(anna, { sAMAccountName: 'anna2' });
      bert = fake.directory.addUser({ sAMAccountName: 'bert' });
    };
    await until('both are told', async () => listening.log.known.holder('CORP', 'bert') && listening.log.known.holder('CORP', 'anna2'));
    expect(listening.log.events.filter(({ objectGUID }) => objectGUID === bert).map(({ kind }) => kind)).toEqual(['created']);
  });
});

describe.each(METHODS)('an attribute that the account may not see any more, by %s', (source) => {
  it('is not told as cleared', async () => {
    await using fake = await FakeListening.start();
    const anna = fake.directory.addUser({ sAMAccountName: 'anna', attributes: { mail: 'a@x', userPrincipalName: 'anna@x' } });
    await using listening = await fake.listener({ source }, undefined, SETTINGS);
    // By the right to replicate DirSync shows everything, while any other search shows what the account may read.
    const isFiltered = ({ operation, controls, attributes }: LdapRequest) =>
      operation === SEARCH && !(source === 'dirsync' && controls.has(DIRSYNC)) && attributes.includes('replPropertyMetaData');
    fake.deliver = (request, client, messages) => {
      client.send(...(isFiltered(request) ? messages.map((message) => without(message, ['mail', 'userPrincipalName'])) : messages));
    };
    fake.directory.modify(anna, { displayName: 'Anna' });
    await until('the change is told', async () => listening.log.known.identity(anna)?.displayName === 'Anna');
    const events = listening.log.events.filter(({ objectGUID }) => objectGUID === anna);
    expect(events.map(({ changed }) => changed)).toEqual([['displayName']]);
    expect(listening.log.known.identity(anna)).toMatchObject({ mail: 'a@x', userPrincipalName: 'anna@x' });
  });
});

it('an entry without an objectGUID says nothing of who is in scope', async () => {
  await using fake = await FakeListening.start();
  const dn = `OU=Staff,${fake.directory.namingContext}`;
  fake.directory.add(dn, { objectClass: ['top', 'organizationalUnit'] });
  const anna = fake.directory.addUser({ sAMAccountName: 'anna' });
  await using listening = await fake.listener({ scope: { exclude: { ous: [dn] } } }, undefined, SETTINGS);
  fake.deliver = (request, client, messages) => {
    const isOfScope = request.controls.has(PAGED_RESULTS) && request.attributes.length === 1;
    client.send(...(isOfScope ? [searchEntry(request.id, '', {}), ...messages] : messages));
  };
  fake.directory.modify(anna, { sAMAccountName: 'anna2' });
  await until('it goes on', async () => listening.log.known.holder('CORP', 'anna2'));
  expect(listening.reportsOf('waiting')).toEqual([]);
});

it('a DirSync read that announces more without another cookie ends in an error', async () => {
  await using fake = await FakeListening.start();
  await using listening = await fake.listener({}, undefined, SETTINGS);
  fake.deliver = (request, client, messages) => {
    client.send(...(request.controls.has(DIRSYNC) ? [...messages.slice(0, -1), dirSyncDone(request.id, 'MSDS', true)] : messages));
  };
  await until('it is told', async () => listening.reportsOf('waiting')[0]?.error.message.includes('announces more'));
});

it.each(['ldap://a%00b', 'ldap://b%0ainjected', 'ldap://%zz', 'ldap://dc%20x', 'ldap://-dc1', 'ldaps://dc1..corp'])(
  '%s names no host',
  (url) => {
    expect(() => parseEndpoint(url, false)).toThrow(/^\S+ is no host name$/);
  },
);

it.each([
  ['ldaps://DC1.Corp.example.test', 'ldaps://dc1.corp.example.test'],
  ['ldaps://dc1:636', 'ldaps://dc1'],
  ['ldap://[2001:DB8::1]:389', 'ldap://[2001:db8::1]'],
  ['ldap://dc1:636', 'ldap://dc1:636'],
])('%s is %s', (url, same) => {
  expect(parseEndpoint(url, false)).toEqual(parseEndpoint(same, false));
  expect(parseEndpoint(url, false).url).toBe(same);
});

/** The same message; an entry has some attributes less. */
function without(message: Buffer, names: readonly string[]): Buffer {
  const reader = new BerReader(message);
  reader.readSequence();
  const id = reader.readInt() ?? 0;
  if (reader.readSequence() !== 0x64) return message;
  const dn = reader.readString() ?? '';
  reader.readSequence();
  const end = reader.offset + reader.length;
  const attributes: Record<string, Buffer[]> = {};
  while (reader.offset < end) {
    reader.readSequence();
    const type = reader.readString() ?? '';
    reader.readSequence(0x31);
    const values: Buffer[] = [];
    for (const last = reader.offset + reader.length; reader.offset < last; ) {
      const value = reader.readString(4, true);
      if (value !== null) values.push(value);
    }
    if (!names.includes(type)) attributes[type] = values;
  }
  return searchEntry(id, dn, attributes);
}
