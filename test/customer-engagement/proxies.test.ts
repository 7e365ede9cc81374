import { afterEach, describe, expect, test, vi } from 'vitest';
import { failing, html, ID, json, pair } from './support.ts';

/** What something in between answers, which is not the server's word. */

const PAGE = { 'content-type': 'text/html', via: '1.1 gate.example.test' };

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a proxy in between', () => {
  test.each([
    [
      407,
      { 'proxy-authenticate': 'Negotiate' },
      'credentials',
      'credentials',
      /status 407, by a proxy in between that asks for credentials of its own/,
    ],
    [502, {}, 'transient', 'unknown-outcome', /status 502, by something in between that gets no answer from the server/],
    [504, {}, 'transient', 'unknown-outcome', /status 504, by something in between that gets no answer from the server/],
    [503, { 'retry-after': '5' }, 'transient', 'unknown-outcome', /status 503/],
    [403, {}, 'credentials', 'credentials', /status 403: check auth/],
    [302, { location: 'https://gate.example.test/login' }, 'credentials', 'unknown-outcome', /redirect, which is not followed/],
    [200, {}, 'credentials', 'unknown-outcome', /answered with a web page, likely to sign in/],
  ] as const)(
    'that answers %i with a page of its own is told from the server, and forgotten once it lets pass',
    async (status, headers, read, write, words) => {
      let isOpen = false;
      await using at = await pair((response) => {
        if (isOpen) json(response, 200, { UserId: ID, domainname: 'CORP\\lee' });
        else html(response, status, { ...PAGE, ...headers });
      });
      expect(await failing(at.ce.whoAmI())).toMatchObject({ failure: read, status, message: expect.stringMatching(words) });
      expect(await failing(at.ce.setDomainName(ID, 'CORP\\lee'))).toMatchObject({ failure: write, status });
      // Neither repeated nor followed.
      expect(at.server.received).toHaveLength(2);
      isOpen = true;
      expect(await at.ce.whoAmI()).toBe(ID);
      expect(await at.ce.setDomainName(ID, 'CORP\\lee')).toMatchObject({ domainname: 'CORP\\lee' });
    },
  );

  test('that the environment names is not used: credentials go to url and nowhere else', async () => {
    await using gate = await pair((response) => json(response, 200, { UserId: ID }));
    for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'ALL_PROXY']) vi.stubEnv(name, gate.server.origin);
    await using at = await pair((response) => json(response, 200, { UserId: ID }));
    expect(await at.ce.whoAmI()).toBe(ID);
    expect(gate.server.received).toEqual([]);
  });
});
