import { describe, expect, test } from 'vitest';
import { basic, bearer } from '../../src/customer-engagement/authentication.ts';
import { failing, html, ID, json, pair, TOKEN } from './support.ts';

const challenge = { 'www-authenticate': 'Bearer authorization_uri=https://adfs.example.test/adfs/oauth2/authorize' };

describe('a bearer token', () => {
  test('is read for each request, so that a changed file counts', async () => {
    let token = 'first';
    await using at = await pair((response) => json(response, 200, { UserId: ID }), { auth: bearer(() => `${token}\n`) });
    await at.ce.whoAmI();
    token = 'second';
    await at.ce.whoAmI();
    expect(at.server.received.map(({ headers }) => headers.authorization)).toEqual(['Bearer first', 'Bearer second']);
  });

  test('that was refused is read again, and a new one is tried once, for a write too', async () => {
    const tokens = ['old', 'new', 'newer'];
    await using at = await pair(
      (response, { headers }) => {
        if (headers.authorization === 'Bearer new') json(response, 200, { domainname: 'CORP\\lee' });
        else html(response, 401, challenge);
      },
      { auth: bearer(() => tokens.shift() ?? '') },
    );
    expect(await at.ce.setDomainName(ID, 'CORP\\lee')).toMatchObject({ domainname: 'CORP\\lee' });
    expect(at.server.received.map(({ method, body }) => [method, body])).toEqual(Array(2).fill(['PATCH', '{"domainname":"CORP\\\\lee"}']));
  });

  test('is tried no more often than that', async () => {
    let count = 0;
    await using at = await pair((response) => html(response, 401, challenge), { auth: bearer(() => `number-${++count}`) });
    const error = await failing(at.ce.setDomainName(ID, 'CORP\\lee'));
    expect(error).toMatchObject({ failure: 'credentials', status: 401, message: expect.stringContaining('the server offers Bearer') });
    expect(at.server.received).toHaveLength(2);
  });

  test.each([400, 403, 412, 500, 503])('is not tried again after %i, when something may have been done', async (status) => {
    let count = 0;
    await using at = await pair((response) => html(response, status), { auth: bearer(() => `number-${++count}`) });
    await failing(at.ce.setDomainName(ID, 'CORP\\lee'));
    expect(at.server.received).toHaveLength(1);
  });

  test('that is still the same is not sent again', async () => {
    await using at = await pair((response) => html(response, 401, challenge));
    expect((await failing(at.ce.whoAmI())).failure).toBe('credentials');
    expect(at.server.received).toHaveLength(1);
    expect(at.server.received[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  test.each(['', ' \n', 'two words', 'line\r\nx-evil: 1', 'ünicode'])('%j is none', async (token) => {
    await using at = await pair(() => undefined, { auth: bearer(() => token) });
    expect(await failing(at.ce.whoAmI())).toMatchObject({ failure: 'credentials' });
    expect(at.server.received).toHaveLength(0);
  });

  test('that cannot be read: the file is named, nothing else of what a reader says', async () => {
    const missing = Object.assign(new Error("ENOENT: no such file or directory, open '/etc/namesake/token'"), { syscall: 'open' });
    await using of = await pair(() => undefined, { auth: bearer(() => Promise.reject(missing)) });
    expect(await failing(of.ce.whoAmI())).toMatchObject({
      failure: 'credentials',
      message: expect.stringContaining('/etc/namesake/token'),
    });
    const auth = bearer(() => {
      throw new Error('unexpected character after secret-of-the-file');
    });
    await using at = await pair(() => undefined, { auth });
    expect((await failing(at.ce.whoAmI())).failure).toBe('credentials');
  });
});

describe('Basic', () => {
  test('sends name and password in UTF-8', async () => {
    const auth = basic('CORP\\svc-namesake', () => 'pässword:with colon');
    await using at = await pair((response) => json(response, 200, { UserId: ID }), { auth });
    await at.ce.whoAmI();
    const [scheme, value] = at.server.received[0]?.headers.authorization?.split(' ') ?? [];
    expect(scheme).toBe('Basic');
    expect(Buffer.from(value ?? '', 'base64').toString()).toBe('CORP\\svc-namesake:pässword:with colon');
  });

  test('does not repeat a refused password, which would lock the account out', async () => {
    const auth = basic('svc', () => 'secret');
    const offers = { 'www-authenticate': ['Negotiate', 'NTLM'] };
    await using at = await pair((response) => void response.writeHead(401, offers).end(), { auth });
    expect((await failing(at.ce.whoAmI())).message).toContain('Negotiate, NTLM');
    expect(at.server.received).toHaveLength(1);
  });

  test('refuses a name with a colon', () => {
    expect(() => basic('a:b', () => '')).toThrow(/colon/);
  });
});
