import type { IncomingHttpHeaders } from 'node:http';
import { TLSSocket } from 'node:tls';
import { buildConnector, Client, type Dispatcher } from 'undici';

/** A page of 5,000 records with the longest names that fit is about 12 MB; no honest answer is larger than this. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

export interface Request {
  readonly method: 'GET' | 'PATCH' | 'POST';
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

/** One connection at a time to the origin, kept alive. What belongs to a connection, such as a handshake, stays together here. */
export interface Connection {
  /** Which connection it is by now: another number after it was cut. */
  readonly number: number;
  /** The certificate of the server, DER; undefined before there was a connection, and without TLS. */
  readonly certificate: Buffer | undefined;
  /** One request, and its whole answer. @throws TransportError */
  exchange(request: Request, signal?: AbortSignal): Promise<Answer>;
}

/** Kept-alive connections to one origin. Follows no redirect and repeats nothing. */
export class Transport {
  readonly #lanes: readonly Lane[];
  readonly #free: Lane[];
  readonly #waiting: ((lane: Lane) => void)[] = [];
  readonly #deadline: number;

  constructor(options: TransportOptions) {
    this.#deadline = options.deadline;
    this.#lanes = Array.from({ length: options.connections }, () => new Lane(options));
    this.#free = [...this.#lanes];
  }

  /** Uses a connection of its own until the work is done; waits for one while all are in use. @throws TransportError */
  async use<T>(work: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    // The one that was used last, since others may have been closed by now.
    const lane = this.#free.pop() ?? (await this.#nextFree(signal));
    try {
      return await work(lane);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(lane);
      else next(lane);
    }
  }

  async #nextFree(signal: AbortSignal | undefined): Promise<Lane> {
    const { promise, resolve, reject } = Promise.withResolvers<Lane>();
    const giveUp = (reason: Error) => {
      this.#waiting.splice(this.#waiting.indexOf(resolve), 1);
      reject(new TransportError(false, reason));
    };
    const timer = setTimeout(() => giveUp(new Error(`all connections were in use for ${this.#deadline / 1000} s`)), this.#deadline);
    const abort = () => giveUp(new Error('stopped by the caller', { cause: signal?.reason }));
    signal?.addEventListener('abort', abort);
    this.#waiting.push(resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Cuts off what is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

class Lane implements Connection {
  number = 0;
  certificate: Buffer | undefined;
  readonly #client: Client;
  readonly #deadline: number;

  constructor({ origin, ca, deadline }: TransportOptions) {
    this.#deadline = deadline;
    const connectTimeout = Math.min(deadline, 10_000);
    const connect = buildConnector({ ...(ca === undefined ? {} : { ca }), timeout: connectTimeout });
    this.#client = new Client(origin, {
      // HTTP/2 would share a connection.
      allowH2: false,
      pipelining: 1,
      // IIS closes after 120 s; well below that, so that a request seldom meets a connection that is just being closed.
      keepAliveTimeout: 30_000,
      keepAliveMaxTimeout: 60_000,
      // One deadline over all of it is stricter: a server that sends a byte now and then never runs into these.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_ANSWER_BYTES,
      connect: (target, callback) => {
        connect(target, (...result) => {
          this.number++;
          const [, socket] = result;
          this.certificate = socket instanceof TLSSocket ? socket.getPeerCertificate().raw : undefined;
          callback(...result);
        });
      },
    });
    this.#client.on('disconnect', () => this.number++);
  }

  async exchange(request: Request, signal?: AbortSignal): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const exchange = new Exchange(resolve, reject);
    const timer = setTimeout(() => exchange.stop(new Error(`no answer within ${this.#deadline / 1000} s`)), this.#deadline);
    const abort = () => exchange.stop(new Error('stopped by the caller', { cause: signal?.reason }));
    signal?.addEventListener('abort', abort);
    try {
      if (signal?.aborted) abort();
      else this.#client.dispatch({ ...request, body: request.body ?? null }, exchange);
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    await this.#client.destroy();
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
