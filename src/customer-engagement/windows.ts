import { CustomerEngagementError } from '../../streams/customer-engagement.ts';
import { all } from './answers.ts';
import type { Authentication } from './authentication.ts';
import type { Answer, Connection, Request } from './transport.ts';

/** One way of Integrated Windows Authentication. */
export interface Mechanism {
  readonly name: 'kerberos' | 'ntlm';
  /**
   * Sends a request with credentials; a 401 that it returns is the server's last word.
   *
   * @throws MechanismUnavailable when it cannot be used here and now, with nothing done
   * @throws TransportError
   */
  send(request: Request, connection: Connection, signal?: AbortSignal): Promise<Answer>;
}

/** A mechanism cannot be used: there is no ticket, or the server does not take it. Another one may. */
export class MechanismUnavailable extends Error {
  override readonly name = 'MechanismUnavailable';
}

/**
 * Integrated Windows Authentication by the first of these mechanisms that can be used. Whenever one is passed over, that is said: the
 * next one may be weaker.
 *
 * @param warn told of each, once until it changes
 */
export function windows(mechanisms: readonly Mechanism[], warn: (message: string) => void): Authentication {
  let told = '';
  return {
    method: `windows (${mechanisms.map(({ name }) => name).join(', ')})`,
    async send(request, connection, signal) {
      const failures: string[] = [];
      for (const mechanism of mechanisms) {
        try {
          const answer = await mechanism.send(request, connection, signal);
          const passedOver = failures.join('; ');
          if (passedOver !== told) {
            told = passedOver;
            warn(passedOver === '' ? `logging on by ${mechanism.name} again` : `logging on by ${mechanism.name}, since ${passedOver}`);
          }
          return answer;
        } catch (error) {
          if (!(error instanceof MechanismUnavailable)) throw error;
          failures.push(`${mechanism.name} cannot be used: ${error.message}`);
        }
      }
      throw new CustomerEngagementError('credentials', failures.join('; '));
    },
  };
}

/** The token that a challenge carries for one of these schemes; empty where it names the scheme alone, undefined where it names none. */
export function challengeOf(answer: Answer, scheme: 'Negotiate' | 'NTLM'): string | undefined {
  for (const text of all(answer, 'www-authenticate')) {
    const [, token = ''] = new RegExp(`^${scheme}(?: +([A-Za-z0-9+/=]+))?$`, 'i').exec(text) ?? [];
    if (new RegExp(`^${scheme}(?: |$)`, 'i').test(text)) return token;
  }
  return undefined;
}
