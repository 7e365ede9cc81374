import { describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { DnsServer } from '../support/dns-server.ts';
import { NEVER, nothingStored } from './scripted-dc.ts';
import { ScriptedDc, settingsOf } from './scripted-dcs.ts';

const DOMAIN = 'corp.example.test';
const EVERYWHERE = `_ldap._tcp.dc._msdcs.${DOMAIN}`;
const IN_BERLIN = `_ldap._tcp.berlin._sites.dc._msdcs.${DOMAIN}`;

interface Place {
  readonly dc: ScriptedDc;
  readonly priority?: number;
}
const srv = (...places: readonly Place[]) => ({
  srv: places.map(({ dc, priority = 0 }) => ({ priority, port: dc.server.port, name: dc.name })),
});
const addresses = (...dcs: readonly ScriptedDc[]) => Object.fromEntries(dcs.map(({ name }) => [name, { a: ['127.0.0.1'] }]));

/** Over LDAP, since the scripted domain controllers have no port 636. */
function source(dns: DnsServer, more: Partial<DirectorySettings> = {}) {
  return ldapDirectorySource({ ...settingsOf([]), domain: DOMAIN, protocol: 'ldap', dnsServers: [dns.address], ...more });
}

describe('a domain', () => {
  it('is found by SRV records, in the order of their priorities', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv({ dc: one, priority: 10 }, { dc: two }), ...addresses(one, two) });
    const domain = source(dns);
    expect(domain.name).toBe(DOMAIN);
    await using session = await domain.open(nothingStored, NEVER);
    expect(session).toMatchObject({ dc: two.name, passedOver: [] });
    expect(dns.asked).not.toContain(IN_BERLIN);
  });

  it('is looked for in a site first, then everywhere', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    await using dns = await DnsServer.start({
      [EVERYWHERE]: srv({ dc: one }, { dc: two, priority: 5 }),
      [IN_BERLIN]: srv({ dc: two, priority: 5 }),
      ...addresses(one, two),
    });
    const berlin = source(dns, { site: 'Berlin' });
    await (await berlin.open(nothingStored, NEVER))[Symbol.asyncDispose]();
    two.refuse();
    await using session = await berlin.open(nothingStored, NEVER);
    expect(session).toMatchObject({ dc: one.name, passedOver: [{ dc: `ldap://${two.name}:${two.server.port}` }] });
  });

  it('goes on everywhere when DNS does not know the site, and says so', async () => {
    await using one = await ScriptedDc.start(1);
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv({ dc: one }), ...addresses(one) });
    const warnings: string[] = [];
    await using session = await source(dns, { site: 'Berlin', warn: (text) => warnings.push(text) }).open(nothingStored, NEVER);
    expect(session.dc).toBe(one.name);
    expect(warnings).toEqual([expect.stringContaining('no domain controller of the site Berlin')]);
  });

  it('is found anew at each opening', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv({ dc: one }), ...addresses(one, two) });
    const domain = source(dns);
    await (await domain.open(nothingStored, NEVER))[Symbol.asyncDispose]();
    dns.zone = { [EVERYWHERE]: srv({ dc: two }), ...addresses(one, two) };
    await using session = await domain.open(nothingStored, NEVER);
    expect(session.dc).toBe(two.name);
  });

  it('stays on the same one of equals, unless that failed', async () => {
    const dcs = await Promise.all([1, 2, 3, 4].map((n) => ScriptedDc.start(n)));
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv(...dcs.map((dc) => ({ dc }))), ...addresses(...dcs) });
    const domain = source(dns);
    const open = async () => {
      await using session = await domain.open(nothingStored, NEVER);
      return session.dc;
    };
    const first = await open();
    for (let round = 0; round < 10; round++) expect(await open()).toBe(first);
    expect(domain.failed(new DirectoryError('unavailable', 'cut off'))).toBe(true);
    expect(await open()).not.toBe(first);
    await Promise.all(dcs.map((dc) => dc[Symbol.asyncDispose]()));
  });

  it('goes on with those that were found before while DNS does not answer', async () => {
    await using one = await ScriptedDc.start(1);
    await using dns = await DnsServer.start({
      [EVERYWHERE]: srv({ dc: one }),
      ...addresses(one),
    });
    const warnings: string[] = [];
    const domain = source(dns, { warn: (text) => warnings.push(text) });
    await (await domain.open(nothingStored, NEVER))[Symbol.asyncDispose]();
    dns.zone = { ...addresses(one) };
    await using session = await domain.open(nothingStored, NEVER);
    expect(session.dc).toBe(one.name);
    expect(warnings).toEqual([expect.stringContaining('told of before')]);
  });

  it('has no domain controller of another name, who would be given the password (SPEC rule 10)', async () => {
    await using one = await ScriptedDc.start(1);
    const name = 'dc1.corp.example.test.evil.example.net';
    await using dns = await DnsServer.start({ [EVERYWHERE]: { srv: [{ port: one.server.port, name }] }, [name]: { a: ['127.0.0.1'] } });
    const warnings: string[] = [];
    const opening = source(dns, { warn: (text) => warnings.push(text) }).open(nothingStored, NEVER);
    await expect(opening).rejects.toMatchObject({ failure: 'configuration' });
    expect(warnings).toEqual([expect.stringContaining(`not below it: "${name}"`)]);
    expect(one.connections).toBe(0);
  });

  it('is the one that is listened to, not any other', async () => {
    await using one = await ScriptedDc.start(1, { rootDse: { defaultNamingContext: ['DC=other'] } });
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv({ dc: one }), ...addresses(one) });
    await expect(source(dns).open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'configuration',
      message: `${one.name}: it is of DC=other, not of DC=corp,DC=example,DC=test`,
    });
  });

  it('sets aside what cannot be the name of a domain controller', async () => {
    await using one = await ScriptedDc.start(1);
    const odd = { port: 389, name: 'dc1/DC=corp' };
    await using dns = await DnsServer.start({ [EVERYWHERE]: { srv: [odd, ...srv({ dc: one }).srv] }, ...addresses(one) });
    const warnings: string[] = [];
    await using session = await source(dns, { warn: (text) => warnings.push(text) }).open(nothingStored, NEVER);
    expect(session.dc).toBe(one.name);
    expect(warnings).toEqual([expect.stringContaining('"dc1/DC=corp"')]);
  });

  it('is reached by LDAPS on its own port unless told otherwise', async () => {
    await using dns = await DnsServer.start({ [EVERYWHERE]: { srv: [{ port: 389, name: 'dc1.corp.example.test' }] } });
    const opening = source(dns, { protocol: undefined, allowClearText: false }).open(nothingStored, NEVER);
    await expect(opening).rejects.toMatchObject({
      failure: 'unavailable',
      message: `ldaps://dc1.corp.example.test: DNS (${dns.address}) knows no address of dc1.corp.example.test`,
    });
  });
});

describe('DNS', () => {
  it.each<[string, Parameters<typeof DnsServer.start>[0]]>([
    ['does not know the name', {}],
    ['knows none', { [EVERYWHERE]: {} }],
    ['says that there is none', { [EVERYWHERE]: { srv: [{ port: 0, name: '.' }] } }],
  ])('that %s is told as a wrong setting', async (_, zone) => {
    await using dns = await DnsServer.start(zone);
    await expect(source(dns).open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'configuration',
      message: `DNS knows no domain controller of ${DOMAIN} that can be used (SRV records of ${EVERYWHERE})`,
    });
  });

  it.each(['silent', 'failing'] as const)('that is %s is waited for, no longer than the deadline', async (trouble) => {
    await using dns = await DnsServer.start();
    dns.trouble = trouble;
    const begun = performance.now();
    const domain = source(dns, { deadline: 1_000 });
    await expect(domain.open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining(`DNS (${dns.address}) does not tell ${EVERYWHERE}: `),
    });
    expect(performance.now() - begun).toBeLessThan(2_000);
    // Nobody was asked, so nobody else is left.
    expect(domain.failed(new DirectoryError('unavailable', 'no DNS'))).toBe(false);
  });

  it('has a second server for when the first is silent', async () => {
    await using one = await ScriptedDc.start(1);
    await using silent = await DnsServer.start();
    silent.trouble = 'silent';
    await using dns = await DnsServer.start({ [EVERYWHERE]: srv({ dc: one }), ...addresses(one) });
    await using session = await source(dns, { dnsServers: [silent.address, dns.address] }).open(nothingStored, NEVER);
    expect(session.dc).toBe(one.name);
  });

  it('is not asked when the domain controllers are named by addresses', async () => {
    await using one = await ScriptedDc.start(1);
    await using dns = await DnsServer.start();
    await using session = await ldapDirectorySource(settingsOf([one.url], { dnsServers: [dns.address] })).open(nothingStored, NEVER);
    expect(session.dc).toBe(one.name);
    expect(dns.asked).toEqual([]);
  });

  it('must be named by an address', () => {
    expect(() => ldapDirectorySource(settingsOf(['ldap://dc1'], { dnsServers: ['dns.example.test'] }))).toThrow('dns.example.test');
  });
});

it.each([
  ['both', settingsOf(['ldap://dc1'], { domain: DOMAIN })],
  ['neither', settingsOf([])],
])('takes either urls or a domain, not %s', (_, settings) => {
  expect(() => ldapDirectorySource(settings)).toThrow('either urls or a domain');
});
