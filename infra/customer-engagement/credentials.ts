import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Answer } from './exchange.ts';
import { page } from './web-api.ts';
import type { WindowsLogonSettings } from './windows-logon.ts';

/** What the server accepts. */
export interface Accepted {
  readonly token?: string | undefined;
  readonly basic?: { readonly user: string; readonly password: string } | undefined;
  readonly windows?: WindowsLogonSettings | undefined;
  readonly proxy?: { readonly user: string; readonly secret: string } | undefined;
}

/** Who calls, or undefined when the Authorization header proves nothing. */
export function identify(accepted: Accepted, header: string | undefined): string | undefined {
  const [, scheme = '', value = ''] = /^(\S+) (.+)$/.exec(header ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer' && accepted.token !== undefined) return same(value, accepted.token) ? 'bearer' : undefined;
  if (scheme.toLowerCase() !== 'basic' || accepted.basic === undefined) return undefined;
  const { user, password } = accepted.basic;
  return same(value, Buffer.from(`${user}:${password}`).toString('base64')) ? `basic ${user}` : undefined;
}

/** Whom a trusted proxy has checked. */
export function identifiedByProxy({ proxy }: Accepted, headers: IncomingHttpHeaders): string | undefined {
  const { 'x-remote-user': user, 'x-proxy-secret': secret } = headers;
  if (proxy === undefined || typeof user !== 'string' || typeof secret !== 'string') return undefined;
  return same(secret, proxy.secret) && user === proxy.user ? `proxy ${user}` : undefined;
}

/**
 * The answer to whom it does not know: a web page, as IIS sends it before the API is reached.
 *
 * @param token the next one of an NTLM handshake
 */
export function challenge(accepted: Accepted, origin: string, token?: string): Answer {
  const bearer = `Bearer authorization_uri=${origin}/adfs/oauth2/authorize, resource_id=${origin}/`;
  const challenges = [
    ...(accepted.windows === undefined ? [] : [token === undefined ? 'NTLM' : `NTLM ${token}`]),
    ...(accepted.token === undefined || token !== undefined ? [] : [bearer]),
    ...(accepted.basic === undefined || token !== undefined ? [] : [`Basic realm="${origin}"`]),
  ];
  return page(
    401,
    'Unauthorized: Access is denied due to invalid credentials.',
    'You do not have permission to view this directory or page.',
    {
      'www-authenticate': challenges,
    },
  );
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
