import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ACCOUNTS, ANN, account, BEN, code, id, LEAVER, request, SERVICE, STALE, SYSTEM, TestOrganization } from './organization.ts';

let ce: TestOrganization;
beforeEach(async () => {
  ce = await TestOrganization.start();
});
afterEach(async () => {
  await ce[Symbol.asyncDispose]();
});

const defectKinds = async () => (await ce.control.defects()).map(({ kind }) => kind);
const name = (domainname: string) => ({ domainname });

describe('writing a user name', () => {
  test('a free account: name, hidden GUID and SID change, the version moves, names and e-mail stay', async () => {
    const before = await ce.record(ANN);
    expect(before).toMatchObject({ objectGUID: id(1002), objectSid: 'S-1-5-21-1-2-3-1002' });
    const reply = await ce.patch(ANN, name('CORP\\park1'));
    expect(reply).toMatchObject({
      status: 204,
      text: '',
      headers: { 'odata-version': '4.0', 'odata-entityid': `${ce.base}systemusers(${ANN})` },
    });
    const after = await ce.record(ANN);
    expect(after).toEqual({
      ...before,
      domainname: 'CORP\\park1',
      objectGUID: id(1005),
      objectSid: 'S-1-5-21-1-2-3-1005',
      versionnumber: expect.any(Number),
      modifiedon: expect.any(String),
      _modifiedby_value: SERVICE,
    });
    expect(after.versionnumber).toBeGreaterThan(before.versionnumber);
    expect(await ce.control.defects()).toEqual([]);
  });

  test('the renamed account is on the record itself: refused directly, done through another account', async () => {
    await ce.rename('alee', 'alee2');
    expect(await ce.control.logon('alee2')).toMatchObject({ canLogOn: false, reason: expect.stringMatching(/shows CORP\\alee, but/) });
    const direct = await ce.patch(ANN, name('CORP\\alee2'));
    expect(direct.status).toBe(400);
    expect(code(direct)).toBe('0x80041d2c');
    expect((await ce.patch(ANN, name('CORP\\park1'))).status).toBe(204);
    expect(await ce.control.logon('alee2')).toMatchObject({ canLogOn: false });
    expect((await ce.patch(ANN, name('CORP\\alee2'))).status).toBe(204);
    expect(await ce.control.logon('alee2')).toMatchObject({ canLogOn: true });
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\alee2', objectGUID: id(1002) });
  });

  test('an account on another record is refused, also when that record is disabled', async () => {
    for (const taken of ['CORP\\bokafor', 'CORP\\LEAVER']) expect(code(await ce.patch(ANN, name(taken)))).toBe('0x80041d2c');
    expect((await ce.record(ANN)).domainname).toBe('CORP\\alee');
  });

  test('the same name in any case changes nothing, not even what the record holds, and is noted', async () => {
    await ce.directory([...ACCOUNTS.filter(({ sAMAccountName }) => sAMAccountName !== 'alee'), account(99, 'alee')]);
    const before = await ce.record(ANN);
    for (const same of ['CORP\\alee', 'corp\\ALEE']) expect((await ce.patch(ANN, name(same))).status).toBe(204);
    expect(await ce.record(ANN)).toEqual(before);
    expect(await defectKinds()).toEqual(['write-without-effect', 'write-without-effect']);
  });

  test.each(['CORP\\nobody', 'OTHER\\park1', 'park1', 'CORP\\', 'nobody@corp.example.test', 'CORP\\*', 'CORP\\park*'])(
    '%s cannot be resolved',
    async (unknown) => {
      const reply = await ce.patch(ANN, name(unknown));
      expect(reply.status).toBe(400);
      expect(code(reply)).toBe('0x80041d2a');
    },
  );

  test('how an unknown name is refused is a setting', async () => {
    const wanted = {
      cannotFindDomainAccount: '0x80044342',
      invalidDomainName: '0x80048015',
      lookupAccountName: '0x80040216',
    } as const;
    for (const unresolvableName of ['cannotFindDomainAccount', 'invalidDomainName', 'lookupAccountName'] as const) {
      await ce.control.setSettings({ unresolvableName, faultStatus: 500 });
      const reply = await ce.patch(ANN, name('CORP\\nobody'));
      expect(reply.status).toBe(500);
      expect(code(reply)).toBe(wanted[unresolvableName]);
    }
  });

  test('a directory that does not answer is LookupAccountNameW failing', async () => {
    await rm(join(ce.path, 'directory.json'));
    expect(JSON.parse((await ce.patch(ANN, name('CORP\\park1'))).text).error.message).toContain('LookupAccountNameW failed with error');
    await expect(ce.control.logon('alee')).rejects.toThrow(/503/);
  });

  test('a user principal name', async () => {
    await ce.directory([...ACCOUNTS, account(20, 'outside', { userPrincipalName: 'out@corp.example.test' })]);
    expect((await ce.patch(STALE, name('Out@corp.example.test'))).status).toBe(204);
    expect(await ce.record(STALE)).toMatchObject({ objectGUID: id(1020) });
    expect(await ce.control.logon('outside')).toMatchObject({ canLogOn: true });
  });

  test('no record: 404 with If-Match, a new user without it, which is noted', async () => {
    const missing = id(77);
    const reply = await ce.patch(missing, name('CORP\\park1'));
    expect(reply.status).toBe(404);
    expect(JSON.parse(reply.text).error).toMatchObject({ code: '0x80040217', message: `systemuser With Id = ${missing} Does Not Exist` });
    expect((await ce.patch(missing, name('CORP\\park1'), { 'if-match': undefined })).status).toBe(204);
    expect(await ce.record(missing)).toMatchObject({ domainname: 'CORP\\park1', objectGUID: id(1005) });
    expect(await defectKinds()).toEqual(['write-without-if-match', 'created-a-user']);
    expect(code(await ce.patch(id(78), name('CORP\\park1'), { 'if-match': undefined }))).toBe('0x80041d2c');
    expect(code(await ce.patch(id(78), {}, { 'if-match': undefined }))).toBe('0x80041d01');
  });

  test('If-Match with a version', async () => {
    const { etag } = (await ce.get(`systemusers(${ANN})?$select=domainname`)).headers;
    expect((await ce.patch(ANN, name('CORP\\park1'), { 'if-match': etag })).status).toBe(204);
    const stale = await ce.patch(ANN, name('CORP\\park2'), { 'if-match': etag });
    expect(stale.status).toBe(412);
    expect(code(stale)).toBe('0x80060882');
    await ce.control.setSettings({ optimisticConcurrency: false });
    expect(code(await ce.patch(ANN, name('CORP\\park2'), { 'if-match': etag }))).toBe('0x8006088d');
    expect((await ce.patch(ANN, name('CORP\\park2'), { 'if-match': '"*"' })).status).toBe(204);
  });

  test('If-None-Match: * does not touch a record that is there', async () => {
    const reply = await ce.patch(ANN, name('CORP\\park1'), { 'if-match': undefined, 'if-none-match': '*' });
    expect(reply.status).toBe(412);
    expect((await ce.record(ANN)).domainname).toBe('CORP\\alee');
  });

  test('nobody renames itself, SYSTEM, support or application users', async () => {
    await ce.control.addRecords([
      { systemuserid: id(30), fullname: 'App', domainname: '', applicationid: id(31) },
      { systemuserid: id(32), fullname: 'Support', domainname: '', accessmode: 3 },
      { systemuserid: id(33), fullname: 'Partner', domainname: '', accessmode: 5 },
    ]);
    const codes = await Promise.all(
      [SERVICE, SYSTEM, id(30), id(32), id(33)].map(async (user) => code(await ce.patch(user, name('CORP\\park1')))),
    );
    expect(codes).toEqual(['0x80044161', '0x80041d33', '0x80041d48', '0x80041d41', '0x80041d67']);
  });

  test('a caller without prvWriteUser', async () => {
    await ce.control.setSettings({ deniedPrivileges: ['prvWriteUser'] });
    const reply = await ce.patch(ANN, name('CORP\\park1'));
    expect(reply.status).toBe(403);
    expect(JSON.parse(reply.text).error).toMatchObject({
      code: '0x80040220',
      message: expect.stringMatching(/is missing prvWriteUser privilege/),
    });
    expect((await ce.patch(id(77), name('CORP\\park1'))).status).toBe(404);
  });

  test('return=representation shows what the record holds now, $select honoured', async () => {
    const reply = await ce.patch(ANN, name('CORP\\park1'), { prefer: 'return=representation' }, '?$select=domainname');
    expect(reply).toMatchObject({ status: 200, headers: { 'preference-applied': 'return=representation' } });
    expect(JSON.parse(reply.text)).toEqual({
      '@odata.context': `${ce.base}$metadata#systemusers(domainname)/$entity`,
      '@odata.etag': reply.headers.etag,
      domainname: 'CORP\\park1',
      systemuserid: ANN,
      ownerid: ANN,
    });
  });

  test('two records want one account at the same moment: one gets it', async () => {
    const replies = await Promise.all([ANN, BEN].map((user) => ce.patch(user, name('CORP\\park1'))));
    expect(replies.map(({ status }) => status).sort()).toEqual([204, 400]);
    const holders = (await ce.control.records()).filter(({ objectGUID }) => objectGUID === id(1005));
    expect(holders.length).toBe(1);
  });
});

describe('writing other columns', () => {
  test('first and last name make the full name', async () => {
    expect((await ce.patch(ANN, { lastname: 'Stone' })).status).toBe(204);
    expect(await ce.record(ANN)).toMatchObject({ fullname: 'Ann Stone', domainname: 'CORP\\alee', objectGUID: id(1002) });
  });

  test('together with a user name: all of it or nothing', async () => {
    const tooLong = await ce.patch(ANN, { domainname: 'CORP\\park1', firstname: 'Anna', lastname: 'x'.repeat(65) });
    expect([tooLong.status, code(tooLong)]).toEqual([400, '0x80044331']);
    const taken = await ce.patch(ANN, { domainname: 'CORP\\bokafor', firstname: 'Anna' });
    expect(code(taken)).toBe('0x80041d2c');
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\alee', fullname: 'Ann Lee', objectGUID: id(1002) });
    expect((await ce.patch(ANN, { domainname: 'CORP\\park1', firstname: 'Anna', lastname: 'x'.repeat(64) })).status).toBe(204);
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\park1', fullname: `Anna ${'x'.repeat(64)}`, objectGUID: id(1005) });
    expect(await ce.control.defects()).toEqual([]);
  });

  test('a value that the record has already is noted', async () => {
    expect((await ce.patch(ANN, { domainname: 'CORP\\park1', firstname: 'Anna', lastname: 'Lee' })).status).toBe(204);
    expect(await defectKinds()).toEqual(['write-without-effect']);
  });

  test.each<[object, number, string]>([
    [{ nosuch: 1 }, 400, '0x80048d19'],
    [{ activedirectoryguid: ANN }, 400, '0x80041a02'],
    [{ fullname: 'x' }, 400, '0x80041a02'],
    [{ systemuserid: ANN }, 400, '0x80041a02'],
    [{ islicensed: true }, 400, '0x80041d4c'],
    [{ issyncwithdirectory: true }, 400, '0x80041d4e'],
    [{ azureactivedirectoryobjectid: ANN }, 400, '0x80041d4f'],
    [{ applicationid: ANN }, 400, '0x80041d48'],
    [{ firstname: 'x'.repeat(65) }, 400, '0x80044331'],
    [{ firstname: 5 }, 400, '0x80048d19'],
    [{ domainname: '' }, 400, '0x80041d01'],
    [{ domainname: null }, 400, '0x80041d01'],
    [['domainname'], 400, '0x80048d19'],
    [{ 'businessunitid@odata.bind': '/businessunits(x)' }, 501, '0x8006088a'],
  ])('%o gives %d %s', async (columns, status, wanted) => {
    const reply = await ce.patch(ANN, columns);
    expect(reply.status).toBe(status);
    expect(code(reply)).toBe(wanted);
    expect(await ce.record(ANN)).toMatchObject({ domainname: 'CORP\\alee', firstname: 'Ann' });
  });

  test('isdisabled is taken and does nothing', async () => {
    expect((await ce.patch(LEAVER, { isdisabled: false })).status).toBe(204);
    expect((await ce.record(LEAVER)).isdisabled).toBe(true);
    expect(await defectKinds()).toEqual(['column-not-updatable']);
  });

  test('a body needs its type', async () => {
    expect((await ce.patch(ANN, name('CORP\\park1'), { 'content-type': undefined })).status).toBe(415);
    expect((await ce.patch(ANN, name('CORP\\park1'), { 'content-type': 'text/plain' })).status).toBe(415);
    expect(await defectKinds()).toEqual(['header-missing', 'header-wrong']);
  });
});

describe('errors of the server versions', () => {
  const TYPE = /^System\.ServiceModel\.FaultException`1\[\[Microsoft\.Xrm\.Sdk\.OrganizationServiceFault/;

  test('8.2: no code, the older text, innererror, 500', async () => {
    await using old = await TestOrganization.start({ dialect: '8.2' });
    const reply = await old.patch(ANN, name('CORP\\bokafor'));
    expect(reply.status).toBe(500);
    const message = 'The specified Active Directory user already exists as a CRM user.';
    expect(JSON.parse(reply.text)).toEqual({
      error: { code: '', message, innererror: { message, type: expect.stringMatching(TYPE), stacktrace: expect.any(String) } },
    });
    expect(JSON.parse((await old.get('systemusers?$select=x')).text).error).toMatchObject({
      code: '',
      innererror: { type: 'Microsoft.OData.ODataException' },
    });
    expect((await request(`${old.base.replace('v8.2', 'v9.1')}WhoAmI`, 'GET')).status).toBe(404);
  });

  test('9.0: no code in faults, 0x0 in errors of the query', async () => {
    await using server = await TestOrganization.start({ dialect: '9.0' });
    const reply = await server.patch(ANN, name('CORP\\bokafor'));
    expect(reply.status).toBe(500);
    expect(JSON.parse(reply.text).error).toMatchObject({
      code: '',
      message: expect.stringMatching(/Dynamics 365 user/),
      innererror: { type: expect.stringMatching(TYPE) },
    });
    expect(JSON.parse((await server.get('systemusers?$select=x')).text).error).toMatchObject({ code: '0x0' });
  });

  test('9.1: the code, and details only on request', async () => {
    const plain = JSON.parse((await ce.patch(ANN, name('CORP\\bokafor'))).text).error;
    expect(plain).toEqual({ code: '0x80041d2c', message: 'The specified Active Directory user already exists as a Dynamics 365 user.' });
    const detailed = await ce.patch(ANN, name('CORP\\bokafor'), { prefer: 'odata.include-annotations="*"' });
    expect(JSON.parse(detailed.text).error).toHaveProperty(['@Microsoft.PowerApps.CDS.InnerError.Message']);
  });
});
