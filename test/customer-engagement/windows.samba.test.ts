import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ControlClient } from '../../infra/customer-engagement/control-client.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { run } from '../../infra/testbed/run.ts';
import { customerEngagement } from '../../src/customer-engagement/client.ts';
import { kerberos, prepareKerberos } from '../../src/customer-engagement/kerberos.ts';
import { ntlm } from '../../src/customer-engagement/ntlm/ntlm.ts';
import { type Mechanism, windows } from '../../src/customer-engagement/windows.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import { Apache, WEB_SERVER } from '../support/apache.ts';
import { failing } from './support.ts';

const USER = 'svc-namesake';
const DEADLINE = 5_000;

let bed: Bed;
let control: ControlClient;
let apache: Apache;
let keytabs: string;
let warnings: string[] = [];

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, windowsLogon: true });
  control = new ControlClient(bed.crm.controlUrl);
  // Beside the bed, which only root may enter.
  keytabs = mkdtempSync(join(tmpdir(), 'namesake-keytabs-'));
  chmodSync(keytabs, 0o755);
  await bed.directory.keytab('svc-crm', join(keytabs, 'http'), `HTTP/${WEB_SERVER}`);
  await bed.directory.keytab(USER, join(keytabs, 'client'));
  const wwwData = Number((await run('id', ['-u', 'www-data'])).trim());
  chownSync(join(keytabs, 'http'), wwwData, 0);
  apache = await Apache.prepare(bed, join(keytabs, 'http'));
  await apache.start();
  prepareKerberos({ keytab: join(keytabs, 'client'), config: bed.directory.krb5ConfFile, stateDirectory: keytabs });
}, 120_000);

afterAll(async () => {
  await apache?.[Symbol.asyncDispose]();
  await bed?.[Symbol.asyncDispose]();
  if (keytabs) rmSync(keytabs, { recursive: true });
});

beforeEach(async () => {
  warnings = [];
  await control.clearFaults();
  await control.clear();
});

function client(mechanisms: readonly Mechanism[], url = bed.crm.url, connections = 2): CustomerEngagement {
  const auth = windows(mechanisms, (message) => warnings.push(message));
  return customerEngagement({ name: 'contoso', url, apiVersion: 'v9.1', caFile: bed.crm.caFile, auth, connections, deadline: DEADLINE });
}

const spn = `HTTP/${WEB_SERVER}`;
const byNtlm = (more: { user?: string; password?: string } = {}) =>
  ntlm({
    user: more.user ?? `${bed.directory.netbios}\\${USER}`,
    readPassword: () => more.password ?? bed.directory.service.password,
    spn,
  });
const byKerberos = (more: Partial<Parameters<typeof kerberos>[0]> = {}) =>
  kerberos({ service: `HTTP@${WEB_SERVER}`, mutual: true, deadline: DEADLINE, ...more });

/** Twenty at once over two connections, reads and writes. */
async function busy(ce: CustomerEngagement): Promise<void> {
  const [person] = bed.directory.people;
  const names = { domainNames: [`${bed.directory.netbios}\\${person?.sAMAccountName}`] };
  const found = await Promise.all(Array.from({ length: 20 }, () => ce.find(names)));
  expect(found.map(([record]) => record?.domainname)).toEqual(Array(20).fill(names.domainNames[0]));
  const id = found[0]?.[0]?.systemuserid ?? '';
  const [parking = ''] = bed.directory.parkingAccounts;
  expect(await ce.setDomainName(id, parking)).toMatchObject({ domainname: parking });
  expect(await ce.setDomainName(id, names.domainNames[0] ?? '')).toMatchObject({ domainname: names.domainNames[0] });
}

async function statuses(): Promise<Record<string, number>> {
  const requests = await control.requests();
  const groups = [...Map.groupBy(requests, ({ method, status }) => `${method} ${status}`)];
  return Object.fromEntries(groups.map(([key, all]) => [key, all.length]));
}

describe('NTLM, judged by a domain controller', () => {
  test('logs each connection on once, however many requests go over it', async () => {
    const ce = client([byNtlm()]);
    await busy(ce);
    await ce.close();
    // Two legs for each of two connections are refused; the third carries the first request.
    expect(await statuses()).toEqual({ 'GET 401': 2, 'GET 200': 20, 'PATCH 200': 2 });
    expect(await control.defects()).toEqual([]);
    expect(new Set((await control.requests()).map(({ who }) => who))).toEqual(new Set([null, `${bed.directory.netbios}\\${USER}`]));
  });

  test('a write is sent once, on a connection that is logged on', async () => {
    const ce = client([byNtlm()], bed.crm.url, 1);
    const id = (await control.records())[0]?.systemuserid ?? '';
    const [parking = '', name = ''] = [bed.directory.parkingAccounts[1], (await control.records())[0]?.domainname];
    await ce.setDomainName(id, parking);
    await ce.setDomainName(id, name);
    await ce.close();
    expect((await control.requests()).filter(({ method }) => method === 'PATCH').map(({ status }) => status)).toEqual([200, 200]);
  });

  test('a UPN logs on too', async () => {
    const ce = client([byNtlm({ user: bed.directory.service.bindDn })]);
    expect(await ce.whoAmI()).toMatch(/^[0-9a-f-]{36}$/);
    await ce.close();
  });

  test('a wrong password is refused once, and not tried again and again', async () => {
    const ce = client([byNtlm({ password: 'wrong' })]);
    const error = await failing(ce.whoAmI());
    expect(error).toMatchObject({ failure: 'credentials', status: 401 });
    await ce.close();
    expect(await statuses()).toEqual({ 'GET 401': 2 });
  });

  test('a connection that is cut between the legs, or after the logon, begins anew', async () => {
    const ce = client([byNtlm()], bed.crm.url, 1);
    await control.setFaults([{ match: { nth: 1 }, fault: { kind: 'drop-before' } }]);
    expect((await failing(ce.whoAmI())).failure).toBe('transient');
    await control.setFaults([{ match: { nth: 2 }, fault: { kind: 'drop-before' } }]);
    expect((await failing(ce.whoAmI())).failure).toBe('transient');
    await control.clearFaults();
    await ce.whoAmI();
    await bed.crm.stop();
    await bed.crm.start();
    await ce.whoAmI();
    await ce.close();
  });

  test('a server that does not offer it is named for that', async () => {
    const ce = client([byNtlm()], apache.url);
    expect((await failing(ce.whoAmI())).message).toContain('ntlm cannot be used: the server does not offer it');
    await ce.close();
  });
});

describe('Kerberos, with tickets of a domain controller', () => {
  test('each request carries a ticket, and each answer proves the server', async () => {
    const ce = client([byKerberos()], apache.url);
    await busy(ce);
    await ce.close();
    expect(await statuses()).toEqual({ 'GET 200': 20, 'PATCH 200': 2 });
    expect(await control.defects()).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test('an unknown service principal name is explained', async () => {
    const ce = client([byKerberos({ service: 'HTTP@nobody.corp.example.test' })], apache.url);
    expect(await failing(ce.whoAmI())).toMatchObject({ failure: 'credentials', message: expect.stringContaining('setspn') });
    await ce.close();
  });

  test('a server that takes tickets of another account only is explained', async () => {
    await bed.directory.keytab('svc-namesake', join(keytabs, 'other'), 'HTTP/other.corp.example.test');
    const ce = client([byKerberos({ service: 'HTTP@other.corp.example.test' })], apache.url);
    expect((await failing(ce.whoAmI())).message).toMatch(/kerberos cannot be used: .*(belongs to another account|refused the ticket)/);
    await ce.close();
  });

  test('a server that does not offer it is named for that', async () => {
    const ce = client([byKerberos()], bed.crm.url);
    const error = await failing(ce.whoAmI());
    expect(error.message).toContain('kerberos cannot be used: the server does not offer it');
    await ce.close();
  });

  test('where the server does not offer it there is the next mechanism, and it is said that it is used', async () => {
    const ce = client([byKerberos({ service: `HTTP@${WEB_SERVER}` }), byNtlm()], bed.crm.url);
    await ce.whoAmI();
    expect(warnings).toEqual([expect.stringMatching(/^logging on by ntlm, since kerberos cannot be used: the server does not offer it/)]);
    await ce.close();
  });

  test('a disabled account is refused, and let in again once it is enabled', async () => {
    await using admin = await DirectoryAdmin.connect(bed.directory);
    const service = await admin.find(USER);
    const ce = client([byNtlm()], bed.crm.url, 1);
    await admin.disable(service?.objectGUID ?? '');
    expect(await failing(ce.whoAmI())).toMatchObject({ failure: 'credentials' });
    await admin.enable(service?.objectGUID ?? '');
    await ce.whoAmI();
    await ce.close();
  });

  test('without a KDC it says so, within its deadline, and logs on once there is one', async () => {
    const ce = client([byKerberos({ service: `HTTP@${WEB_SERVER}` })], apache.url);
    await ce.whoAmI();
    await bed.directory.stop();
    rmSync(join(keytabs, 'krb5cc'), { recursive: true });
    prepareKerberos({ keytab: join(keytabs, 'client'), stateDirectory: keytabs });
    expect(await failing(ce.whoAmI())).toMatchObject({
      failure: 'credentials',
      message: expect.stringContaining('no domain controller of the realm can be reached'),
    });
    await bed.directory.start();
    await ce.whoAmI();
    await ce.close();
  });

  test('tickets are kept for the service alone', () => {
    expect(statSync(join(keytabs, 'krb5cc')).mode & 0o777).toBe(0o700);
  });
});
