import { CustomerEngagementError } from '../../../streams/customer-engagement.ts';
import { all } from '../answers.ts';
import type { Answer, Connection, Request } from '../transport.ts';
import { challengeOf, type Mechanism, MechanismUnavailable } from '../windows.ts';
import { authenticateMessage, type Credentials, negotiateMessage, parseChallenge } from './messages.ts';

export interface NtlmSettings {
  /** `DOMAIN\name` or a UPN. */
  readonly user: string;
  readonly readPassword: () => string | Promise<string>;
  /** Service principal name. */
  readonly spn: string;
}

/** A connection that is cut between two legs begins anew, so often. */
const TRIES = 3;

/**
 * NTLM over HTTP (MS-NTHT): what logs on is the connection, so that all legs go over one and later requests over it need nothing. The
 * legs are sent as a read even for a write, which goes out once, when the connection is logged on.
 */
export function ntlm(settings: NtlmSettings): Mechanism {
  /** By connection, the number that it had when it was logged on. */
  const loggedOn = new WeakMap<Connection, number>();
  return {
    name: 'ntlm',
    async send(request, connection, signal) {
      for (let left = TRIES; ; left--) {
        if (loggedOn.get(connection) === connection.number && connection.number > 0) {
          const answer = await connection.exchange(request, signal);
          // A 401 says that nothing was done: the server has forgotten the connection, or it is a new one.
          if (answer.status !== 401 || left === 0) return answer;
          loggedOn.delete(connection);
        }
        const { answer, isWhole } = await logOn(request, connection, settings, signal);
        const { status } = answer;
        if (!isWhole && left > 0) continue;
        if (status === 401) throw refusal(answer);
        // Somebody in between, or a server that fails, says nothing of a logon.
        if (isWhole && status !== 407 && status < 500) loggedOn.set(connection, connection.number);
        if (request.method === 'GET' || status === 407) return answer;
        if (status >= 500)
          throw new CustomerEngagementError('transient', `answered a logon with status ${status}; nothing was written`, { status });
      }
    },
  };
}

/** A wrong password and a connection that was spread over several look alike: the server that gets the last leg knows nothing of the first. */
function refusal(answer: Answer): CustomerEngagementError {
  const via = all(answer, 'via').join(', ');
  const between = via === '' ? 'something' : `the proxy (Via: ${via.slice(0, 80)})`;
  const reasons = [
    'user or password is wrong',
    'the account may not log on',
    `${between} in between does not keep the connection as one, which NTLM needs`,
  ];
  return new CustomerEngagementError('credentials', `the server refused the logon by ntlm (status 401): ${reasons.join(', or ')}`, {
    status: answer.status,
  });
}

/** @returns the answer to the last leg, and whether all legs went over one connection */
async function logOn(
  request: Request,
  connection: Connection,
  settings: NtlmSettings,
  signal: AbortSignal | undefined,
): Promise<{ answer: Answer; isWhole: boolean }> {
  const leg = (scheme: string, message: Buffer) => {
    const authorization = `${scheme} ${message.toString('base64')}`;
    const { 'content-type': _, 'if-match': __, prefer: ___, ...headers } = request.headers;
    return connection.exchange(
      {
        method: 'GET',
        path: request.path,
        headers: request.method === 'GET' ? { ...request.headers, authorization } : { ...headers, authorization },
      },
      signal,
    );
  };
  const negotiate = negotiateMessage();
  const first = await leg('NTLM', negotiate);
  const begun = connection.number;
  // It may not want to know who is there.
  if (first.status !== 401) return { answer: first, isWhole: true };
  const token = challengeOf(first, 'NTLM');
  if (token === undefined) throw new MechanismUnavailable('the server does not offer it');
  if (token === '') return { answer: first, isWhole: false };
  const message = authenticateMessage(negotiate, challengeIn(token), await credentials(settings), {
    spn: settings.spn,
    certificate: connection.certificate,
  });
  const answer = await leg('NTLM', message);
  return { answer, isWhole: connection.number === begun };
}

function challengeIn(token: string): ReturnType<typeof parseChallenge> {
  try {
    return parseChallenge(Buffer.from(token, 'base64'));
  } catch (error) {
    throw new CustomerEngagementError('transient', error instanceof Error ? error.message : String(error));
  }
}

async function credentials({ user, readPassword }: NtlmSettings): Promise<Credentials> {
  const [domain, name] = user.split('\\');
  const password = await readPassword();
  return name === undefined ? { user, domain: '', password } : { user: name, domain: domain ?? '', password };
}
