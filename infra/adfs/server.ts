import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Adapter, type AdapterPayload, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';

/**
 * A stand-in of AD FS 2016 and 2019 on oidc-provider, with what AD FS has besides: the grant by user name and password, `resource` as a
 * field of the form (2016) or a part of the scope (2019), and its own words for refusals. It shares no code with the product.
 */
export interface AdfsOptions {
  readonly tls: { readonly keyFile: string; readonly certFile: string };
  readonly user: string;
  readonly password: string;
  /** Identifiers of relying parties, exactly. */
  readonly resource: string;
  readonly clientId: string;
  /** Of a confidential client. */
  readonly clientSecret?: string;
  /** Seconds. Default: an hour. */
  readonly tokenLifetime?: number;
}

/** A request for a token, as it came. */
export interface TokenRequest {
  readonly grant: string;
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
}

export interface Adfs extends AsyncDisposable {
  /** `https://127.0.0.1:PORT/adfs` */
  readonly authority: string;
  readonly requests: readonly TokenRequest[];
  /** Whether this is a token for the resource that holds by the clock of this machine, more or less. */
  accepts(token: string): Promise<boolean>;
  /** No token that was given holds any more. */
  revokeAll(): void;
  setPassword(password: string): void;
  /** By how many seconds its clock is ahead from now on. */
  setClock(ahead: number): void;
  /** Answers everything like this instead, until it is called without. */
  fail(answer?: { readonly status: number; readonly type: string; readonly body: string } | 'hang'): void;
}

const SCOPE = 'openid profile offline_access';
const PREFIX = '/adfs';
/** Seconds by which clocks may differ, as Windows Identity Foundation has it. */
const SKEW = 300;

export async function startAdfs(options: AdfsOptions): Promise<Adfs> {
  const { resource, tokenLifetime = 3600 } = options;
  let { password } = options;
  let failure: Parameters<Adfs['fail']>[0];
  let epoch = 0;
  const requests: TokenRequest[] = [];
  const issuedIn = new Map<string, number>();
  const clock = { ahead: 0 };
  const server = createServer({ key: readFileSync(options.tls.keyFile), cert: readFileSync(options.tls.certFile) });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = providerOf(`${origin}${PREFIX}`, options, tokenLifetime, clock);
  provider.registerGrantType('password', passwordGrant, ['username', 'password', 'resource', 'scope', 'client_info'], ['resource']);

  async function passwordGrant(ctx: KoaContextWithOIDC): Promise<void> {
    const { params = {}, client } = ctx.oidc;
    if (client === undefined) throw new errors.InvalidClient('client is unknown');
    if (params.resource !== resource)
      throw new errors.CustomOIDCProviderError('invalid_resource', "MSIS9602: The received 'resource' parameter is invalid.");
    if (params.username !== options.user || params.password !== password) {
      throw new errors.CustomOIDCProviderError('invalid_grant', "MSIS9659: Invalid 'username' or 'password'.");
    }
    const accountId = options.user;
    const grant = new provider.Grant({ clientId: client.clientId, accountId });
    grant.addOIDCScope(SCOPE);
    grant.addResourceScope(resource, 'user_impersonation');
    const grantId = await grant.save();
    const common = { accountId, client, grantId, gty: 'password', claims: {}, sessionUid: 'none', expiresWithSession: false };
    const access = new provider.AccessToken({ ...common, scope: 'user_impersonation' } as never);
    access.resourceServer = new provider.ResourceServer(resource, {
      scope: 'user_impersonation',
      accessTokenTTL: tokenLifetime,
      accessTokenFormat: 'jwt',
    });
    const refresh = new provider.RefreshToken({ ...common, scope: SCOPE, resource } as never);
    const idToken = new provider.IdToken({ sub: accountId, preferred_username: accountId }, { ctx });
    Object.assign(idToken, { scope: 'openid' });
    ctx.body = {
      access_token: await access.save(),
      token_type: 'bearer',
      expires_in: tokenLifetime,
      refresh_token: await refresh.save(),
      id_token: await idToken.issue({ use: 'idtoken' }),
    };
  }

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void answer(request, response).catch(() => response.destroy());
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (failure === 'hang') return;
    if (failure !== undefined) {
      response.writeHead(failure.status, { 'content-type': failure.type }).end(failure.body);
      return;
    }
    const fields = await formOf(request);
    if (request.url?.startsWith(`${PREFIX}/oauth2/token`)) {
      const asked = Object.fromEntries(fields);
      const { password: _, client_secret: __, client_assertion: ___, ...shown } = asked;
      const written = captured(response, (body) => {
        requests.push({ grant: asked.grant_type ?? '', status: response.statusCode, fields: shown });
        const { access_token: token } = jsonOf(body);
        if (typeof token === 'string') issuedIn.set(token, epoch);
      });
      asScope(fields, resource);
      Object.assign(request, { body: Object.fromEntries(fields) });
      void written;
    }
    // The provider knows nothing of the folder that it lives in.
    Object.assign(request, { originalUrl: request.url, url: (request.url ?? '').slice(PREFIX.length) || '/' });
    provider.callback()(request as never, response as never);
  }

  return {
    authority: `${origin}${PREFIX}`,
    requests,
    async accepts(token) {
      const { nbf, exp } = jsonOf(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
      const now = Date.now() / 1000;
      return issuedIn.get(token) === epoch && Number(nbf) - SKEW <= now && now < Number(exp) + SKEW;
    },
    revokeAll() {
      epoch++;
    },
    setPassword(wanted) {
      password = wanted;
    },
    setClock(ahead) {
      clock.ahead = ahead;
    },
    fail(wanted) {
      failure = wanted;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function providerOf(
  issuer: string,
  { clientId, clientSecret, resource }: AdfsOptions,
  tokenLifetime: number,
  clock: { readonly ahead: number },
): Provider {
  const server = { scope: 'user_impersonation', accessTokenTTL: tokenLifetime, accessTokenFormat: 'jwt' as const };
  return new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        ...(clientSecret === undefined
          ? { token_endpoint_auth_method: 'none' as const }
          : { client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_post' as const }),
        grant_types: ['password', 'refresh_token'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    routes: { authorization: '/oauth2/authorize', token: '/oauth2/token', jwks: '/discovery/keys' },
    scopes: ['openid', 'profile', 'offline_access', 'user_impersonation'],
    ttl: { AccessToken: tokenLifetime, IdToken: tokenLifetime, RefreshToken: 28_800, Grant: 28_800 },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => server,
      },
    },
    formats: {
      customizers: {
        jwt: (_ctx, _token, { payload = {} }) => {
          const [iat, exp] = [Number(payload.iat) + clock.ahead, Number(payload.exp) + clock.ahead];
          Object.assign(payload, { iat, nbf: iat, exp });
        },
      },
    },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    adapter: Memory,
    jwks: { keys: [generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }) as never] },
    cookies: { keys: ['none is ever set'] },
    rotateRefreshToken: true,
  });
}

/** What the provider keeps; gone with the process. */
class Memory implements Adapter {
  static readonly #kept = new Map<string, AdapterPayload>();
  readonly #kind: string;

  constructor(kind: string) {
    this.#kind = kind;
  }

  async upsert(id: string, payload: AdapterPayload): Promise<void> {
    Memory.#kept.set(`${this.#kind} ${id}`, payload);
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return Memory.#kept.get(`${this.#kind} ${id}`);
  }

  async consume(id: string): Promise<void> {
    Object.assign((await this.find(id)) ?? {}, { consumed: Math.floor(Date.now() / 1000) });
  }

  async destroy(id: string): Promise<void> {
    Memory.#kept.delete(`${this.#kind} ${id}`);
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [key, payload] of Memory.#kept) if (payload.grantId === grantId) Memory.#kept.delete(key);
  }

  async findByUid(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
}

/** AD FS 2019 takes the resource as a part of the scope. */
function asScope(fields: Map<string, string>, resource: string): void {
  const scopes = (fields.get('scope') ?? '').split(' ').filter((scope) => scope !== '');
  const wanted = scopes.find((scope) => scope.endsWith('/.default'));
  if (wanted === undefined) return;
  const named = wanted.slice(0, -'/.default'.length);
  // What stands before the last slash names the relying party, whether or not its identifier ends with one.
  fields.set('resource', named === resource.replace(/\/$/, '') ? resource : named);
  fields.set('scope', scopes.filter((scope) => scope !== wanted).join(' ') || SCOPE);
}

async function formOf(request: IncomingMessage): Promise<Map<string, string>> {
  if (request.method !== 'POST') return new Map();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new Map(new URLSearchParams(Buffer.concat(chunks).toString()));
}

/** Tells what is sent as the body. */
function captured(response: ServerResponse, tell: (body: string) => void): ServerResponse {
  const end = response.end.bind(response);
  response.end = ((chunk?: unknown, ...rest: never[]) => {
    tell(chunk === undefined || chunk === null ? '' : String(chunk));
    return end(chunk as never, ...rest);
  }) as typeof response.end;
  return response;
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
