import { afterAll, beforeAll, expect, it } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import { Listening } from './listening.ts';
import { SambaListening, settingsOf } from './samba-listening.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';

let samba: SambaListening;

beforeAll(async () => {
  samba = await SambaListening.start();
});

afterAll(() => samba?.[Symbol.asyncDispose]());

it('attributes from all over the schema are watched, with the writes that they come from', async () => {
  const values = {
    title: 'Clerk', // 2.5.4
    department: 'Sales', // 1.2.840.113556.1.2
    employeeID: '7', // 1.2.840.113556.1.4
    mobile: '+49', // 0.9.2342.19200300.100.1
    preferredLanguage: 'de', // 2.16.840.1.113730.3.1
  };
  const attributes = Object.keys(values);
  const { objectGUID } = await samba.admin.create({ sAMAccountName: 'vera', attributes: { ...values, department: 'Marketing' } });
  let marks = 0;
  const mark = async () => {
    const employeeID = `${++marks}`;
    await samba.admin.set(objectGUID, { employeeID });
    return ({ known }: Listening['log']) => known.identity(objectGUID)?.employeeID === employeeID;
  };
  const source = ldapDirectorySource(settingsOf(samba.bed, { attributes }));
  await using listening = await new Listening(source, '', mark).start();
  const { log } = listening;
  await samba.admin.set(objectGUID, values);
  await expect.poll(() => log.known.identity(objectGUID), { timeout: 10_000 }).toMatchObject(values);
  expect(Object.keys(log.origins.get(objectGUID) ?? {})).toEqual(expect.arrayContaining(attributes));
  const told = log.events.filter((event) => event.objectGUID === objectGUID && event.changed.includes('department'));
  expect(told).toMatchObject([
    {
      kind: 'profile-updated',
      before: { department: 'Marketing' },
      after: { department: 'Sales' },
      observed: { origin: { version: expect.any(Number) } },
    },
  ]);
  expect(log.known.identity(objectGUID)).not.toHaveProperty('displayName');
});

it.each([
  ['unicodePwd', 'may hold a secret'],
  ['msDS-cloudExtensionAttribute99', 'is no attribute of this directory'],
  ['otherTelephone', 'can hold several values'],
  ['manager', 'holds no text'],
  ['msDS-PrincipalName', 'is not replicated'],
  ['cn', 'is watched anyway'],
  ['msPKIAccountCredentials', 'may hold a secret'],
])('%s is refused: it %s', async (name, reason) => {
  const source = ldapDirectorySource(settingsOf(samba.bed, { attributes: [name] }));
  await expect(source.open(nothingStored, NEVER)).rejects.toMatchObject({
    failure: 'configuration',
    message: expect.stringContaining(`listener.attributes: ${name} ${reason}`),
  });
});
