import { z } from 'zod';
import { CustomerEngagementError } from '../../../streams/customer-engagement.ts';
import type { Authentication } from '../authentication.ts';
import type { Answer } from '../transport.ts';
import { formGrant } from './form-grant.ts';
import { msalGrant } from './msal-grant.ts';
import { AuthorityUnreachable, TokenEndpoint } from './token-endpoint.ts';

export interface AdfsSettings {
  /** `https://adfs.example.test/adfs`: the one place to which credentials are sent. */
  readonly authority: string;
  readonly version: '2016' | '2019';
  readonly clientId: string;
  /** Of a confidential client. */
  readonly readClientSecret?: (() => string) | undefined;
  /** Of a confidential client, instead of a secret; PEM texts. With 2019 only. */
  readonly clientCertificate?: { readonly certificate: string; readonly privateKey: string } | undefined;
  /** Identifier of the relying party, exactly as AD FS has it, slash at the end included. */
  readonly resource: string;
  readonly user: string;
  readonly readPassword: () => string;
  readonly ca: string | undefined;
  /** Milliseconds for one answer of AD FS. */
  readonly deadline: number;
}

export interface Token {
  readonly accessToken: string;
  /** Milliseconds from its issue for which it holds. */
  readonly lifetime: number;
}

/** Gets tokens from AD FS; keeps what it needs to get the next one without the password. */
export interface Grant {
  /** @throws GrantRefused @throws AuthorityUnreachable */
  token(): Promise<Token>;
}

/** AD FS will not give a token; the message says why. */
export class GrantRefused extends Error {
  override readonly name = 'GrantRefused';
}

/** A token is renewed so many milliseconds before its end: for what is under way, and for clocks that differ a little. */
const EARLY = 60_000;

/**
 * Claims-based authentication: a token of AD FS for the service's user. It is kept until shortly before its end; one that Customer
 * Engagement refuses before is renewed once, since it may have been revoked.
 */
export function adfs(settings: AdfsSettings): Authentication {
  const endpoint = new TokenEndpoint(settings.authority, settings);
  const grant = settings.version === '2016' ? formGrant(settings, endpoint) : msalGrant(settings, endpoint);
  let held: { readonly token: string; readonly until: number } | undefined;
  let asking: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    const begun = Date.now();
    const { accessToken, lifetime } = await grant.token().catch((error: unknown) => Promise.reject(asRefusal(error)));
    held = { token: accessToken, until: begun + Math.max(lifetime - EARLY, lifetime / 2) };
    return accessToken;
  };
  /** Those who need one at the same time share it. */
  const token = (refused?: string): Promise<string> => {
    if (held !== undefined && held.token !== refused && Date.now() < held.until) return Promise.resolve(held.token);
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  return {
    method: `AD FS ${settings.version}`,
    async send(request, connection, signal) {
      const send = (value: string) =>
        connection.exchange({ ...request, headers: { ...request.headers, authorization: `Bearer ${value}` } }, signal);
      const first = await token();
      const answer = await send(first);
      if (answer.status !== 401) return answer;
      const second = await token(first);
      const last = second === first ? answer : await send(second);
      const why = last.status === 401 ? refusedByClock(second, last) : undefined;
      if (why !== undefined) throw new CustomerEngagementError('credentials', why, { status: last.status });
      return last;
    },
    close: () => endpoint.close(),
  };
}

/** In seconds since 1970 (RFC 7519, 4.1). */
const Claims = z.object({ nbf: z.number().optional(), exp: z.number().optional() });

/** Why a server refuses a token that has just been given: by its own clock the token does not hold yet, or any more. */
function refusedByClock(token: string, { headers }: Answer): string | undefined {
  const now = Date.parse(String(headers.date));
  const claims = claimsOf(token);
  if (Number.isNaN(now) || claims === undefined) return undefined;
  const { nbf = 0, exp = Number.POSITIVE_INFINITY } = claims;
  const isEarly = nbf * 1000 > now;
  if (!isEarly && exp * 1000 > now) return undefined;
  const [bound, when] = isEarly ? ['from', nbf] : ['until', exp];
  const minutes = Math.ceil(Math.abs(when * 1000 - now) / 60_000);
  const holds = `a token of AD FS holds ${bound} ${new Date(when * 1000).toISOString()}, and the clock of the server shows ${new Date(now).toISOString()}`;
  return `refused, status 401: ${holds}: their clocks differ by ${minutes} min or more, set them right`;
}

/** AD FS gives JWTs; nothing that is decided depends on what is read here. */
function claimsOf(token: string): z.infer<typeof Claims> | undefined {
  try {
    return Claims.safeParse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())).data;
  } catch {
    return undefined;
  }
}

function asRefusal(error: unknown): unknown {
  if (error instanceof GrantRefused) return new CustomerEngagementError('credentials', `AD FS gives no token: ${error.message}`);
  if (error instanceof AuthorityUnreachable) {
    return new CustomerEngagementError('transient', `AD FS cannot be asked for a token: ${error.message}`, { cause: error });
  }
  return error;
}

/** OAuth 2.0 error answers (RFC 6749, 5.2), with what to do where that is known. */
const ADVICE: Readonly<Record<string, string>> = {
  invalid_grant: 'the user name or password is wrong, or the account may not log on',
  invalid_client: 'the client id is wrong, or what it proves itself with',
  unauthorized_client: 'the client may not use this resource: Grant-AdfsApplicationPermission',
  unsupported_grant_type: 'AD FS allows no user name and password for this client',
  invalid_resource: 'the resource is not the identifier of a relying party: the slash at its end counts',
  invalid_scope: 'the resource is not the identifier of a relying party: the slash at its end counts',
};

/** For a person; AD FS explains its refusals with a code (MSIS…), and never with a secret. */
export function refusal(code: string, description: string): GrantRefused {
  // The library wraps what was said into more than that.
  const [, said = description] = /Description: (.*?) - Correlation ID:/s.exec(description) ?? [];
  const words = said.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
  const advice = /MSIS9602/.test(description) ? ADVICE.invalid_resource : ADVICE[code];
  return new GrantRefused([advice, `${code}${words === '' ? '' : `: ${words}`}`].filter((part) => part !== undefined).join('; '));
}
