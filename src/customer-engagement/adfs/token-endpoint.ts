import { Agent, request } from 'undici';

/** No answer of a token end point is larger than this. */
const MAX_ANSWER_BYTES = 1024 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  /** Parsed where it is JSON; otherwise undefined. */
  readonly body: unknown;
}

/** The authority could not be asked. */
export class AuthorityUnreachable extends Error {
  override readonly name = 'AuthorityUnreachable';
}

/** HTTPS to the one authority that the settings name; credentials go nowhere else, whatever a server says. */
export class TokenEndpoint {
  readonly #origin: string;
  readonly #deadline: number;
  readonly #agent: Agent;

  /** @param ca PEM text, instead of the authorities that Node knows @param deadline milliseconds for one answer */
  constructor(authority: string, { ca, deadline }: { ca: string | undefined; deadline: number }) {
    this.#origin = new URL(authority).origin;
    this.#deadline = deadline;
    this.#agent = new Agent({ connect: ca === undefined ? {} : { ca }, maxResponseSize: MAX_ANSWER_BYTES, connections: 1 });
  }

  async get(url: string): Promise<HttpAnswer> {
    return await this.#send(url, { method: 'GET' });
  }

  /** @param form already encoded */
  async post(url: string, form: string): Promise<HttpAnswer> {
    return await this.#send(url, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: form });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** @throws AuthorityUnreachable */
  async #send(url: string, options: Pick<Parameters<typeof request>[1] & object, 'method' | 'headers' | 'body'>): Promise<HttpAnswer> {
    const { origin } = new URL(url);
    if (origin !== this.#origin) throw new AuthorityUnreachable(`credentials go to ${this.#origin} only, and not to ${origin}`);
    try {
      const signal = AbortSignal.timeout(this.#deadline);
      const answer = await request(url, { ...options, dispatcher: this.#agent, signal });
      const headers = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
      const text = await answer.body.text();
      return { status: answer.statusCode, headers, body: jsonOf(headers['content-type'], text) };
    } catch (error) {
      throw new AuthorityUnreachable(reasonOf(error), { cause: error });
    }
  }
}

function jsonOf(type: string | undefined, text: string): unknown {
  if (!/\bjson\b/i.test(type ?? '')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  return 'code' in error ? `${error.message} (${String(error.code)})` : error.message;
}
