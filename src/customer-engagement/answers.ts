import { z } from 'zod';
import { CustomerEngagementError, type CustomerEngagementFailure } from '../../streams/customer-engagement.ts';
import { doubt, failureOf, type Purpose } from './refusals.ts';
import type { Answer } from './transport.ts';

const DAY = 24 * 60 * 60 * 1000;

/** The three dialects: 8.2 and 9.0 with an empty code and the true text inside, OData's own, 9.1 with a code. */
const ErrorBody = z.object({
  error: z.object({
    // A part that is odd must not hide the rest.
    code: z.string().optional().catch(undefined),
    message: z.string(),
    innererror: z.object({ message: z.string().optional() }).optional().catch(undefined),
  }),
});

/** @throws CustomerEngagementError when the answer is not JSON of this shape with status 200 */
export function readAnswer<S extends z.ZodType>(answer: Answer, schema: S, purpose: Purpose): z.output<S> {
  if (answer.status < 200 || answer.status > 299) throw refusal(answer, purpose);
  const body = answer.status === 200 ? readJson(answer) : undefined;
  if (body === undefined) throw notTheApi(answer, purpose);
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  const where = issue === undefined ? '' : `: ${issue.path.join('.')}: ${issue.message}`;
  throw new CustomerEngagementError(doubt(purpose), `the answer is not what the Web API sends${where}`, { status: answer.status });
}

function notTheApi(answer: Answer, purpose: Purpose): CustomerEngagementError {
  const type = mediaType(answer);
  const details = { status: answer.status };
  if (type === 'text/html') {
    const failure = purpose === 'write' ? 'unknown-outcome' : 'credentials';
    return new CustomerEngagementError(
      failure,
      'answered with a web page, likely to sign in, instead of data: check url and auth',
      details,
    );
  }
  const what = type === 'application/json' ? 'JSON that is cut off or damaged' : oneLine(type ?? 'no content type');
  return new CustomerEngagementError(doubt(purpose), `answered ${answer.status} with ${what} instead of data`, details);
}

function refusal(answer: Answer, purpose: Purpose): CustomerEngagementError {
  const read = ErrorBody.safeParse(readJson(answer));
  const error = read.success ? read.data.error : undefined;
  const texts = error === undefined ? [] : [error.message, error.innererror?.message ?? ''];
  const code = parseCode(error?.code);
  const failure = failureOf({ status: answer.status, code, message: error && texts.join('\n') }, purpose);
  const details = { status: answer.status, code, retryAfter: retryAfter(answer) };
  return new CustomerEngagementError(failure, `${said(answer, texts, code)}${advice(failure, answer)}`, details);
}

function said(answer: Answer, texts: readonly string[], code: number | undefined): string {
  // 8.2 hides the text that matters behind one that says nothing.
  const text = texts.find((candidate) => candidate !== '' && !/^an (unexpected )?error (has )?occurred\.?$/i.test(candidate)) ?? texts[0];
  const numbers = code ? `0x${code.toString(16).toUpperCase()}, status ${answer.status}` : `status ${answer.status}`;
  return text ? `refused: ${oneLine(text)} (${numbers})` : `answered with ${numbers}`;
}

function advice(failure: CustomerEngagementFailure, answer: Answer): string {
  if (answer.status >= 300 && answer.status < 400) return ', a redirect, which is not followed: check url and auth';
  if (answer.status === 401) {
    const schemes = all(answer, 'www-authenticate').map((challenge) => /^[\w-]+/.exec(challenge)?.[0]);
    return schemes.length === 0 ? ': check auth' : `: check auth; the server offers ${schemes.join(', ')}`;
  }
  if (answer.status === 407)
    return ', by a proxy in between that asks for credentials of its own and gets none: have it let the service through';
  if (answer.status === 502 || answer.status === 504) return ', by something in between that gets no answer from the server';
  if (answer.status === 404 && failure !== 'missing') return ': check url and apiVersion';
  if (failure === 'credentials') return ': check auth';
  if (failure === 'privilege') return ': the service needs prvReadUser and prvWriteUser, and must be an enabled user';
  return '';
}

function readJson(answer: Answer): unknown {
  if (mediaType(answer) !== 'application/json') return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(answer.body));
  } catch {
    return undefined;
  }
}

function mediaType(answer: Answer): string | undefined {
  return header(answer, 'content-type')?.split(';')[0]?.trim().toLowerCase();
}

function header(answer: Answer, name: string): string | undefined {
  return all(answer, name)[0];
}

/** The values of a header; undici gives a list for whatever was sent twice, also where the types of Node say that it cannot be. */
export function all(answer: Answer, name: string): string[] {
  return [answer.headers[name] ?? []].flat();
}

/** Servers write the code as hexadecimal text, in either case, or leave it empty. */
function parseCode(code: string | undefined): number | undefined {
  return code !== undefined && /^0x[0-9a-f]{1,8}$/i.test(code) ? Number.parseInt(code, 16) : undefined;
}

/** RFC 9110, 10.2.3: seconds or a date. In milliseconds from now, at most a day. */
function retryAfter(answer: Answer): number | undefined {
  const value = header(answer, 'retry-after');
  if (value === undefined) return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), DAY);
}

function oneLine(text: string): string {
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
