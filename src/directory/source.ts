import { DirectoryError, type DirectorySession, type DirectorySource } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { type Candidate, chooseDomainController } from './choice.ts';
import { type Credentials, givenUp, LdapConnection } from './connection.ts';
import { type Endpoint, parseEndpoint, trustedCertificates } from './endpoint.ts';
import type { Warn } from './entry.ts';
import { failed } from './failure.ts';
import { resumeFrom } from './resume.ts';
import { readDomainController } from './root-dse.ts';
import { LdapSession } from './session.ts';

export interface DirectorySettings {
  /** ldaps://HOST[:PORT], or ldap://HOST[:PORT] with StartTLS, each naming one domain controller; in order of preference. */
  readonly urls: readonly string[];
  /** A DN, a userPrincipalName or DOMAIN\name. */
  readonly bindDn: string;
  /** Asked at each logon, so that a changed file counts. */
  readonly password: () => string | Promise<string>;
  /** PEM file of the CAs that sign the domain controllers' certificates; without it, the CAs that this system trusts. */
  readonly caFile?: string | undefined;
  /** Sends the password over ldap:// without encryption. */
  readonly allowClearText?: boolean | undefined;
  /** Milliseconds within which the server has to answer, connecting and logging on included. Default 5,000. */
  readonly deadline?: number | undefined;
  /** Observations of one page at most. Default 500. */
  readonly pageSize?: number | undefined;
  /** Milliseconds that the first entry of a full read, and of the first read after opening, may take. Default 120,000, a domain controller's own limit. */
  readonly patience?: number | undefined;
  /** Milliseconds between two heartbeats. Default 60,000. */
  readonly heartbeat?: number | undefined;
  /** Told of values and entries that were set aside. */
  readonly warn?: Warn | undefined;
}

/**
 * The users of an Active Directory domain, by DirSync over LDAP.
 *
 * @throws DirectoryError of kind 'configuration' when an address is wrong
 */
export function ldapDirectorySource(settings: DirectorySettings): DirectorySource {
  const { urls, deadline = 5_000, pageSize = 500, patience = 120_000, heartbeat = 60_000, warn = () => {} } = settings;
  if (urls.length === 0) throw new DirectoryError('configuration', 'No domain controller is named');
  const endpoints = urls.map((url) => parseEndpoint(url, settings.allowClearText === true));

  const open = async (find: (namingContext: string) => Position | undefined, signal: AbortSignal): Promise<DirectorySession> => {
    const ca = trustedCertificates(settings.caFile);
    const credentials: Credentials = { dn: settings.bindDn, password: await readPassword(settings) };
    // Until the session is there the signal ends whatever is under way, also where a server that hangs is waited for.
    const opened: LdapConnection[] = [];
    const giveUp = () => {
      for (const connection of opened) connection.fail(givenUp(signal));
    };
    const connect = async (endpoint: Endpoint, address?: string): Promise<LdapConnection> => {
      const connection = await LdapConnection.open({ endpoint, address, ca, deadline }, credentials, signal);
      opened.push(connection);
      if (signal.aborted) giveUp();
      return connection;
    };
    const reach = async (endpoint: Endpoint): Promise<Candidate & { endpoint: Endpoint }> => {
      const connection = await connect(endpoint);
      try {
        return { endpoint, connection, here: await readDomainController(connection, warn) };
      } catch (error) {
        await connection[Symbol.asyncDispose]();
        throw error;
      }
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const { endpoint, connection, here, stored } = await chooseDomainController(
        endpoints.map((endpoint) => () => reach(endpoint)),
        find,
      );
      try {
        // A name can stand for several servers: the second connection goes to the very one that answered.
        const control = await connect(endpoint, connection.address);
        return await LdapSession.start(connection, control, here, resumeFrom(stored, here), { pageSize, patience, heartbeat, warn });
      } catch (error) {
        await connection[Symbol.asyncDispose]();
        throw error;
      }
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  };
  return { name: endpoints.map(({ url }) => url).join(', '), open };
}

async function readPassword({ password }: DirectorySettings): Promise<string> {
  try {
    return await password();
  } catch (error) {
    throw failed('configuration', 'The password for the directory cannot be read', error);
  }
}
