import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { AbandonRequest, BindRequest, ExtendedRequest, type Message, UnbindRequest } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { BerError } from './ber.ts';
import { type Endpoint, tlsOptions } from './endpoint.ts';
import { failed, inWords, refusal } from './failure.ts';
import { MessageFramer } from './framing.ts';
import { type LdapMessage, type LdapResult, Response, readExtendedName, readMessage, readResult } from './message.ts';

const START_TLS = '1.3.6.1.4.1.1466.20037';
const NOTICE_OF_DISCONNECTION = '1.3.6.1.4.1.1466.20036';
const KEEP_ALIVE = 30_000;
/** How long an unbind may take to leave before the socket is dropped. */
const FAREWELL = 1_000;
const LAST_MESSAGE_ID = 0x7fff_ffff;

export interface ConnectionSettings {
  readonly endpoint: Endpoint;
  /** Connect to this address instead of looking the host up; the certificate is still checked for the host. */
  readonly address?: string | undefined;
  /** Looks the host up instead of this system. */
  readonly lookup?: LookupFunction | undefined;
  readonly ca: string[];
  /** Milliseconds for connecting, TLS and logging on together, and for each single answer after that. */
  readonly deadline: number;
}

export interface Credentials {
  /** A DN, a userPrincipalName or DOMAIN\name. */
  readonly dn: string;
  readonly password: string;
}

/** A request that was sent and takes its answers. */
export interface Operation {
  /** @returns true when no more answers will come */
  receive(message: LdapMessage): boolean;
  fail(error: DirectoryError): void;
}

/**
 * One logged-on LDAP connection. It is never mended: the first thing that goes wrong fails everything pending and
 * everything asked for later with the same DirectoryError.
 */
export class LdapConnection implements AsyncDisposable {
  /** Resolves once, when the connection has gone; never rejects. */
  readonly lost: Promise<DirectoryError>;
  readonly name: string;
  readonly deadline: number;
  readonly #settings: ConnectionSettings;
  readonly #operations = new Map<number, Operation>();
  readonly #framer = new MessageFramer();
  #socket: Socket;
  #lastId = 0;
  #failure: DirectoryError | undefined;
  #tellLost: (error: DirectoryError) => void = () => {};

  private constructor(settings: ConnectionSettings) {
    this.name = settings.endpoint.url;
    this.deadline = settings.deadline;
    this.#settings = settings;
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    const { endpoint, ca, lookup } = settings;
    const place = { host: settings.address ?? endpoint.host, port: endpoint.port, ...(lookup && { lookup }) };
    this.#socket = endpoint.security === 'tls' ? connectTls({ ...tlsOptions(endpoint, ca), ...place }) : connectTcp(place);
    this.#attach(this.#socket);
  }

  /**
   * Connects, encrypts unless clear text was allowed, and logs on.
   *
   * @throws DirectoryError
   */
  static async open(settings: ConnectionSettings, credentials: Credentials, signal: AbortSignal): Promise<LdapConnection> {
    if (credentials.password === '') {
      // The server would take it for an anonymous logon and answer with success (RFC 4513 section 5.1.2).
      throw new DirectoryError('configuration', 'The password for the directory is empty');
    }
    if (signal.aborted) throw givenUp(signal);
    const connection = new LdapConnection(settings);
    const timer = setTimeout(() => connection.timedOut('connecting and logging on', settings.deadline), settings.deadline);
    const onAbort = () => connection.fail(givenUp(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await connection.#event(settings.endpoint.security === 'tls' ? 'secureConnect' : 'connect');
      if (settings.endpoint.security === 'starttls') await connection.#startTls();
      await connection.#bind(credentials);
      return connection;
    } catch (error) {
      const failure = failed('unavailable', connection.name, error);
      connection.fail(failure);
      throw failure;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** The address at the other end, so that a second connection reaches the same server. */
  get address(): string | undefined {
    return this.#socket.remoteAddress;
  }

  /** Sends a request and hands its answers to `operation`. @returns the message id, for `abandon` */
  send(build: (messageId: number) => Message, operation: Operation): number {
    if (this.#failure !== undefined) {
      operation.fail(this.#failure);
      return 0;
    }
    const messageId = this.#nextId();
    this.#operations.set(messageId, operation);
    this.#socket.write(build(messageId).write());
    return messageId;
  }

  /**
   * Asks for one thing to be done.
   *
   * @param what names it in errors @param expected the tag of the answer
   * @throws DirectoryError when it was refused, in the server's words, or not answered
   */
  async ask(what: string, expected: number, build: (messageId: number) => Message): Promise<void> {
    const result = await this.#call(what, expected, build);
    if (result.code !== 0) throw refusal(result, `${this.name}: ${what}`);
  }

  /** Asks for one result and nothing else. The connection fails when it does not come in time. */
  #call(what: string, expected: number, build: (messageId: number) => Message): Promise<LdapResult> {
    const { promise, resolve, reject } = Promise.withResolvers<LdapResult>();
    const timer = setTimeout(() => this.timedOut(what, this.deadline), this.deadline);
    this.send(build, {
      receive: (message) => {
        if (message.operation !== expected) throw new BerError(`an answer of tag 0x${message.operation.toString(16)} to ${what}`);
        resolve(readResult(message.body));
        return true;
      },
      fail: reject,
    });
    return promise.finally(() => clearTimeout(timer));
  }

  /** Forgets a request; answers that are still on the way are dropped as they come. */
  abandon(messageId: number): void {
    if (!this.#operations.delete(messageId) || this.#failure !== undefined) return;
    this.#socket.write(new AbandonRequest({ messageId: this.#nextId(), abandonId: messageId }).write());
  }

  /** Takes nothing more from the wire, so that the server has to wait, until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#failure === undefined) this.#socket.resume();
  }

  /** Ends the connection for this reason; only the first one counts. */
  fail(error: DirectoryError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#socket.destroy();
    const operations = [...this.#operations.values()];
    this.#operations.clear();
    for (const operation of operations) operation.fail(error);
    this.#tellLost(error);
  }

  /** Ends the connection because nothing came in time. */
  timedOut(what: string, after: number): void {
    this.fail(new DirectoryError('unavailable', `${this.name}: no answer to ${what} within ${after} ms`));
  }

  /** Says goodbye and closes the socket; resolves when it is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const socket = this.#socket;
    const closed = socket.closed ? undefined : new Promise<void>((resolve) => socket.once('close', () => resolve()));
    if (this.#failure === undefined) {
      const timer = setTimeout(() => socket.destroy(), FAREWELL);
      void closed?.then(() => clearTimeout(timer));
      socket.resume();
      socket.end(new UnbindRequest({ messageId: this.#nextId() }).write());
      this.#failure = new DirectoryError('unavailable', `${this.name}: the connection was closed`);
      for (const operation of this.#operations.values()) operation.fail(this.#failure);
      this.#operations.clear();
      this.#tellLost(this.#failure);
    }
    await closed;
  }

  #nextId(): number {
    do this.#lastId = this.#lastId === LAST_MESSAGE_ID ? 1 : this.#lastId + 1;
    while (this.#operations.has(this.#lastId));
    return this.#lastId;
  }

  #attach(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE);
    socket.on('data', this.#receive);
    socket.on('error', (error) => this.fail(this.#socketFailure(socket, error)));
    socket.on('close', () => this.fail(new DirectoryError('unavailable', `${this.name}: the server closed the connection`)));
  }

  readonly #receive = (chunk: Buffer): void => {
    try {
      for (const bytes of this.#framer.push(chunk)) {
        if (this.#failure !== undefined) return;
        this.#dispatch(readMessage(bytes));
      }
    } catch (error) {
      this.fail(failed('unavailable', `${this.name}: the server sent what is not LDAP`, error));
    }
  };

  #dispatch(message: LdapMessage): void {
    if (message.id === 0) {
      this.#unsolicited(message);
      return;
    }
    // An answer to nothing that is waited for was abandoned; RFC 4511 tells clients to ignore it.
    const operation = this.#operations.get(message.id);
    if (operation === undefined || message.operation === Response.intermediate) return;
    if (operation.receive(message)) this.#operations.delete(message.id);
  }

  #unsolicited({ operation, body }: LdapMessage): void {
    if (operation !== Response.extended) return;
    const result = readResult(body);
    if (readExtendedName(body) !== NOTICE_OF_DISCONNECTION) return;
    this.fail(new DirectoryError('unavailable', `${this.name}: the server ended the connection (${inWords(result)})`));
  }

  async #startTls(): Promise<void> {
    const result = await this.#call('StartTLS', Response.extended, (messageId) => new ExtendedRequest({ messageId, oid: START_TLS }));
    if (result.code !== 0) {
      throw new DirectoryError(
        result.code === 51 || result.code === 52 ? 'unavailable' : 'configuration',
        `${this.name}: StartTLS was refused (${inWords(result)}), and the password is not sent in clear text: ` +
          'use ldaps://, or allow it with allowClearText: true',
      );
    }
    // Whatever came in clear text after the answer was put there by somebody else.
    if (this.#framer.incomplete) throw new DirectoryError('unavailable', `${this.name}: clear text after the answer to StartTLS`);
    const plain = this.#socket;
    plain.off('data', this.#receive);
    this.#socket = connectTls({ ...tlsOptions(this.#settings.endpoint, this.#settings.ca), socket: plain });
    this.#attach(this.#socket);
    await this.#event('secureConnect');
  }

  async #bind({ dn, password }: Credentials): Promise<void> {
    const result = await this.#call('logging on', Response.bind, (messageId) => new BindRequest({ messageId, dn, password }));
    if (result.code === 0) return;
    // A server that repeats the password must not get it into a log.
    const safe: LdapResult = { ...result, diagnostic: result.diagnostic.replaceAll(password, '***') };
    throw refusal(safe, `${this.name}: the logon of ${dn}`);
  }

  async #event(name: 'connect' | 'secureConnect'): Promise<void> {
    const lost = await Promise.race([this.lost, new Promise<undefined>((resolve) => this.#socket.once(name, () => resolve(undefined)))]);
    if (lost !== undefined) throw lost;
  }

  #socketFailure(socket: Socket, error: Error): DirectoryError {
    // TLS sets it to a code when the certificate is the trouble, and only then.
    const code = socket instanceof TLSSocket ? socket.authorizationError : undefined;
    if (code) {
      const message = `${this.name}: the server's certificate is not trusted (${code}): ${certificateAdvice(String(code))}`;
      return new DirectoryError('configuration', message, { cause: error });
    }
    return failed('unavailable', this.name, error);
  }
}

function certificateAdvice(code: string): string {
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'it is for another name; use the name that is in it';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return 'it is not valid now';
    default:
      return 'name the CA that signed it in caFile';
  }
}

export function givenUp(signal: AbortSignal): DirectoryError {
  return new DirectoryError('unavailable', 'Opening the directory was given up', { cause: signal.reason });
}
