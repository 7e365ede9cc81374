import type { IncomingHttpHeaders } from 'node:http';
import { type Dispatcher, Pool } from 'undici';

/** A page of 5,000 records with the longest names that fit is about 12 MB; no honest answer is larger than this. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

export interface Request {
  readonly method: 'GET' | 'PATCH';
  /** Path and query, already encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** No whole answer came. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  /** False: not one byte of the request can have left, so nothing was done. */
  readonly sent: boolean;
  constructor(sent: boolean, cause: Error) {
    super(cause.message, { cause });
    this.sent = sent;
  }
}

export interface TransportOptions {
  /** Scheme, host and port. No request goes anywhere else. */
  readonly origin: string;
  /** PEM text; instead of the authorities that Node knows. */
  readonly ca: string | undefined;
  /** Milliseconds for one request, from the call to the last byte of its answer. */
  readonly deadline: number;
  readonly connections: number;
}

/** Kept-alive connections to one origin. Follows no redirect and repeats nothing. */
export class Transport {
  readonly #pool: Pool;
  readonly #deadline: number;

  constructor(options: TransportOptions) {
    this.#deadline = options.deadline;
    this.#pool = new Pool(options.origin, {
      connections: options.connections,
      // The handshakes of Windows authentication belong to a connection, which HTTP/2 would share.
      allowH2: false,
      pipelining: 1,
      // IIS closes after 120 s; well below that, so that a request seldom meets a connection that is just being closed.
      keepAliveTimeout: 30_000,
      keepAliveMaxTimeout: 60_000,
      connectTimeout: Math.min(options.deadline, 10_000),
      // One deadline over all of it is stricter: a server that sends a byte now and then never runs into these.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      connect: options.ca === undefined ? {} : { ca: options.ca },
    });
  }

  /** @throws TransportError */
  async exchange(request: Request, signal?: AbortSignal): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const exchange = new Exchange(resolve, reject);
    const timer = setTimeout(() => exchange.stop(new Error(`no answer within ${this.#deadline / 1000} s`)), this.#deadline);
    const abort = () => exchange.stop(new Error('stopped by the caller', { cause: signal?.reason }));
    signal?.addEventListener('abort', abort);
    try {
      if (signal?.aborted) abort();
      else this.#pool.dispatch({ ...request, body: request.body ?? null }, exchange);
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Cuts off what is under way. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

/** Gathers one answer, and knows whether its request was begun to be written. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: TransportError) => void;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #stopped: Error | undefined;
  #status = 0;
  #headers: IncomingHttpHeaders = {};

  constructor(resolve: (answer: Answer) => void, reject: (error: TransportError) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  stop(reason: Error): void {
    this.#stopped = reason;
    if (this.#controller === undefined) this.#fail(reason);
    else this.#controller.abort(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // undici may put a request back into its queue; a write must not go out a second time.
    const refusal = this.#stopped ?? (this.#controller && new Error('cut off before the answer'));
    if (refusal === undefined) this.#controller = controller;
    else controller.abort(refusal);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#resolve({ status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks) });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  #fail(error: Error): void {
    this.#reject(new TransportError(this.#controller !== undefined, error));
  }
}
