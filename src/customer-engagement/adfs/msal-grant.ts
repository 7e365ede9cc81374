import { createHash, X509Certificate } from 'node:crypto';
import {
  type AccountInfo,
  AuthError,
  type AuthenticationResult,
  ConfidentialClientApplication,
  type Configuration,
  type INetworkModule,
  ProtocolMode,
  PublicClientApplication,
  ServerError,
} from '@azure/msal-node';
import { type AdfsSettings, type Grant, refusal, type Token } from './adfs.ts';
import { AuthorityUnreachable, type HttpAnswer, type TokenEndpoint } from './token-endpoint.ts';

/** AD FS 2019 and newer, by the Microsoft library: it knows scopes, refreshes, and signs assertions with a certificate. */
export function msalGrant(settings: AdfsSettings, endpoint: TokenEndpoint): Grant {
  // The library hides why the network failed.
  let unreachable: AuthorityUnreachable | undefined;
  const application = applicationOf(settings, endpoint, (error) => {
    unreachable = error;
  });
  const scopes = [`${settings.resource.replace(/\/$/, '')}/.default`];
  let account: AccountInfo | null = null;
  return {
    async token() {
      unreachable = undefined;
      try {
        // By its refresh token, where there is one; the library says in its own way that there is none.
        const silent = account === null ? undefined : await renewed(application, account, scopes);
        const result =
          silent ??
          (await application.acquireTokenByUsernamePassword({ scopes, username: settings.user, password: settings.readPassword() }));
        if (result === null) throw new AuthorityUnreachable('it gave no token');
        account = result.account;
        return tokenOf(result);
      } catch (error) {
        throw unreachable ?? meant(error);
      }
    },
  };
}

type Application = PublicClientApplication | ConfidentialClientApplication;

async function renewed(application: Application, account: AccountInfo, scopes: string[]): Promise<AuthenticationResult | undefined> {
  try {
    return (await application.acquireTokenSilent({ account, scopes, forceRefresh: true })) ?? undefined;
  } catch (error) {
    if (error instanceof AuthorityUnreachable) throw error;
    return undefined;
  }
}

function tokenOf({ accessToken, expiresOn }: AuthenticationResult): Token {
  return { accessToken, lifetime: (expiresOn?.getTime() ?? 0) - Date.now() };
}

function applicationOf(settings: AdfsSettings, endpoint: TokenEndpoint, onUnreachable: (error: AuthorityUnreachable) => void): Application {
  const { authority, clientId, readClientSecret, clientCertificate } = settings;
  const configuration: Configuration = {
    auth: { clientId, authority: `${authority.replace(/\/$/, '')}/`, knownAuthorities: [new URL(authority).host] },
    system: { networkClient: networkOf(endpoint, onUnreachable), protocolMode: ProtocolMode.OIDC },
  };
  if (clientCertificate !== undefined) {
    const { raw } = new X509Certificate(clientCertificate.certificate);
    const thumbprintSha256 = createHash('sha256').update(raw).digest('hex');
    const certificate = { thumbprintSha256, privateKey: clientCertificate.privateKey };
    return new ConfidentialClientApplication({ ...configuration, auth: { ...configuration.auth, clientCertificate: certificate } });
  }
  if (readClientSecret === undefined) return new PublicClientApplication(configuration);
  return new ConfidentialClientApplication({ ...configuration, auth: { ...configuration.auth, clientSecret: readClientSecret() } });
}

/** The library's own way to the network has no deadline. */
function networkOf(endpoint: TokenEndpoint, onUnreachable: (error: AuthorityUnreachable) => void): INetworkModule {
  const answered = async <T>(asking: Promise<HttpAnswer>): Promise<{ status: number; headers: Record<string, string>; body: T }> => {
    try {
      const { status, headers, body } = await asking;
      if (body === undefined || status >= 500) throw new AuthorityUnreachable(`it answered with status ${status} and no token`);
      return { status, headers, body: body as T };
    } catch (error) {
      if (error instanceof AuthorityUnreachable) onUnreachable(error);
      throw error;
    }
  };
  return {
    sendGetRequestAsync: (url) => answered(endpoint.get(url)),
    sendPostRequestAsync: (url, options) => answered(endpoint.post(url, options?.body ?? '')),
  };
}

function meant(error: unknown): unknown {
  if (error instanceof AuthorityUnreachable) return error;
  if (error instanceof ServerError) return refusal(error.errorCode, error.errorMessage);
  if (error instanceof AuthError) {
    // What the network said stands behind it, or nowhere.
    return new AuthorityUnreachable(`${error.errorCode}: ${error.errorMessage}`.slice(0, 300), { cause: error });
  }
  return error;
}
