import { readFile } from 'node:fs/promises';
import https from 'node:https';
import { Attribute, Change, Client } from 'ldapts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ControlClient } from '../../../infra/customer-engagement/control-client.ts';
import { type Bed, startBed } from '../../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../../infra/testbed/customer-engagement.ts';

let bed: Bed;
let control: ControlClient;
let agent: https.Agent;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true });
  control = new ControlClient(bed.crm.controlUrl);
  agent = new https.Agent({ keepAlive: true, ca: await readFile(bed.crm.caFile) });
}, 120_000);
afterAll(async () => {
  agent.destroy();
  await bed[Symbol.asyncDispose]();
});

/** Changes one attribute of an account, as an administrator would. */
async function modify(sAMAccountName: string, attribute: string, value: string): Promise<void> {
  const { admin, url, caFile, people } = bed.directory;
  const dn = people.find((person) => person.sAMAccountName === sAMAccountName)?.dn ?? '';
  const client = new Client({ url, tlsOptions: { ca: await readFile(caFile) } });
  await client.bind(admin.bindDn, admin.password);
  await client.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type: attribute, values: [value] }) }));
  await client.unbind();
}

/** Sets a user name; gives the status and the error's code or text. */
async function patch(account: string, domainname: string): Promise<{ status: number; error: string }> {
  const headers = {
    authorization: `Bearer ${bed.crm.token}`,
    accept: 'application/json',
    'odata-version': '4.0',
    'odata-maxversion': '4.0',
    'content-type': 'application/json',
    'if-match': '*',
  };
  return await new Promise((resolve, reject) => {
    const url = `${bed.crm.url}/api/data/v9.1/systemusers(${CustomerEngagement.idOf(account)})`;
    const request = https.request(url, { method: 'PATCH', headers, agent }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      const { code, message } = text === '' ? { code: '', message: '' } : JSON.parse(text).error;
      resolve({ status: response.statusCode ?? 0, error: `${code} ${message}`.trim() });
    });
    request.on('error', reject);
    request.end(JSON.stringify({ domainname }));
  });
}

const park = (index: number) => bed.directory.parkingAccounts[index] ?? '';

describe('names in a real directory', () => {
  test('seeded records hold what the directory says of their accounts', async () => {
    const records = await control.records();
    for (const { sAMAccountName, objectGUID, objectSid } of bed.directory.people) {
      const record = records.find(({ systemuserid }) => systemuserid === CustomerEngagement.idOf(sAMAccountName));
      expect(record).toMatchObject({ domainname: `CORP\\${sAMAccountName}`, objectGUID, objectSid });
      expect((await control.logon(objectGUID)).canLogOn).toBe(record?.isdisabled === false);
    }
  });

  test('a renamed person: refused directly, repaired through a parking account', async () => {
    await modify('alee', 'sAMAccountName', 'astone');
    expect(await control.logon('alee')).toMatchObject({ canLogOn: false });
    expect(await control.logon('astone')).toMatchObject({ canLogOn: false });
    expect(await patch('alee', 'CORP\\astone')).toMatchObject({ status: 400, error: expect.stringContaining('0x80041d2c') });
    expect((await patch('alee', park(0))).status).toBe(204);
    expect((await patch('alee', 'CORP\\astone')).status).toBe(204);
    expect(await control.logon('astone')).toMatchObject({ canLogOn: true });
  });

  test('with lag the new name is unknown for a while', async () => {
    await control.setLag(400);
    await modify('bokafor', 'sAMAccountName', 'bnew');
    expect((await patch('bokafor', park(0))).status).toBe(204);
    const begun = performance.now();
    expect(await patch('bokafor', 'CORP\\bnew')).toMatchObject({ status: 400, error: expect.stringContaining('0x80041d2a') });
    await expect.poll(async () => (await patch('bokafor', 'CORP\\bnew')).status, { interval: 20, timeout: 5000 }).toBe(204);
    expect(performance.now() - begun).toBeGreaterThan(400);
    await control.setLag(0);
  });

  test.each(['CORP\\*', 'CORP\\(cmendes)', 'CORP\\cmendes)(objectClass=*', 'CORP\\\u0000', 'CORP\\DC1$', 'CORP\\Domain Users'])(
    '%j is nobody',
    async (name) => {
      expect(await patch('cmendes', name)).toMatchObject({ status: 400, error: expect.stringContaining('0x80041d2a') });
    },
  );

  test('a user principal name, and a disabled account', async () => {
    await modify('dlindqvist', 'userPrincipalName', 'dag@corp.example.test');
    expect(await patch('cmendes', 'DAG@corp.example.test')).toMatchObject({ error: expect.stringContaining('0x80041d2c') });
    await modify('dlindqvist', 'userAccountControl', '514');
    expect(await control.logon('dlindqvist')).toMatchObject({ canLogOn: false, reason: expect.stringContaining('is disabled') });
  });

  test('a domain controller that goes and comes back', async () => {
    await bed.directory.stop();
    expect(await patch('etanaka', park(0))).toMatchObject({ error: expect.stringContaining('LookupAccountNameW failed with error') });
    await bed.directory.start();
    expect((await patch('etanaka', park(0))).status).toBe(204);
    await bed.directory.kill();
    await bed.directory.start();
    expect((await patch('etanaka', 'CORP\\etanaka')).status).toBe(204);
  }, 60_000);

  test('what was written is there after SIGKILL of the stand-in, and a broken mapping is not mended by a restart', async () => {
    expect((await patch('fhaddad', park(1))).status).toBe(204);
    await modify('gnovak', 'sAMAccountName', 'gnew');
    await bed.crm.kill();
    await bed.crm.start();
    expect(await control.logon(park(1))).toMatchObject({ canLogOn: true });
    expect(await control.logon('fhaddad')).toMatchObject({ canLogOn: false });
    expect(await control.logon('gnew')).toMatchObject({ canLogOn: false, reason: expect.stringContaining('shows CORP\\gnovak') });
    expect((await patch('fhaddad', 'CORP\\fhaddad')).status).toBe(204);
  }, 60_000);
});
