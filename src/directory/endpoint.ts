import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type ConnectionOptions, getCACertificates } from 'node:tls';
import { DirectoryError } from '../../streams/directory-source.ts';
import { failed, printable } from './failure.ts';

/** Where a domain controller listens, as a URL of the configuration says. */
export interface Endpoint {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** `starttls` begins in clear text and goes on encrypted before anything is said. */
  readonly security: 'tls' | 'starttls' | 'none';
}

/** Labels of DNS, where some have an underscore (RFC 1123 2.1). */
const HOST = /^(?=.{1,255}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?$/i;

/** @throws DirectoryError of kind 'configuration' */
export function parseEndpoint(url: string, allowClearText: boolean): Endpoint {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new DirectoryError('configuration', `Not a URL: expected ldaps://HOST[:PORT] or ldap://HOST[:PORT]`);
  }
  const { protocol, hostname, port, pathname, search, hash, username, password } = parsed;
  const rest = username + password + search + hash + pathname.replace(/^\/$/, '');
  if ((protocol !== 'ldaps:' && protocol !== 'ldap:') || hostname === '' || rest !== '') {
    throw new DirectoryError(
      'configuration',
      `Expected ldaps://HOST[:PORT] or ldap://HOST[:PORT] and nothing more, not a URL with ${protocol}//`,
    );
  }
  const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (isIP(host) === 0 && !HOST.test(host)) throw new DirectoryError('configuration', `${printable(host)} is no host name`);
  const tls = protocol === 'ldaps:';
  const usual = tls ? '636' : '389';
  return {
    url: `${protocol}//${hostname.toLowerCase()}${port === usual ? '' : port && `:${port}`}`,
    host,
    port: Number(port || usual),
    security: tls ? 'tls' : allowClearText ? 'none' : 'starttls',
  };
}

/**
 * What a server's certificate is checked against: the file's CAs alone, or those this system trusts. Read at each
 * connecting, so that a renewed file counts.
 *
 * @throws DirectoryError of kind 'configuration'
 */
export function trustedCertificates(caFile: string | undefined): string[] {
  if (caFile === undefined) return getCACertificates('system');
  try {
    const pem = readFileSync(caFile, 'utf8');
    // TLS itself would take a file without any certificate for an empty list and then refuse every server.
    new X509Certificate(pem);
    return [pem];
  } catch (error) {
    throw failed('configuration', `The CA file ${caFile} cannot be used`, error);
  }
}

/** The certificate has to be the configured host's; without a servername TLS compares with the address connected to. */
export function tlsOptions({ host }: Endpoint, ca: string[]): ConnectionOptions {
  return { host, ca, ...(isIP(host) === 0 && { servername: host }) };
}
