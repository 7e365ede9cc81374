import { DirectoryError, type DirectoryFailure } from '../../streams/directory-source.ts';
import type { LdapResult } from './message.ts';

/** Result codes of RFC 4511 appendix A that decide what to do next. */
export const ResultCode = {
  success: 0,
  operationsError: 1,
  protocolError: 2,
  adminLimitExceeded: 11,
  unavailableCriticalExtension: 12,
  noSuchObject: 32,
  invalidCredentials: 49,
  insufficientAccessRights: 50,
} as const;

const FAILURES: ReadonlyMap<number, DirectoryFailure> = new Map([
  [1, 'unavailable'], // operationsError: not bound (any more), or the server's own trouble
  [3, 'unavailable'], // timeLimitExceeded
  [4, 'unavailable'], // sizeLimitExceeded: Samba counts all replies of one request
  [11, 'unavailable'], // adminLimitExceeded
  [49, 'credentials'],
  [50, 'rights'],
  [51, 'unavailable'], // busy
  [52, 'unavailable'],
  [80, 'unavailable'], // other
]);

/** What the "data" in Active Directory's answer to a refused bind means. */
const BIND_REASONS: ReadonlyMap<string, string> = new Map([
  ['525', 'no such account'],
  ['52e', 'wrong password'],
  ['530', 'not allowed to log on at this time'],
  ['531', 'not allowed to log on from this computer'],
  ['532', 'the password has expired'],
  ['533', 'the account is disabled'],
  ['701', 'the account has expired'],
  ['773', 'the password has to be changed first'],
  ['775', 'the account is locked out'],
]);

/** The error that a result other than success means; `what` says what was asked for, as the subject of a sentence. */
export function refusal(result: LdapResult, what: string): DirectoryError {
  const failure = FAILURES.get(result.code) ?? 'configuration';
  return new DirectoryError(failure, `${what} was refused (${inWords(result)})${advice(result)}`);
}

/** For errors. */
export function inWords({ code, diagnostic }: LdapResult): string {
  const text = printable(diagnostic);
  return `LDAP result ${code}${text === '' ? '' : `: ${text}`}`;
}

/** What a server wrote, fit for a line of a log. Windows ends its texts with a NUL, and nobody shall write lines of their own into a log. */
export function printable(text: string): string {
  return text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 500);
}

function advice(result: LdapResult): string {
  if (result.code === ResultCode.invalidCredentials) {
    const data = /\bdata ([0-9a-f]{3,8})\b/i.exec(result.diagnostic)?.[1]?.toLowerCase();
    const reason = data === undefined ? undefined : BIND_REASONS.get(data);
    return reason === undefined ? '' : `: ${reason}`;
  }
  if (result.code === 8 || result.code === 13) return ': use ldaps:// or StartTLS';
  return '';
}

/** Wraps what sockets, files and the runtime throw; their messages name addresses and paths, never a secret. */
export function failed(failure: DirectoryFailure, what: string, cause: unknown): DirectoryError {
  if (cause instanceof DirectoryError) return cause;
  return new DirectoryError(failure, `${what}: ${printable(cause instanceof Error ? describe(cause) : String(cause))}`, { cause });
}

function describe(error: Error): string {
  // A connect to several addresses fails with an AggregateError whose own message is empty.
  if (error instanceof AggregateError) return error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join(', ');
  return error.message;
}
