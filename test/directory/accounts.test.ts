import { afterEach, describe, expect, it, vi } from 'vitest';
import { type AccountsSettings, accountDesk } from '../../src/directory/accounts.ts';
import { DnsServer } from '../support/dns-server.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { BIND, FakeDomainController } from '../support/fake-domain-controller.ts';
import { LdapServer } from '../support/ldap-server.ts';

const WRONG_PASSWORD = { code: 49, diagnostic: '80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 52e, v2580' };

afterEach(() => {
  vi.useRealTimers();
});

interface Place extends AsyncDisposable {
  readonly server: LdapServer;
  readonly controller: FakeDomainController;
  readonly settings: AccountsSettings;
  /** How often somebody tried to log on. */
  logons(): number;
}

/** A domain controller where ann has logged on. */
async function place(): Promise<Place> {
  const directory = new FakeDirectory();
  directory.addUser({
    sAMAccountName: 'ann',
    attributes: { lastLogon: '134085600000000000', lastLogonTimestamp: '0', userAccountControl: '514' },
  });
  const controller = new FakeDomainController(directory);
  const server = await LdapServer.start(controller.answer);
  const settings: AccountsSettings = {
    urls: [`ldap://127.0.0.1:${server.port}`],
    allowClearText: true,
    bindDn: 'svc@corp.example.test',
    password: () => 'secret',
    deadline: 1_000,
  };
  return {
    server,
    controller,
    settings,
    logons: () => server.requests.filter(({ operation }) => operation === BIND).length,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe('single questions about accounts', () => {
  it('are answered over one connection', async () => {
    await using at = await place();
    const desk = accountDesk([at.settings]);
    expect(await desk.logons(['ann', 'nobody'])).toEqual([
      { objectGUID: expect.stringMatching(/^[0-9a-f-]{36}$/), lastLogon: '2025-11-25T16:00:00.000Z', lastLogonTimestamp: null },
    ]);
    expect(await desk.facts(['ANN'])).toMatchObject([{ sAMAccountName: 'ann', enabled: false, privileges: [] }]);
    expect(at.logons()).toBe(1);
    await desk.close();
  });

  it('lock nobody out: a refused password is tried once, on one domain controller, and again after a pause', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    await using at = await place();
    at.controller.refuse = ({ operation }) => (operation === BIND ? WRONG_PASSWORD : undefined);
    const desk = accountDesk([{ ...at.settings, urls: [...(at.settings.urls ?? []), `ldap://localhost:${at.server.port}`] }]);
    for (let repair = 0; repair < 20; repair++) await expect(desk.logons(['ann'])).rejects.toThrow(/wrong password/);
    await expect(Promise.all([desk.logons(['ann']), desk.facts(['ann'])])).rejects.toMatchObject({ failure: 'credentials' });
    expect(at.logons()).toBe(1);
    at.controller.refuse = () => undefined;
    vi.setSystemTime(Date.now() + 30_000);
    expect(await desk.logons(['ann'])).toHaveLength(1);
    expect(at.logons()).toBe(2);
    await desk.close();
  });

  it('are asked again on a new connection when the one that stood was cut', async () => {
    await using at = await place();
    const desk = accountDesk([at.settings]);
    await desk.logons(['ann']);
    for (const client of at.server.clients) client.destroy();
    await expect
      .poll(() =>
        desk.logons(['ann']).then(
          (found) => found.length,
          () => 0,
        ),
      )
      .toBe(1);
    await desk.close();
  });

  it('are never asked without a password: a server would take that for an anonymous logon', async () => {
    await using at = await place();
    await expect(accountDesk([{ ...at.settings, password: () => '' }]).logons(['ann'])).rejects.toThrow(/password .* is empty/);
    expect(at.logons()).toBe(0);
  });

  it('find the domain controllers by the DNS servers of the settings', async () => {
    await using at = await place();
    const name = 'dc1.corp.example.test';
    await using dns = await DnsServer.start({
      '_ldap._tcp.dc._msdcs.corp.example.test': { srv: [{ priority: 0, port: at.server.port, name }] },
      [name]: { a: ['127.0.0.1'] },
    });
    const byDns = { urls: undefined, domain: 'corp.example.test', protocol: 'ldap' as const, dnsServers: [dns.address] };
    const desk = accountDesk([{ ...at.settings, ...byDns }]);
    expect(await desk.logons(['ann'])).toHaveLength(1);
    await desk.close();
  });
});
