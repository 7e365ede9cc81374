import { CustomerEngagementError } from '../../streams/customer-engagement.ts';
import { doubt, type Purpose } from './refusals.ts';
import type { TransportError } from './transport.ts';

const UNTRUSTED = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
]);

/** What it means that no whole answer came. */
export function unreached(error: TransportError, purpose: Purpose): CustomerEngagementError {
  const failure = error.sent ? doubt(purpose) : 'transient';
  const open = error.sent && purpose === 'write' ? '; the record may have been written' : '';
  return new CustomerEngagementError(failure, `${describe(error)}${open}`, { cause: error });
}

function describe(error: TransportError): string {
  const code = codeOf(error.cause);
  if (code === undefined) return error.message;
  if (UNTRUSTED.has(code))
    return `the server's certificate is not trusted (${code}): set caFile to the certificate of the authority that issued it`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the server's certificate is for another name (${code}): check the host in url`;
  if (code === 'CERT_HAS_EXPIRED') return `the server's certificate has expired (${code})`;
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return 'the answer is too large to be one of the Web API';
  return error.sent ? `cut off (${code})` : `cannot be reached (${code})`;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
