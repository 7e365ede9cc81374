import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { ApiError, errorBody } from './api-error.ts';
import { type Accepted, challenge, identifiedByProxy, identify } from './credentials.ts';
import { type Answer, json, type Organization } from './exchange.ts';
import type { Injected, InjectedFaults } from './injected-faults.ts';
import type { Defect, DefectKind, Traffic } from './traffic.ts';
import { callApi, page } from './web-api.ts';
import { WindowsLogons } from './windows-logon.ts';

/** Longest body that is read. */
const LARGEST_BODY = 1 << 20;

/** The web server before the API: credentials, the request log, and everything that can go wrong on the way. */
export class Front {
  readonly #organization: Organization;
  readonly #accepted: Accepted;
  readonly #faults: InjectedFaults;
  readonly #traffic: Traffic;
  readonly #windows: WindowsLogons | undefined;
  /** Records that a write is in work for. */
  readonly #writing = new Map<string, number>();

  constructor(organization: Organization, accepted: Accepted, faults: InjectedFaults, traffic: Traffic) {
    this.#organization = organization;
    this.#accepted = accepted;
    this.#faults = faults;
    this.#traffic = traffic;
    this.#windows = accepted.windows && new WindowsLogons(accepted.windows);
  }

  async serve(request: IncomingMessage, response: ServerResponse, scheme: 'http' | 'https'): Promise<void> {
    const arrived = performance.timeOrigin + performance.now();
    const { method = '', url = '', headers } = request;
    const { who, token } = await this.#identify(request);
    const defects: Defect[] = [];
    const defect = (kind: DefectKind, detail: string): void => {
      defects.push({ time: new Date(arrived).toISOString(), method, path: url, kind, detail });
    };
    const body = await readBody(request);
    const faults = this.#faults.take(method, url);
    let code: string | null = null;

    const finish = (answer: Answer | 'nothing', how: (answer: Answer) => void = () => undefined): void => {
      const answered = performance.timeOrigin + performance.now();
      for (const found of defects) this.#traffic.defect(found);
      this.#traffic.add({
        time: new Date(arrived).toISOString(),
        arrived,
        answered,
        duration: answered - arrived,
        method,
        path: url,
        status: answer === 'nothing' ? null : answer.status,
        who: who ?? null,
        ifMatch: headers['if-match'] ?? null,
        body: method === 'GET' ? null : (body ?? null),
        code,
        faults: faults.map(({ kind }) => kind),
        defects: defects.map(({ kind }) => kind),
      });
      if (answer !== 'nothing') how(answer);
    };

    await pause(faults, 'before');
    if (this.#interrupt(faults, 'before', response, finish)) return;
    const release = this.#claim(method, url, response, defect);
    try {
      const origin = `${scheme}://${headers.host ?? 'localhost'}`;
      const result =
        who === undefined
          ? { answer: challenge(this.#accepted, origin, token), code: null }
          : body === undefined
            ? {
                answer: page(413, 'Request Entity Too Large', 'The page was not displayed because the request entity is too large.'),
                code: null,
              }
            : await callApi(this.#organization, { method, target: url, headers, body, origin, defect });
      code = result.code;
      await pause(faults, 'after');
      if (this.#interrupt(faults, 'after', response, finish)) return;
      if (faults.some(({ kind }) => kind === 'truncate')) finish(result.answer, (answer) => truncate(response, answer));
      else finish(result.answer, (answer) => send(response, answer));
    } finally {
      release();
    }
  }

  /** @returns the next token too, in the middle of a handshake */
  async #identify({ headers, socket }: IncomingMessage): Promise<{ who?: string | undefined; token?: string }> {
    const known = identifiedByProxy(this.#accepted, headers) ?? identify(this.#accepted, headers.authorization);
    if (known !== undefined || this.#windows === undefined) return { who: known };
    const [, message] = /^NTLM ([A-Za-z0-9+/=]+)$/.exec(headers.authorization ?? '') ?? [];
    const verdict = await this.#windows.judge(socket, message);
    return verdict === 'refused' ? {} : verdict;
  }

  /** Does what an injected fault asks for instead of answering. */
  #interrupt(
    faults: readonly Injected[],
    when: 'before' | 'after',
    response: ServerResponse,
    finish: (answer: Answer | 'nothing', how?: (answer: Answer) => void) => void,
  ): boolean {
    for (const fault of faults) {
      if (fault.kind === (when === 'before' ? 'drop-before' : 'drop-after-write')) {
        finish('nothing');
        response.socket?.destroy();
        return true;
      }
      if (!('when' in fault) || fault.when !== when || fault.kind === 'latency') continue;
      if (fault.kind === 'hang') finish('nothing');
      else finish(this.#instead(fault), (answer) => send(response, answer));
      return true;
    }
    return false;
  }

  #instead(fault: Extract<Injected, { kind: 'status' | 'html' }>): Answer {
    const retry = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) };
    if (fault.kind === 'status')
      return json(
        fault.status,
        errorBody(new ApiError('fault', fault.status, Number(fault.code), fault.message), this.#organization.dialect, false),
        retry,
      );
    const location = fault.location === undefined ? {} : { location: fault.location };
    return { status: fault.status, headers: { 'content-type': 'text/html; charset=utf-8', ...retry, ...location }, body: fault.body };
  }

  /** Notes that two writes to one record overlap; a caller that went away has given up its own. */
  #claim(method: string, url: string, response: ServerResponse, defect: (kind: DefectKind, detail: string) => void): () => void {
    const id = method === 'PATCH' ? /systemusers\(([^)]*)\)/.exec(url)?.[1]?.toLowerCase() : undefined;
    if (id === undefined) return () => undefined;
    const already = this.#writing.get(id) ?? 0;
    if (already > 0) defect('concurrent-writes', `Another write to ${id} is not answered yet.`);
    this.#writing.set(id, already + 1);
    let claimed = true;
    const release = (): void => {
      if (!claimed) return;
      claimed = false;
      const left = (this.#writing.get(id) ?? 1) - 1;
      if (left === 0) this.#writing.delete(id);
      else this.#writing.set(id, left);
    };
    response.once('close', release);
    return release;
  }
}

async function pause(faults: readonly Injected[], when: 'before' | 'after'): Promise<void> {
  const total = faults.reduce((sum, fault) => sum + (fault.kind === 'latency' && fault.when === when ? fault.ms : 0), 0);
  if (total > 0) await wait(total);
}

/** Undefined: too long. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length <= LARGEST_BODY) chunks.push(chunk);
  }
  return length > LARGEST_BODY ? undefined : Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, answer: Answer): void {
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, typeof value === 'string' ? value : [...value]);
  response.statusCode = answer.status;
  response.end(answer.body);
}

/** Cuts the answer in the middle: of its body, or of its status line when there is none. */
function truncate(response: ServerResponse, answer: Answer): void {
  const { socket } = response;
  if (answer.body === '') {
    socket?.write(`HTTP/1.1 ${answer.status} No`, () => socket.destroy());
    return;
  }
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, typeof value === 'string' ? value : [...value]);
  const bytes = Buffer.from(answer.body);
  response.setHeader('content-length', bytes.length);
  response.statusCode = answer.status;
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => socket?.destroy());
}
