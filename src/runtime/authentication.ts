import { readFileSync } from 'node:fs';
import type { Auth } from '../config/organization.ts';
import { adfs } from '../customer-engagement/adfs/adfs.ts';
import { type Authentication, basic, bearer } from '../customer-engagement/authentication.ts';
import { kerberos, prepareKerberos } from '../customer-engagement/kerberos.ts';
import { ntlm } from '../customer-engagement/ntlm/ntlm.ts';
import { type Mechanism, windows } from '../customer-engagement/windows.ts';
import { secret } from './secret.ts';

interface Place {
  /** Of the organization. */
  readonly url: string;
  /** Milliseconds for one answer. */
  readonly deadline: number;
  readonly stateDirectory: string;
  readonly warn: (message: string) => void;
}

/** The way of logging on that the settings ask for; nothing is connected yet. @throws Error when the settings cannot be used */
export function authentication(auth: Auth, place: Place): Authentication {
  switch (auth.method) {
    case 'bearer':
      return bearer(secret(auth.token, auth.tokenFile));
    case 'basic':
      return basic(auth.user, secret(auth.password, auth.passwordFile));
    case 'windows':
      return windows(
        auth.mechanisms.map((name) => (name === 'kerberos' ? kerberosOf(auth, place) : ntlmOf(auth, place))),
        place.warn,
      );
    case 'adfs':
      return adfsOf(auth, place);
  }
}

type Windows = Extract<Auth, { method: 'windows' }>;

function kerberosOf({ keytab, cache, krb5Config, principal, mutual, spn }: Windows, { url, deadline, stateDirectory }: Place): Mechanism {
  prepareKerberos({ keytab, cache, config: krb5Config, stateDirectory });
  return kerberos({ service: spnOf(spn, url).replace('/', '@'), principal, mutual, deadline });
}

function ntlmOf({ user = '', password, passwordFile, spn }: Windows, { url }: Place): Mechanism {
  return ntlm({ user, readPassword: secret(password, passwordFile), spn: spnOf(spn, url) });
}

function spnOf(spn: string | undefined, url: string): string {
  return spn ?? `HTTP/${new URL(url).hostname}`;
}

function adfsOf(auth: Extract<Auth, { method: 'adfs' }>, { deadline }: Place): Authentication {
  const { authority, version, clientId, clientSecret, clientSecretFile, clientCertificateFile, clientKeyFile, resource, caFile, user } =
    auth;
  const isConfidential = clientSecret !== undefined || clientSecretFile !== undefined;
  const clientCertificate =
    clientCertificateFile === undefined || clientKeyFile === undefined
      ? undefined
      : { certificate: readFileSync(clientCertificateFile, 'utf8'), privateKey: readFileSync(clientKeyFile, 'utf8') };
  return adfs({
    authority,
    version,
    clientId,
    readClientSecret: isConfidential ? secret(clientSecret, clientSecretFile) : undefined,
    clientCertificate,
    resource,
    user,
    readPassword: secret(auth.password, auth.passwordFile),
    ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
    deadline,
  });
}
