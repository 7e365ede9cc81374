import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Adfs, type AdfsOptions, startAdfs } from '../../infra/adfs/server.ts';
import { type AdfsSettings, adfs } from '../../src/customer-engagement/adfs/adfs.ts';
import { type Certificate, certificate } from '../support/http-server.ts';
import { failing, html, ID, json, type Pair, pair } from './support.ts';

const PASSWORD = 'pass:wörd & more';
const SECRET = 'the-client-secret';
const RESOURCE = 'https://auth.contoso.test:444/';
const OPTIONS = { user: 'svc@corp.example.test', password: PASSWORD, resource: RESOURCE, clientId: 'a-client' };

let tls: Certificate;
let server: Adfs | undefined;
let at: Pair | undefined;

beforeEach(() => {
  tls = certificate('IP:127.0.0.1');
});
afterEach(async () => {
  await at?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  [at, server] = [undefined, undefined];
});

interface World {
  readonly ce: Pair['ce'];
  readonly adfs: Adfs;
  /** Tokens that Customer Engagement was sent, each time. */
  readonly tokens: () => string[];
}

/** An organization that takes the tokens of this AD FS, and a client of it. */
async function start(version: '2016' | '2019', options: Partial<AdfsOptions> = {}, settings: Partial<AdfsSettings> = {}): Promise<World> {
  const running = await startAdfs({ ...OPTIONS, ...options, tls: { keyFile: tls.keyFile, certFile: tls.file } });
  server = running;
  const auth = adfs({
    ...OPTIONS,
    authority: running.authority,
    version,
    readPassword: () => PASSWORD,
    ca: readFileSync(tls.file, 'utf8'),
    deadline: 1_000,
    ...(options.clientSecret !== undefined && { readClientSecret: () => SECRET }),
    ...settings,
  });
  const opened = await pair(
    (response, { headers }) => {
      const token = headers.authorization?.slice('Bearer '.length) ?? '';
      void running
        .accepts(token)
        .then((is) => (is ? json(response, 200, { UserId: ID }) : html(response, 401, { 'www-authenticate': 'Bearer' })));
    },
    { auth },
  );
  at = opened;
  return { ce: opened.ce, adfs: running, tokens: () => opened.server.received.map(({ headers }) => headers.authorization ?? '') };
}

const grants = ({ requests }: Adfs) => requests.map(({ grant, status }) => `${grant} ${status}`);

describe.each(['2016', '2019'] as const)('AD FS %s', (version) => {
  test.each([
    ['public', {}],
    ['confidential', { clientSecret: SECRET }],
  ])('a token for a %s client is got once and used again, also by many at the same time', async (_, options) => {
    const { ce, adfs, tokens } = await start(version, options);
    await Promise.all(Array.from({ length: 5 }, () => ce.whoAmI()));
    await ce.whoAmI();
    expect(grants(adfs)).toEqual(['password 200']);
    expect(new Set(tokens()).size).toBe(1);
  });

  test('it is renewed shortly before its end, without the password', async () => {
    const { ce, adfs, tokens } = await start(version, { tokenLifetime: 2 });
    await ce.whoAmI();
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await ce.whoAmI();
    expect(grants(adfs)).toEqual(['password 200', 'refresh_token 200']);
    expect(new Set(tokens()).size).toBe(2);
  });

  test('one that was revoked is renewed once', async () => {
    const { ce, adfs } = await start(version);
    await ce.whoAmI();
    adfs.revokeAll();
    await ce.whoAmI();
    expect(grants(adfs)).toEqual(['password 200', 'refresh_token 200']);
  });

  test('a wrong password is refused in words, once', async () => {
    const { ce, adfs } = await start(version, {}, { readPassword: () => 'wrong' });
    const error = await failing(ce.whoAmI());
    expect(error).toMatchObject({ failure: 'credentials', message: expect.stringMatching(/user name or password is wrong.*MSIS9659/) });
    expect(error.message).not.toContain('wrong"');
    expect(grants(adfs)).toEqual(['password 400']);
  });

  test('a wrong client secret and a wrong resource are told apart', async () => {
    const wrongSecret = await start(version, { clientSecret: SECRET }, { readClientSecret: () => 'another' });
    expect((await failing(wrongSecret.ce.whoAmI())).message).toContain('the client id is wrong, or what it proves itself with');
    await at?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    const wrongResource = await start(version, {}, { resource: 'https://auth.contoso.test:443/' });
    expect((await failing(wrongResource.ce.whoAmI())).message).toContain('the resource is not the identifier of a relying party');
  });

  test.each([
    ['is busy', { status: 503, type: 'text/html', body: '<html>busy' }],
    ['answers HTML', { status: 200, type: 'text/html', body: '<html>sign in' }],
    ['answers half', { status: 200, type: 'application/json', body: '{"access_tok' }],
    ['answers nothing of use', { status: 503, type: 'application/json', body: '{}' }],
    ['is silent', 'hang'],
  ] as const)('where it %s it is tried again later, and works when it is well', async (_, answer) => {
    const { ce, adfs } = await start(version);
    adfs.fail(answer);
    expect(await failing(ce.whoAmI())).toMatchObject({
      failure: 'transient',
      message: expect.stringContaining('AD FS cannot be asked for a token'),
    });
    adfs.fail();
    await ce.whoAmI();
  });

  test('one that cannot be reached, or whose certificate is not trusted, is named for that', async () => {
    const untrusted = await start(version, {}, { ca: readFileSync(certificate('IP:127.0.0.1').file, 'utf8') });
    expect((await failing(untrusted.ce.whoAmI())).message).toMatch(/AD FS cannot be asked.*(certificate|CERT|SIGNED)/i);
    await at?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    const gone = await start(version);
    await gone.adfs[Symbol.asyncDispose]();
    expect((await failing(gone.ce.whoAmI())).message).toMatch(/AD FS cannot be asked.*ECONNREFUSED/);
  });

  test.each([
    ['ahead', 600, /token of AD FS holds from .*, and the clock of the server shows .*: their clocks differ by \d+ min or more/],
    ['behind', -7_200, /token of AD FS holds until .*, and the clock of the server shows .*: their clocks differ by \d+ min or more/],
  ])('a clock of AD FS that is %s is named, and once it is right a new token is taken', async (_, ahead, words) => {
    const { ce, adfs } = await start(version);
    adfs.setClock(ahead);
    expect(await failing(ce.whoAmI())).toMatchObject({ failure: 'credentials', status: 401, message: expect.stringMatching(words) });
    expect(await failing(ce.setDomainName(ID, 'CORP\\lee'))).toMatchObject({ failure: 'credentials' });
    // A few minutes are nothing.
    adfs.setClock(200);
    await ce.whoAmI();
    adfs.setClock(0);
    await ce.whoAmI();
  });

  test('a password that was changed counts at the next logon', async () => {
    let password = PASSWORD;
    const { ce, adfs } = await start(version, {}, { readPassword: () => password });
    adfs.setPassword('the new one');
    await failing(ce.whoAmI());
    password = 'the new one';
    await ce.whoAmI();
  });
});

test('AD FS 2016 is asked for the resource in the form', async () => {
  const { ce, adfs } = await start('2016');
  await ce.whoAmI();
  expect(adfs.requests[0]?.fields).toEqual({ grant_type: 'password', client_id: 'a-client', resource: RESOURCE, username: OPTIONS.user });
});
