import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../../infra/testbed/authority.ts';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import {
  type Answer,
  bindResponse,
  type Certificate,
  extendedResponse,
  type LdapRequest,
  LdapServer,
  noticeOfDisconnection,
  searchDone,
} from '../support/ldap-server.ts';
import { domainController, NEVER, nothingStored, type Script, scripted, settingsFor, urlOf } from './scripted-dc.ts';

/** Opens, and gives what it failed with. */
async function failure(script: Script | Answer, more: Parameters<typeof scripted>[1] = {}) {
  await using dc = await scripted(script, more);
  const error = await dc.source.open(nothingStored, NEVER).then(
    (session) => session[Symbol.asyncDispose](),
    (reason: unknown) => reason,
  );
  await expect.poll(() => dc.server.clients.every((client) => client.closed)).toBe(true);
  return error;
}

describe('a logon', () => {
  it('leaves nothing open when the session is closed', async () => {
    await using dc = await scripted({});
    const session = await dc.source.open(nothingStored, NEVER);
    expect(session).toMatchObject({ domain: 'CORP', dc: 'dc1.corp.example.test', resume: { reason: 'first start' } });
    expect(dc.server.clients).toHaveLength(2);
    await session[Symbol.asyncDispose]();
    await expect.poll(() => dc.server.clients.every((client) => client.closed)).toBe(true);
    expect(dc.server.requests.filter(({ operation }) => operation === 0x42)).toHaveLength(2);
  });

  it.each([
    [49, '80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 52e, v4563', 'credentials', 'wrong password'],
    [49, 'AcceptSecurityContext error, data 533, v1db1', 'credentials', 'the account is disabled'],
    [49, 'AcceptSecurityContext error, data 775, v1db1', 'credentials', 'locked out'],
    [49, 'NT_STATUS_LOGON_FAILURE', 'credentials', 'NT_STATUS_LOGON_FAILURE'],
    [8, '00002028: LdapErr: the server requires binds to turn on integrity checking', 'configuration', 'use ldaps://'],
    [51, '', 'unavailable', 'LDAP result 51'],
    [52, '', 'unavailable', 'LDAP result 52'],
    [53, '', 'configuration', 'LDAP result 53'],
  ])('refused with %i %s is of kind %s', async (code, diagnostic, kind, words) => {
    const error = await failure({ logon: ({ id }, client) => void client.send(bindResponse(id, code, diagnostic)) });
    expect(error).toMatchObject({ name: 'DirectoryError', failure: kind, message: expect.stringContaining(words) });
  });

  it('tries a refused password once only', async () => {
    await using dc = await scripted({ logon: ({ id }, client) => void client.send(bindResponse(id, 49)) });
    const urls = [urlOf(dc.server), urlOf(dc.server)];
    const source = ldapDirectorySource(settingsFor(dc.server, { urls }));
    await expect(source.open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'credentials' });
    expect(dc.server.requests.filter(({ operation }) => operation === 0x60)).toHaveLength(1);
  });

  it('never shows the password, even when the server repeats it', async () => {
    const error = await failure({
      logon: ({ id }, client) => void client.send(bindResponse(id, 49, `bad password: ${'x'.repeat(470)} correct horse`)),
    });
    expect(String(error)).toContain('bad password: xxx');
    expect(String(error)).not.toContain('correct');
  });

  it('is refused here with an empty password, which would be anonymous', async () => {
    expect(await failure({}, { password: () => '' })).toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('empty'),
    });
  });

  it('says when the password cannot be read', async () => {
    const password = () => Promise.reject(new Error('ENOENT: no such file'));
    expect(await failure({}, { password })).toMatchObject({ failure: 'configuration', message: expect.stringContaining('ENOENT') });
  });

  it.each<[string, (request: LdapRequest) => boolean]>([
    ['logs on', ({ operation }) => operation === 0x60],
    ['asks who answers', ({ operation, baseDN }) => operation === 0x63 && baseDN === ''],
    ['asks for the domain', ({ baseDN }) => baseDN.startsWith('CN=Partitions')],
    ['registers for change notification', ({ attributes }) => attributes.join() === 'highestCommittedUSN'],
  ])('ends when it is given up while it %s at a server that hangs', async (_, hangs) => {
    const answer = domainController();
    let hanging = false;
    await using dc = await scripted(
      (request, client) => {
        hanging ||= hangs(request);
        return hanging ? undefined : answer(request, client);
      },
      { deadline: 60_000 },
    );
    const controller = new AbortController();
    const opening = dc.source.open(nothingStored, controller.signal);
    await expect.poll(() => hanging).toBe(true);
    const begun = performance.now();
    controller.abort();
    await expect(opening).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('given up') });
    expect(performance.now() - begun).toBeLessThan(1_500);
    await expect.poll(() => dc.server.clients.every((client) => client.closed)).toBe(true);
  });
});

describe('a server that misbehaves', () => {
  it.each<[string, Answer, string]>([
    ['sends what is not LDAP', (_, client) => void client.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), 'not LDAP'],
    [
      'sends an endless length',
      (_, client) => void client.send(Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff])),
      'not LDAP: a message of',
    ],
    ['sends half a message', ({ id }, client) => void client.send(bindResponse(id).subarray(0, 9)), 'within 1000 ms'],
    [
      'sends half a message and closes',
      ({ id }, client) => {
        client.send(bindResponse(id).subarray(0, 9));
        client.end();
      },
      'closed the connection',
    ],
    ['says nothing', () => {}, 'within 1000 ms'],
    ['closes at once', (_, client) => client.end(), 'closed the connection'],
    ['resets', (_, client) => client.destroy(), ''],
    ['answers another question', ({ id }, client) => void client.send(searchDone(id)), 'not LDAP: an answer of tag 0x65'],
    [
      'answers a bind with an element cut short',
      ({ id }, client) => void client.send(Buffer.from([0x30, 5, 2, 1, id, 0x61, 0])),
      'not LDAP',
    ],
    [
      'takes its leave',
      (_, client) => void client.send(noticeOfDisconnection(52, 'shutting down')),
      'ended the connection (LDAP result 52: shutting down)',
    ],
  ])('%s', async (_, answer, words) => {
    expect(await failure(answer)).toMatchObject({
      name: 'DirectoryError',
      failure: 'unavailable',
      message: expect.stringContaining(words),
    });
  });

  it('is borne with when it says things that were not asked for', async () => {
    await using dc = await scripted({
      logon: ({ id }, client) => {
        const unknown = extendedResponse(0, 0, 'hello', '1.2.3.4');
        const late = searchDone(4711);
        client.send(unknown, late, bindResponse(id), bindResponse(id));
      },
    });
    await using session = await dc.source.open(nothingStored, NEVER);
    expect(session.domain).toBe('CORP');
  });

  it.each<[string, Script, string, string]>([
    ['is no domain controller', { rootDse: { supportedControl: [] } }, 'configuration', 'no Active Directory domain controller'],
    ['has no naming context', { rootDse: { defaultNamingContext: [] } }, 'configuration', 'shows no defaultNamingContext'],
    ['has no configuration', { rootDse: { configurationNamingContext: [] } }, 'configuration', 'shows no configurationNamingContext'],
    ['is not synchronized', { rootDse: { isSynchronized: ['FALSE'] } }, 'unavailable', 'not finished'],
    ['has an odd invocationId', { invocationId: Buffer.from('x') }, 'configuration', 'no GUID'],
    ['has an odd USN', { rootDse: { highestCommittedUSN: ['many'] } }, 'configuration', 'no number'],
  ])('%s', async (_, script, kind, words) => {
    expect(await failure(script)).toMatchObject({ failure: kind, message: expect.stringContaining(words) });
  });

  it('is not there', async () => {
    const unused = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => unused.once('listening', resolve));
    const { port } = unused.address() as { port: number };
    await new Promise((resolve) => unused.close(resolve));
    const source = ldapDirectorySource({ urls: [`ldaps://127.0.0.1:${port}`], bindDn: 'x', password: () => 'y' });
    await expect(source.open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});

describe('an address', () => {
  it.each(['dc1.corp.example.test', 'https://dc1', 'ldaps://', 'ldap://dc1/DC=corp', 'ldap://user:secret@dc1', 'ldap://dc1?x'])(
    '%s is refused',
    (url) => {
      const create = () => ldapDirectorySource({ urls: [url], bindDn: 'x', password: () => 'y' });
      expect(create).toThrow(expect.objectContaining({ failure: 'configuration', message: expect.stringContaining('ldaps://HOST') }));
      expect(create).not.toThrow('secret');
    },
  );

  it('is needed', () => {
    expect(() => ldapDirectorySource({ urls: [], bindDn: 'x', password: () => 'y' })).toThrow('No domain controller');
  });
});

describe('encryption', () => {
  let directory: string;
  let ca: string;
  let good: Certificate;
  let other: Certificate;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'namesake-tls-'));
    const authority = await Authority.open(directory);
    ca = authority.caFile;
    const issue = async (file: string, names: string[]): Promise<Certificate> => {
      const { keyFile, certFile } = await authority.issue(file, names);
      return { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8') };
    };
    good = await issue('good', ['dc1.corp.example.test', '127.0.0.1']);
    other = await issue('other', ['dc2.corp.example.test', '127.0.0.2']);
    await writeFile(join(directory, 'empty.pem'), 'nothing\n');
  });

  afterAll(() => rm(directory, { recursive: true }));

  async function openWith(server: LdapServer, scheme: 'ldap' | 'ldaps', caFile: string | undefined) {
    const urls = [`${scheme}://127.0.0.1:${server.port}`];
    const source = ldapDirectorySource(settingsFor(server, { urls, caFile, allowClearText: false, deadline: 1_000 }));
    await using session = await source.open(nothingStored, NEVER);
    return session.domain;
  }

  const startTls: Script = {
    extended: ({ id }, client) => {
      client.send(extendedResponse(id));
      client.startTls(good);
    },
  };

  it('is LDAPS', async () => {
    await using server = await LdapServer.start(domainController(), good);
    expect(await openWith(server, 'ldaps', ca)).toBe('CORP');
  });

  it('is StartTLS, before the password is sent', async () => {
    await using server = await LdapServer.start(domainController(startTls));
    expect(await openWith(server, 'ldap', ca)).toBe('CORP');
    expect(server.requests[0]?.operation).toBe(0x77);
  });

  it.each(['ldap', 'ldaps'] as const)('fails with a CA that is not trusted (%s)', async (scheme) => {
    await using server = await LdapServer.start(domainController(startTls), scheme === 'ldaps' ? good : undefined);
    await expect(openWith(server, scheme, undefined)).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('caFile'),
    });
    expect(server.requests.every(({ operation }) => operation !== 0x60)).toBe(true);
  });

  it('fails with the name of another host', async () => {
    await using server = await LdapServer.start(domainController(), other);
    await expect(openWith(server, 'ldaps', ca)).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringMatching(/ERR_TLS_CERT_ALTNAME_INVALID.*name that is in it/),
    });
  });

  it.each(['missing.pem', 'empty.pem'])('fails with the CA file %s', async (file) => {
    await using server = await LdapServer.start(domainController(), good);
    await expect(openWith(server, 'ldaps', join(directory, file))).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining(file),
    });
  });

  it('is asked for: without it no password is sent', async () => {
    await using server = await LdapServer.start(
      domainController({ extended: ({ id }, client) => void client.send(extendedResponse(id, 2, 'unknown')) }),
    );
    await expect(openWith(server, 'ldap', ca)).rejects.toMatchObject({
      failure: 'configuration',
      message: expect.stringContaining('allowClearText: true'),
    });
    expect(server.requests.map(({ operation }) => operation)).not.toContain(0x60);
  });

  it('is not believed when clear text follows the answer to StartTLS', async () => {
    await using server = await LdapServer.start(
      domainController({ extended: ({ id }, client) => void client.send(extendedResponse(id), bindResponse(id + 1).subarray(0, 5)) }),
    );
    await expect(openWith(server, 'ldap', ca)).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('clear text after'),
    });
  });

  it.each<[string, Answer]>([
    ['ends during the handshake', (_, client) => client.end()],
    ['goes on in clear text', ({ id }, client) => void client.send(bindResponse(id + 1))],
    ['never answers the handshake', () => {}],
  ])('fails when the server %s', async (_, then) => {
    const extended: Answer = (request, client) => {
      client.send(extendedResponse(request.id));
      setImmediate(() => void then(request, client));
    };
    await using server = await LdapServer.start(domainController({ extended }));
    await expect(openWith(server, 'ldap', ca)).rejects.toMatchObject({ failure: 'unavailable' });
  });

  it('fails when LDAPS meets a server without TLS', async () => {
    await using server = await LdapServer.start(() => {});
    await expect(openWith(server, 'ldaps', ca)).rejects.toMatchObject({ failure: 'unavailable' });
  });
});
