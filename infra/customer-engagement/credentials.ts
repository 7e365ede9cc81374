import { timingSafeEqual } from 'node:crypto';
import type { Answer } from './exchange.ts';
import { page } from './web-api.ts';

/** What the server accepts. */
export interface Accepted {
  readonly token?: string | undefined;
  readonly basic?: { readonly user: string; readonly password: string } | undefined;
}

/** Who calls, or undefined when the Authorization header proves nothing. */
export function identify(accepted: Accepted, header: string | undefined): string | undefined {
  const [, scheme = '', value = ''] = /^(\S+) (.+)$/.exec(header ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer' && accepted.token !== undefined) return same(value, accepted.token) ? 'bearer' : undefined;
  if (scheme.toLowerCase() !== 'basic' || accepted.basic === undefined) return undefined;
  const { user, password } = accepted.basic;
  return same(value, Buffer.from(`${user}:${password}`).toString('base64')) ? `basic ${user}` : undefined;
}

/** The answer to whom it does not know: a web page, as IIS sends it before the API is reached. */
export function challenge(accepted: Accepted, origin: string): Answer {
  const bearer = `Bearer authorization_uri=${origin}/adfs/oauth2/authorize, resource_id=${origin}/`;
  const challenges = [
    ...(accepted.token === undefined ? [] : [bearer]),
    ...(accepted.basic === undefined ? [] : [`Basic realm="${origin}"`]),
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
