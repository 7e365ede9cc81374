import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import { FakeListening } from './fake-listening.ts';
import { NEVER, nothingStored, settingsFor } from './scripted-dc.ts';

const USUAL = ['displayName', 'givenName', 'sn', 'mail'];

let fake: FakeListening;

beforeEach(async () => {
  fake = await FakeListening.start();
});

afterEach(() => fake[Symbol.asyncDispose]());

/** A text of one value, unless told otherwise. */
function define(lDAPDisplayName: string, attributeID: string, more: Record<string, string> = {}): void {
  fake.directory.add(`CN=${lDAPDisplayName},CN=Schema,${fake.directory.configuration}`, {
    objectClass: ['top', 'attributeSchema'],
    lDAPDisplayName,
    attributeID,
    attributeSyntax: '2.5.5.12',
    isSingleValued: 'TRUE',
    ...more,
  });
}

describe.each(['dirsync', 'usn'] as const)('an attribute that a setting names, by %s', (source) => {
  it('is found in the schema, learned in silence, told of as the schema spells it, with its writes', async () => {
    define('title', '2.5.4.12');
    const ann = fake.directory.addUser({ sAMAccountName: 'ann', attributes: { title: 'Clerk', mail: 'ann@example.test' } });
    await using before = await fake.listener({ source });
    await before.stop();
    await using listening = await fake.listener({ source, attributes: ['TITLE', 'mail'] }, before.log);
    const { log } = listening;
    const notMarks = () => log.events.filter((event) => event.after?.sAMAccountName !== 'mark');
    await expect.poll(() => log.positions.get(fake.directory.namingContext)?.profile).toEqual(['title', 'mail']);
    expect(log.known.identity(ann)).toMatchObject({ title: 'Clerk', mail: 'ann@example.test' });
    expect(notMarks()).toEqual([]);
    const reason = 'other attributes are watched: title from now on; no more displayName, givenName, sn';
    expect(log.notices).toMatchObject([{ kind: 'position-lost', reason }]);
    expect(listening.reportsOf('connected')[0]?.fullRead).toBe(reason);
    const [changed] = await listening.events(async () => fake.directory.modify(ann, { title: 'Chief', sn: 'Lee' }));
    expect(changed).toMatchObject({
      kind: 'profile-updated',
      changed: ['title'],
      before: { title: 'Clerk' },
      after: { title: 'Chief' },
      observed: { origin: { version: 2, dc: fake.directory.host } },
    });
    expect(changed?.after).not.toHaveProperty('sn');
    const [cleared] = await listening.events(async () => fake.directory.modify(ann, { title: null }));
    expect(cleared?.after).not.toHaveProperty('title');
  });
});

it('has no writes where the number of an attribute is not known, and is told of all the same', async () => {
  define('shoeSize', '1.3.6.1.4.1.99999.1');
  const ann = fake.directory.addUser({ sAMAccountName: 'ann' });
  await using listening = await fake.listener({ attributes: [...USUAL, 'shoeSize'] });
  fake.directory.modify(ann, { shoeSize: '38' });
  // Without a write it counts once the domain controller is known to be up to date.
  await expect
    .poll(() => listening.log.events.filter(({ objectGUID }) => objectGUID === ann))
    .toMatchObject([{ kind: 'profile-updated', changed: ['shoeSize'], observed: { origin: null } }]);
});

it('the order of the setting makes no difference', async () => {
  await using first = await fake.listener({ attributes: USUAL });
  await first.stop();
  await using second = await fake.listener({ attributes: USUAL.toReversed() }, first.log);
  expect(second.reportsOf('connected')[0]?.fullRead).toBeUndefined();
});

it('every attribute that cannot be watched is named, with the reason', async () => {
  define('photo', '2.5.4.97', { attributeSyntax: '2.5.5.10' });
  define('otherMail', '2.5.4.98', { isSingleValued: 'FALSE' });
  define('salary', '2.5.4.99', { searchFlags: '128' });
  define('pin', '2.5.4.100', { searchFlags: '512' });
  define('canonicalName', '2.5.4.101', { systemFlags: '134217732' });
  define('unicodePwd', '2.5.4.102');
  define('title', '2.5.4.12');
  const attributes = ['photo', 'title', 'otherMail', 'salary', 'pin', 'canonicalName', 'unicodePwd', 'titel', 'enabled'];
  const source = ldapDirectorySource(settingsFor(fake.server, { attributes }));
  const error = await source.open(nothingStored, NEVER).catch((reason: Error) => reason);
  expect(error).toMatchObject({ failure: 'configuration' });
  expect(String(error).split('listener.attributes: ')[1]?.split('; ')).toEqual([
    'photo holds no text',
    'otherMail can hold several values',
    'salary is confidential',
    'pin is kept from read-only domain controllers, which takes another right to read',
    'canonicalName is not replicated as a value of its own, so that its changes are not told',
    'unicodePwd may hold a secret, which does not belong into events',
    'titel is no attribute of this directory',
    'enabled is watched anyway, or is none that can be watched by itself',
  ]);
});
