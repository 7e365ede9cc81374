import { CustomerEngagementError } from '../../streams/customer-engagement.ts';
import type { Answer, Connection, Request } from './transport.ts';

/**
 * Adds credentials to requests. It sends them itself, so that it can answer a challenge, renew what has expired, or keep
 * the legs of a handshake together; whoever calls it sees one request and its final answer.
 */
export interface Authentication {
  /** For messages; never a secret. */
  readonly method: string;
  /**
   * May send a request again after a 401, which says that nothing was done, and after nothing else. A 401 that it returns is final.
   *
   * @throws TransportError
   * @throws CustomerEngagementError 'credentials' when there are none to send
   */
  send(request: Request, connection: Connection, signal?: AbortSignal): Promise<Answer>;
  /** Ends what it keeps open. */
  close?(): Promise<void>;
}

/** Where a secret comes from. Asked for every request, so that a changed file counts; the text is used as it is. */
export type SecretReader = () => string | Promise<string>;

/** A token got by other means (RFC 6750). White space around it is no part of it. */
export function bearer(readToken: SecretReader): Authentication {
  return byHeader('bearer', async () => {
    const token = (await read('token', readToken)).trim();
    if (!/^[\w\-.~+/]+=*$/.test(token)) throw new CustomerEngagementError('credentials', 'the token is empty or not a bearer token');
    return `Bearer ${token}`;
  });
}

/** RFC 7617, in UTF-8. */
export function basic(user: string, readPassword: SecretReader): Authentication {
  if (user.includes(':')) throw new TypeError('a user name for Basic authentication cannot hold a colon');
  return byHeader('basic', async () => `Basic ${Buffer.from(`${user}:${await read('password', readPassword)}`).toString('base64')}`);
}

function byHeader(method: string, authorization: () => Promise<string>): Authentication {
  return {
    method,
    async send(request, connection, signal) {
      const send = (value: string) => connection.exchange({ ...request, headers: { ...request.headers, authorization: value } }, signal);
      const first = await authorization();
      const answer = await send(first);
      if (answer.status !== 401) return answer;
      // Only what has changed meanwhile is worth a second try: the same secret over and over would lock the account out.
      const second = await authorization();
      return second === first ? answer : await send(second);
    },
  };
}

async function read(what: string, reader: SecretReader): Promise<string> {
  try {
    return await reader();
  } catch (error) {
    // A system error names a file; the text of any other might hold a part of the secret.
    const why = error instanceof Error && 'syscall' in error ? `: ${error.message}` : '';
    throw new CustomerEngagementError('credentials', `the ${what} cannot be read${why}`);
  }
}
