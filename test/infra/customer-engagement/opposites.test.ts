import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ACCOUNTS, ANN, BEN, code, id, type Reply, request, SERVICE, TestOrganization } from './organization.ts';

let ce: TestOrganization;
beforeEach(async () => {
  ce = await TestOrganization.start();
});
afterEach(async () => {
  await ce[Symbol.asyncDispose]();
});

const name = (domainname: string) => ({ domainname });

/** PATCHes of user names as one change set, in the form of the page "Execute batch operations using the Web API". */
async function changeSet(
  writes: readonly (readonly [user: string, domainname: string])[],
  more: string[] = ['If-Match: *'],
): Promise<Reply> {
  const parts = writes.map(([user, domainname], index) =>
    [
      '--set',
      'Content-Type: application/http',
      'Content-Transfer-Encoding: binary',
      `Content-ID: ${index + 1}`,
      '',
      `PATCH ${ce.base}systemusers(${user}) HTTP/1.1`,
      'Content-Type: application/json',
      ...more,
      '',
      JSON.stringify(name(domainname)),
    ].join('\r\n'),
  );
  const body = ['--whole', 'Content-Type: multipart/mixed;boundary=set', '', ...parts, '--set--', '--whole--', ''].join('\r\n');
  return await request(`${ce.base}$batch`, 'POST', { 'content-type': 'multipart/mixed;boundary=whole' }, body);
}

const statuses = ({ text }: Reply) => [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));

describe('a change set', () => {
  test('of writes that pass by themselves passes; without If-Match it is careless', async () => {
    const reply = await changeSet([
      [ANN, 'CORP\\park1'],
      [BEN, 'CORP\\park2'],
    ]);
    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': expect.stringMatching(/^multipart\/mixed; ?boundary=/) } });
    expect(statuses(reply)).toEqual([204, 204]);
    expect([(await ce.record(ANN)).domainname, (await ce.record(BEN)).domainname]).toEqual(['CORP\\park1', 'CORP\\park2']);
    expect(await ce.control.defects()).toEqual([]);
    await changeSet([[ANN, 'CORP\\alee']], []);
    expect((await ce.control.defects()).map(({ kind }) => kind)).toEqual(['write-without-if-match']);
  });

  test('A3: there and back is refused, and nothing of it is done; the setting lets it pass', async () => {
    const thereAndBack = [
      [ANN, 'CORP\\park1'],
      [ANN, 'CORP\\alee'],
    ] as const;
    const before = await ce.record(ANN);
    const refused = await changeSet(thereAndBack);
    expect(statuses(refused)).toEqual([400]);
    expect(refused.text).toContain('0x80041d2c');
    expect(await ce.record(ANN)).toEqual(before);
    await ce.control.setSettings({ changeSets: 'accepted' });
    expect(statuses(await changeSet(thereAndBack))).toEqual([204, 204]);
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\alee', objectGUID: id(1002) });
  });

  test('one write that is refused undoes those before it', async () => {
    const before = await ce.record(ANN);
    expect(
      statuses(
        await changeSet([
          [ANN, 'CORP\\park1'],
          [BEN, 'CORP\\leaver'],
        ]),
      ),
    ).toEqual([400]);
    expect(await ce.record(ANN)).toEqual(before);
  });

  test('any other $batch is not imitated, and said to be', async () => {
    const reply = await request(`${ce.base}$batch`, 'POST', { 'content-type': 'multipart/mixed;boundary=x' }, '--x--\r\n');
    expect(reply.status).toBe(501);
    expect((await ce.control.defects()).map(({ kind }) => kind)).toEqual(['not-imitated']);
  });
});

describe('opposites of what is assumed', () => {
  test('A1: refusals that tell nothing', async () => {
    await ce.control.setSettings({ unresolvableName: 'invalidArgument', heldName: 'invalidArgument' });
    for (const refused of ['CORP\\nobody', 'CORP\\bokafor']) expect(code(await ce.patch(ANN, name(refused)))).toBe('0x80040203');
  });

  test('A2: a disabled account', async () => {
    expect((await ce.patch(ANN, name('CORP\\off'))).status).toBe(204);
    await ce.control.setSettings({ disabledAccounts: 'refused' });
    expect(code(await ce.patch(BEN, name('CORP\\off')))).toBe('0x80041d2d');
  });

  test('A4: first name, last name and e-mail come from the account, and go with it', async () => {
    await ce.control.setSettings({ refreshesNames: true });
    await ce.directory(ACCOUNTS.map((each) => (each.sAMAccountName === 'alee' ? { ...each, givenName: 'Anna', sn: 'Lee' } : each)));
    await ce.patch(ANN, name('CORP\\park1'));
    expect(await ce.record(ANN)).toMatchObject({ firstname: null, lastname: null, fullname: '', internalemailaddress: null });
    await ce.patch(ANN, name('CORP\\alee'));
    expect(await ce.record(ANN)).toMatchObject({ firstname: 'Anna', lastname: 'Lee', fullname: 'Anna Lee', internalemailaddress: null });
  });

  test('A6: an account that a record had is nobody else’s, and its own again', async () => {
    await ce.control.setSettings({ keepsFormerAccounts: true });
    await ce.patch(ANN, name('CORP\\park1'));
    expect(code(await ce.patch(BEN, name('CORP\\alee')))).toBe('0x80041d2c');
    expect((await ce.patch(ANN, name('CORP\\alee'))).status).toBe(204);
    expect(code(await ce.patch(BEN, name('CORP\\park1')))).toBe('0x80041d2c');
  });

  test('A8: the UPN is shown, where there is one', async () => {
    await ce.control.setSettings({ derivesUpn: true });
    await ce.patch(ANN, name('CORP\\park1'));
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\park1' });
    await ce.patch(ANN, name('CORP\\alee'));
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'alee@corp.example.test', objectGUID: id(1002) });
  });

  test('A9: only a System Administrator', async () => {
    const roles = async (user: string) =>
      JSON.parse((await ce.get(`systemusers(${user})/systemuserroles_association?$select=_roletemplateid_value`)).text);
    expect((await roles(SERVICE)).value).toMatchObject([{ _roletemplateid_value: null }]);
    await ce.control.setSettings({ needsSystemAdministrator: true });
    expect(await ce.patch(ANN, name('CORP\\park1'))).toMatchObject({ status: 403 });
    expect((await ce.patch(ANN, { firstname: 'Anna' })).status).toBe(204);
    await ce.control.setSettings({ needsSystemAdministrator: true, callerRoles: ['System Administrator'] });
    expect((await ce.patch(ANN, name('CORP\\park1'))).status).toBe(204);
    expect((await roles(SERVICE)).value).toMatchObject([{ _roletemplateid_value: expect.stringMatching(/^627090ff/) }]);
    expect((await roles(ANN)).value).toEqual([]);
    await ce.control.setSettings({ deniedPrivileges: ['prvReadRole'] });
    expect((await roles(SERVICE)).error.message).toContain('prvReadRole');
  });
});
