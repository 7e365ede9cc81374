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
import { AuthorityUnreachable, type TokenEndpoint } from './token-endpoint.ts';

/** AD FS 2019 and newer, by the Microsoft library: it knows scopes, refreshes, and signs assertions with a certificate. */
export function msalGrant(settings: AdfsSettings, endpoint: TokenEndpoint): Grant {
  const application = applicationOf(settings, endpoint);
  const scopes = [`${settings.resource.replace(/\/$/, '')}/.default`];
  let account: AccountInfo | null = null;
  return {
    async token() {
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
        throw meant(error);
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

function applicationOf(settings: AdfsSettings, endpoint: TokenEndpoint): Application {
  const { authority, clientId, readClientSecret, clientCertificate } = settings;
  const configuration: Configuration = {
    auth: { clientId, authority: `${authority.replace(/\/$/, '')}/`, knownAuthorities: [new URL(authority).host] },
    system: { networkClient: networkOf(endpoint), protocolMode: ProtocolMode.OIDC },
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

/** The library's own way to the network has no deadline and hides why it failed. */
function networkOf(endpoint: TokenEndpoint): INetworkModule {
  return {
    async sendGetRequestAsync(url) {
      return asMsal(await endpoint.get(url));
    },
    async sendPostRequestAsync(url, options) {
      return asMsal(await endpoint.post(url, options?.body ?? ''));
    },
  };
}

function asMsal<T>({ status, headers, body }: Awaited<ReturnType<TokenEndpoint['get']>>): {
  status: number;
  headers: Record<string, string>;
  body: T;
} {
  if (body === undefined || status >= 500) throw new AuthorityUnreachable(`it answered with status ${status} and no token`);
  return { status, headers, body: body as T };
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
