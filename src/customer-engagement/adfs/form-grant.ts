import { z } from 'zod';
import { type AdfsSettings, type Grant, refusal, type Token } from './adfs.ts';
import { AuthorityUnreachable, type TokenEndpoint } from './token-endpoint.ts';

const Granted = z.object({
  access_token: z.string().min(1),
  expires_in: z.coerce.number().positive(),
  refresh_token: z.string().optional(),
});
const Refused = z.object({ error: z.string(), error_description: z.string().default('') });

/** The token end point of AD FS 2016 directly: it wants `resource`, which the Microsoft library never sends. */
export function formGrant(settings: AdfsSettings, endpoint: TokenEndpoint): Grant {
  const url = `${settings.authority.replace(/\/$/, '')}/oauth2/token`;
  let refreshToken: string | undefined;
  const post = async (fields: Record<string, string>): Promise<Token> => {
    const secret = settings.readClientSecret?.();
    const client = { client_id: settings.clientId, ...(secret !== undefined && { client_secret: secret }), resource: settings.resource };
    const { status, body } = await endpoint.post(url, new URLSearchParams({ ...client, ...fields }).toString());
    const granted = status === 200 ? Granted.safeParse(body) : undefined;
    if (granted?.success) {
      refreshToken = granted.data.refresh_token ?? refreshToken;
      return { accessToken: granted.data.access_token, lifetime: granted.data.expires_in * 1000 };
    }
    const refused = Refused.safeParse(body);
    if (refused.success && status >= 400 && status < 500) throw refusal(refused.data.error, refused.data.error_description);
    throw new AuthorityUnreachable(`its token end point answered with status ${status} and no token`);
  };
  return {
    async token() {
      const renewing = refreshToken;
      if (renewing !== undefined) {
        refreshToken = undefined;
        try {
          return await post({ grant_type: 'refresh_token', refresh_token: renewing });
        } catch (error) {
          // One that is used up is no reason to wait: the password is there.
          if (error instanceof AuthorityUnreachable) throw error;
        }
      }
      return await post({ grant_type: 'password', username: settings.user, password: settings.readPassword() });
    },
  };
}
