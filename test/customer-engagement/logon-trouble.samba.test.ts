import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ControlClient } from '../../infra/customer-engagement/control-client.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { run } from '../../infra/testbed/run.ts';
import { customerEngagement } from '../../src/customer-engagement/client.ts';
import { kerberos, prepareKerberos } from '../../src/customer-engagement/kerberos.ts';
import { ntlm } from '../../src/customer-engagement/ntlm/ntlm.ts';
import { type Mechanism, windows } from '../../src/customer-engagement/windows.ts';
import type { CustomerEngagement } from '../../streams/customer-engagement.ts';
import { Apache, WEB_SERVER } from '../support/apache.ts';
import { ReverseProxy } from '../support/reverse-proxy.ts';
import { failing } from './support.ts';

/** What goes wrong around a logon: each is told, and passes when its cause is gone. */

const USER = 'svc-namesake';
const DEADLINE = 5_000;

let bed: Bed;
let control: ControlClient;
let apache: Apache;
let keytabs: string;

beforeAll(async () => {
  bed = await startBed({ customerEngagement: true, windowsLogon: true });
  control = new ControlClient(bed.crm.controlUrl);
  // Beside the bed, which only root may enter.
  keytabs = mkdtempSync(join(tmpdir(), 'namesake-keytabs-'));
  chmodSync(keytabs, 0o755);
  await bed.directory.keytab('svc-crm', join(keytabs, 'http'), `HTTP/${WEB_SERVER}`);
  await bed.directory.keytab(USER, join(keytabs, 'client'));
  chownSync(join(keytabs, 'http'), Number((await run('id', ['-u', 'www-data'])).trim()), 0);
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
  await control.clear();
});

interface Client extends AsyncDisposable {
  readonly ce: CustomerEngagement;
}

function client(mechanism: Mechanism, url: string): Client {
  const auth = windows([mechanism], () => expect.unreachable());
  const settings = { name: 'contoso', apiVersion: 'v9.1', caFile: bed.crm.caFile, allowClearText: true, deadline: DEADLINE } as const;
  const ce = customerEngagement({ ...settings, url, auth, connections: 1 });
  return { ce, [Symbol.asyncDispose]: () => ce.close() };
}

const byKerberos = () => kerberos({ service: `HTTP@${WEB_SERVER}`, mutual: true, deadline: DEADLINE });
const byNtlm = (password = bed.directory.service.password) =>
  ntlm({ user: `${bed.directory.netbios}\\${USER}`, readPassword: () => password, spn: `HTTP/${WEB_SERVER}` });

const TICKET = `
import { kerberos } from '${new URL('../../src/customer-engagement/kerberos.ts', import.meta.url).href}';
const sent = { exchange: async () => ({ status: 200, headers: {}, body: Buffer.alloc(0) }) };
const mechanism = kerberos({ service: 'HTTP@${WEB_SERVER}', mutual: false, deadline: 5000 });
await mechanism.send({ method: 'GET', path: '/', headers: {} }, sent).then(() => console.log('sent'), ({ message }) => console.log(message));
`;

/** What comes of only a cache, or only a keytab, in a process of its own, since each has one environment. */
async function logOnBy({ cache = '/nowhere', keytab = '/nowhere' }: { cache?: string; keytab?: string }): Promise<string> {
  const KRB5CCNAME = keytab === '/nowhere' ? `FILE:${cache}` : 'MEMORY:';
  const env = { ...process.env, KRB5_CLIENT_KTNAME: keytab, KRB5CCNAME };
  const child = spawn(process.execPath, ['--input-type=module', '--eval', TICKET], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, 'close');
  return output.trim();
}

/** A copy of the tickets that ended a minute ago, as far as the client knows. */
function expired(cache: string): string {
  const bytes = readFileSync(cache);
  const now = Math.floor(Date.now() / 1000);
  const isNow = (time: number) => Math.abs(time - now) < 600;
  let found = 0;
  // authtime, starttime, endtime: seconds since 1970, big-endian (MIT Kerberos, credential cache file format 4).
  for (let at = 0; at + 12 <= bytes.length; at++) {
    const [auth, start, end] = [0, 4, 8].map((offset) => bytes.readUInt32BE(at + offset));
    if (!isNow(auth ?? 0) || !isNow(start ?? 0) || (end ?? 0) - now < 3_600 || (end ?? 0) - now > 86_400) continue;
    bytes.writeUInt32BE(now - 60, at + 8);
    found++;
  }
  expect(found).toBeGreaterThan(0);
  writeFileSync(`${cache}.expired`, bytes, { mode: 0o600 });
  return `${cache}.expired`;
}

/** There and back. */
async function writes(ce: CustomerEngagement): Promise<void> {
  const [parking = ''] = bed.directory.parkingAccounts;
  const { systemuserid = '', domainname = '' } = (await control.records())[0] ?? {};
  expect(await ce.setDomainName(systemuserid, parking)).toMatchObject({ domainname: parking });
  expect(await ce.setDomainName(systemuserid, domainname)).toMatchObject({ domainname });
}

describe('Kerberos', () => {
  test.each([10, -10])('a clock of the server that is off by %i minutes is named, and bears with four', async (minutes) => {
    await using at = client(byKerberos(), apache.url);
    await at.ce.whoAmI();
    await apache.setClock(minutes);
    const id = (await control.records())[0]?.systemuserid ?? '';
    for (const ask of [() => at.ce.whoAmI(), () => at.ce.setDomainName(id, bed.directory.parkingAccounts[0] ?? '')]) {
      expect(await failing(ask())).toMatchObject({
        failure: 'credentials',
        message: expect.stringMatching(/kerberos cannot be used: the clocks of this machine, the server and the domain controller differ/),
      });
    }
    await apache.setClock(minutes < 0 ? -4 : 4);
    await at.ce.whoAmI();
    await apache.setClock(0);
    await writes(at.ce);
    // What was refused did nothing.
    const patches = (await control.requests()).filter(({ method }) => method === 'PATCH');
    expect(patches.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('a ticket that has expired is told, by the client and by the server, and a new one is all that it takes', async () => {
    const words = /the ticket has expired: renew the cache \(kinit\) or set keytab, .*Ticket expired/;
    await using at = client(byKerberos(), apache.url);
    await at.ce.whoAmI();
    const cache = join(keytabs, 'krb5cc', readdirSync(join(keytabs, 'krb5cc')).find((name) => name.startsWith('tkt')) ?? '');
    expect(await logOnBy({ cache: expired(cache) })).toMatch(words);
    expect(await logOnBy({ cache })).toBe('sent');
    // Longer than the ten hours for which it holds.
    await apache.setClock(11 * 60);
    expect(await failing(at.ce.whoAmI())).toMatchObject({ failure: 'credentials', message: expect.stringMatching(words) });
    await apache.setClock(0);
    await at.ce.whoAmI();
  });

  test('a password that was changed makes the keytab useless until it is exported again', async () => {
    const set = (password: string) =>
      run('samba-tool', ['user', 'setpassword', USER, `--newpassword=${password}`, '-s', bed.directory.smbConfFile]);
    const keytab = join(keytabs, 'changed');
    await bed.directory.keytab(USER, keytab);
    await set('An0ther-Passw0rd');
    try {
      const said = await logOnBy({ keytab });
      expect(said).toContain('the keytab is not of the present password: export it again');
      expect(said).toContain('Preauthentication failed');
    } finally {
      await set(bed.directory.service.password);
    }
    rmSync(keytab);
    await bed.directory.keytab(USER, keytab);
    expect(await logOnBy({ keytab })).toBe('sent');
  });

  test('a reverse proxy that spreads a connection over several does no harm: each request has a ticket of its own', async () => {
    await using proxy = await ReverseProxy.start(apache.url, readFileSync(bed.crm.caFile, 'utf8'));
    await using at = client(byKerberos(), proxy.url);
    await at.ce.whoAmI();
    await writes(at.ce);
  });
});

describe('NTLM', () => {
  test('through a proxy that spreads its connection over several it says so, and logs on once it is kept as one', async () => {
    await using proxy = await ReverseProxy.start(bed.crm.url, readFileSync(bed.crm.caFile, 'utf8'));
    await using at = client(byNtlm(), proxy.url);
    expect(await failing(at.ce.whoAmI())).toMatchObject({
      failure: 'credentials',
      status: 401,
      message: expect.stringMatching(
        /the proxy \(Via: 1\.1 gate\.example\.test\) in between does not keep the connection as one, which NTLM needs/,
      ),
    });
    const id = (await control.records())[0]?.systemuserid ?? '';
    expect((await failing(at.ce.setDomainName(id, 'CORP\\x'))).failure).toBe('credentials');
    expect((await control.requests()).filter(({ method }) => method === 'PATCH')).toEqual([]);
    proxy.keepsConnections = true;
    await at.ce.whoAmI();
    await writes(at.ce);
  });

  test('a proxy that does not tell of itself is thought of, too; a wrong password looks the same', async () => {
    await using proxy = await ReverseProxy.start(bed.crm.url, readFileSync(bed.crm.caFile, 'utf8'));
    proxy.tells = false;
    await using silent = client(byNtlm(), proxy.url);
    await using wrong = client(byNtlm('wrong'), bed.crm.url);
    for (const { ce } of [silent, wrong]) {
      const { message } = await failing(ce.whoAmI());
      expect(message).toContain('user or password is wrong, or the account may not log on, or something in between');
    }
  });

  test.each([
    [407, 'credentials', /by a proxy in between that asks for credentials of its own/],
    [502, 'transient', /by something in between that gets no answer from the server/],
  ])('a proxy that answers %i to a leg, and to what follows a logon', async (status, failure, words) => {
    await using proxy = await ReverseProxy.start(bed.crm.url, readFileSync(bed.crm.caFile, 'utf8'));
    proxy.keepsConnections = true;
    await using at = client(byNtlm(), proxy.url);
    for (const _ of ['a leg', 'a request']) {
      proxy.answer = { status, body: '<html>no' };
      expect(await failing(at.ce.whoAmI())).toMatchObject({ failure, status, message: expect.stringMatching(words) });
      proxy.answer = undefined;
      await at.ce.whoAmI();
    }
    // A page instead of a leg must not be taken for a logon: a write that follows it goes out once, and over a connection that is logged on.
    await writes(at.ce);
    const patches = (await control.requests()).filter(({ method }) => method === 'PATCH');
    expect(patches.map(({ status: given }) => given)).toEqual([200, 200]);
  });
});
