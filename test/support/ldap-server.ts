import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { Ber, BerReader, BerWriter } from 'ldapts';
import { readFilter, type SearchFilter } from './ldap-filter.ts';

/** A request as far as the tests look into it. */
export interface LdapRequest {
  readonly id: number;
  /** Its tag: 0x60 bind, 0x63 search, 0x77 extended, 0x50 abandon, 0x42 unbind. */
  readonly operation: number;
  /** Of a search. */
  readonly baseDN: string;
  /** Of a search. */
  readonly scope: 'base' | 'one' | 'sub';
  /** Of a search. */
  readonly filter: SearchFilter | undefined;
  /** Of a search, as asked for. */
  readonly attributes: readonly string[];
  /** Control values by OID. */
  readonly controls: ReadonlyMap<string, Buffer>;
}

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export type Attributes = Readonly<Record<string, readonly (string | Buffer)[]>>;

/** One client of the server. */
export class LdapClient {
  #socket: Socket;
  readonly #receive: (chunk: Buffer) => void;

  constructor(socket: Socket, receive: (chunk: Buffer) => void) {
    this.#socket = socket;
    this.#receive = receive;
    this.#listen();
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get closed(): boolean {
    return this.#socket.destroyed;
  }

  /** @returns false when the client has to read first; see `drained` */
  send(...bytes: readonly Buffer[]): boolean {
    return this.#socket.write(Buffer.concat(bytes));
  }

  async drained(): Promise<void> {
    const waiting = new AbortController();
    const { signal } = waiting;
    await Promise.race([once(this.#socket, 'drain', { signal }), once(this.#socket, 'close', { signal })]).finally(() => waiting.abort());
  }

  startTls({ key, cert }: Certificate): void {
    this.#socket.removeAllListeners('data');
    this.#socket = new TLSSocket(this.#socket, { isServer: true, key, cert });
    this.#listen();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on('data', this.#receive);
    this.#socket.on('error', () => {});
  }
}

export type Answer = (request: LdapRequest, client: LdapClient) => void | Promise<void>;

/** An LDAP server on loopback that does just what a test tells it. */
export class LdapServer implements AsyncDisposable {
  readonly clients: LdapClient[] = [];
  readonly requests: LdapRequest[] = [];
  readonly #server: Server;

  private constructor(answer: Answer, tls: Certificate | undefined) {
    // As servers do: two small answers are not to wait for each other.
    this.#server = createServer({ noDelay: true }, (plain) => {
      const socket = tls === undefined ? plain : new TLSSocket(plain, { isServer: true, ...tls });
      let bytes = Buffer.alloc(0);
      const client = new LdapClient(socket, (chunk) => {
        bytes = Buffer.concat([bytes, chunk]);
        if (bytes[0] !== 0x30) return; // a TLS handshake that the test has no answer to
        for (let size = messageSize(bytes); size !== undefined && size <= bytes.length; size = messageSize(bytes)) {
          const request = readRequest(bytes.subarray(0, size));
          bytes = bytes.subarray(size);
          this.requests.push(request);
          void answer(request, client);
        }
      });
      plain.on('error', () => {});
      this.clients.push(client);
    });
  }

  static async start(answer: Answer, tls?: Certificate): Promise<LdapServer> {
    const server = new LdapServer(answer, tls);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

function messageSize(bytes: Buffer): number | undefined {
  const reader = new BerReader(bytes);
  return reader.readSequence() === null ? undefined : reader.offset + reader.length;
}

function readRequest(bytes: Buffer): LdapRequest {
  const reader = new BerReader(bytes);
  reader.readSequence();
  const id = reader.readInt() ?? -1;
  const operation = reader.readSequence() ?? -1;
  const end = reader.offset + reader.length;
  let baseDN = '';
  let scope: LdapRequest['scope'] = 'base';
  let filter: SearchFilter | undefined;
  const attributes: string[] = [];
  if (operation === 0x63) {
    baseDN = reader.readString() ?? '';
    scope = (['base', 'one', 'sub'] as const)[reader.readEnumeration() ?? 0] ?? 'base';
    reader.readEnumeration();
    reader.readInt();
    reader.readInt();
    reader.readBoolean();
    filter = readFilter(reader);
    reader.readSequence();
    while (reader.offset < end) attributes.push(reader.readString() ?? '');
  }
  reader.offset = end;
  const controls = new Map<string, Buffer>();
  if (reader.peek() === 0xa0) {
    reader.readSequence();
    while (reader.remain > 0) {
      reader.readSequence();
      const controlEnd = reader.offset + reader.length;
      const oid = reader.readString() ?? '';
      if (reader.peek() === Ber.Boolean) reader.readBoolean();
      controls.set(oid, reader.offset < controlEnd ? (reader.readString(Ber.OctetString, true) ?? Buffer.alloc(0)) : Buffer.alloc(0));
    }
  }
  return { id, operation, baseDN, scope, filter, attributes, controls };
}

function message(
  id: number,
  operation: number,
  content: (writer: BerWriter) => void,
  controls: Readonly<Record<string, Buffer>> = {},
): Buffer {
  const writer = new BerWriter();
  writer.startSequence();
  writer.writeInt(id);
  writer.startSequence(operation);
  content(writer);
  writer.endSequence();
  if (Object.keys(controls).length > 0) {
    writer.startSequence(0xa0);
    for (const [oid, value] of Object.entries(controls)) {
      writer.startSequence();
      writer.writeString(oid);
      writer.writeBuffer(value, Ber.OctetString);
      writer.endSequence();
    }
    writer.endSequence();
  }
  writer.endSequence();
  return Buffer.from(writer.buffer);
}

function result(id: number, operation: number, code: number, diagnostic: string, more: (writer: BerWriter) => void, controls = {}): Buffer {
  const content = (writer: BerWriter) => {
    writer.writeEnumeration(code);
    writer.writeString('');
    writer.writeString(diagnostic);
    more(writer);
  };
  return message(id, operation, content, controls);
}

export function bindResponse(id: number, code = 0, diagnostic = ''): Buffer {
  return result(id, 0x61, code, diagnostic, () => {});
}

export function extendedResponse(id: number, code = 0, diagnostic = '', name?: string): Buffer {
  return result(id, 0x78, code, diagnostic, (writer) => name !== undefined && writer.writeString(name, 0x8a));
}

export function noticeOfDisconnection(code: number, diagnostic: string): Buffer {
  return extendedResponse(0, code, diagnostic, '1.3.6.1.4.1.1466.20036');
}

export function searchDone(id: number, code = 0, diagnostic = '', controls: Readonly<Record<string, Buffer>> = {}): Buffer {
  return result(id, 0x65, code, diagnostic, () => {}, controls);
}

export function searchReference(id: number, url: string): Buffer {
  return message(id, 0x73, (writer) => writer.writeString(url));
}

export function searchEntry(id: number, dn: string, attributes: Attributes): Buffer {
  return message(id, 0x64, (writer) => {
    writer.writeString(dn);
    writer.startSequence();
    for (const [type, values] of Object.entries(attributes)) {
      writer.startSequence();
      writer.writeString(type);
      writer.startSequence(0x31);
      for (const value of values) writer.writeBuffer(Buffer.from(value), Ber.OctetString);
      writer.endSequence();
      writer.endSequence();
    }
    writer.endSequence();
  });
}
