import { ApiError, errorBody, faultStatus, notImitated } from './api-error.ts';
import { type Answer, type Exchange, type Organization, parsePrefer } from './exchange.ts';
import { writeUsers } from './users-write.ts';

interface Part {
  readonly contentId: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * POST $batch with one change set of PATCHes to users (page "Execute batch operations using the Web API"). A change set that fails is
 * answered by one error instead of its parts (OData 4.0, 11.7.4).
 *
 * @param resourceOf what stands after the version in an address of this organization, decoded; undefined for any other address
 */
export async function batch(
  organization: Organization,
  exchange: Exchange,
  resourceOf: (target: string) => string | undefined,
): Promise<Answer> {
  const whole = boundaryOf(exchange.headers['content-type']);
  const [set, ...others] = whole === undefined ? [] : split(exchange.body, whole);
  const changes = set === undefined ? undefined : boundaryOf(set.headers['content-type']);
  if (set === undefined || changes === undefined || others.length > 0) throw notImitated('a $batch that is not one change set');
  const parts = split(set.body, changes).map(readPart);
  const contentIds = new Set(parts.map(({ contentId }) => contentId));
  if (contentIds.has('') || contentIds.size < parts.length)
    throw new ApiError('odata', 400, 0, 'Each part of a change set needs a Content-ID of its own.');
  const writes = parts.map(({ method, target, headers, body }) => {
    const id = /^systemusers\(([0-9a-f-]{36})\)$/i.exec(resourceOf(target) ?? '')?.[1]?.toLowerCase();
    if (method !== 'PATCH' || id === undefined) throw notImitated(`${method} ${target} in a change set`);
    return { id, exchange: { ...exchange, method, query: '', headers, body, prefer: parsePrefer(headers.prefer) } };
  });
  try {
    const answers = await writeUsers(organization, writes);
    const within = 'changesetresponse_1';
    const texts = answers.map((answer, index) => part(answer, parts[index]?.contentId));
    return multipart([`Content-Type: multipart/mixed; boundary=${within}\r\n\r\n${joined(texts, within)}`]);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { dialect, settings } = organization;
    const status = error.status ?? settings.faultStatus ?? faultStatus(dialect);
    const headers = { 'content-type': 'application/json; odata.metadata=minimal' };
    return multipart([part({ status, headers, body: errorBody(error, dialect, false) })]);
  }
}

function boundaryOf(contentType: string | undefined): string | undefined {
  return /^multipart\/mixed;\s*boundary="?([^";]+)"?/i.exec(contentType ?? '')?.[1];
}

/** The parts of a multipart body (RFC 2046, 5.1.1), each with its headers. */
function split(body: string, boundary: string): { headers: Record<string, string>; body: string }[] {
  return body
    .split(`--${boundary}`)
    .slice(1)
    .filter((text) => !text.startsWith('--'))
    .map((text) => readHeaders(text.replace(/^\r\n/, '').replace(/\r\n$/, '')));
}

function readHeaders(text: string): { headers: Record<string, string>; body: string } {
  const end = text.indexOf('\r\n\r\n');
  const lines = (end === -1 ? text : text.slice(0, end)).split('\r\n');
  const headers = lines
    .map((line) => /^([^:]+):\s*(.*)$/.exec(line))
    .flatMap((found) => (found === null ? [] : [[String(found[1]).toLowerCase(), String(found[2])]]));
  return { headers: Object.fromEntries(headers), body: end === -1 ? '' : text.slice(end + 4) };
}

function readPart({ headers, body }: { headers: Record<string, string>; body: string }): Part {
  if (headers['content-type'] !== 'application/http')
    throw new ApiError('odata', 400, 0, 'A part of a change set has to be application/http.');
  const [line = '', ...rest] = body.split('\r\n');
  const [method = '', target = ''] = line.split(' ');
  return { contentId: headers['content-id'] ?? '', method, target, ...readHeaders(rest.join('\r\n')) };
}

function part({ status, headers, body }: Answer, contentId?: string): string {
  const own = [
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    ...(contentId === undefined ? [] : [`Content-ID: ${contentId}`]),
  ];
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`);
  return [...own, '', `HTTP/1.1 ${status} ${status === 204 ? 'No Content' : 'Error'}`, ...lines, '', body].join('\r\n');
}

function joined(parts: readonly string[], boundary: string): string {
  return `${parts.map((text) => `--${boundary}\r\n${text}\r\n`).join('')}--${boundary}--\r\n`;
}

function multipart(parts: readonly string[]): Answer {
  const boundary = 'batchresponse_1';
  return {
    status: 200,
    headers: { 'content-type': `multipart/mixed; boundary=${boundary}`, 'odata-version': '4.0' },
    body: joined(parts, boundary),
  };
}
