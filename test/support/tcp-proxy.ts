import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** What sees the bytes of one connection on their way; it returns what goes on. */
export interface Inspection {
  toServer(chunk: Buffer): Buffer;
  toClient(chunk: Buffer): Buffer;
}

const PASS: Inspection = { toServer: (chunk) => chunk, toClient: (chunk) => chunk };

/** Stands between a client and a server on loopback and does what networks do. */
export class TcpProxy implements AsyncDisposable {
  /** Nothing that the server says reaches the client; what the client says still reaches the server. */
  swallowing = false;
  /** Milliseconds by which each answer of the server is held back. */
  delay = 0;
  /** One bit of each answer of the server is another when it reaches the client. */
  corrupting = false;
  /** New connections are broken as soon as they are made; those that there are go on. */
  refusing = false;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #inspect: () => Inspection;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<Socket>();

  private constructor(target: { host: string; port: number }, inspect: () => Inspection) {
    this.#target = target;
    this.#inspect = inspect;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** Listens on the host of its target, on a free port. */
  static async start(target: { host: string; port: number }, inspect: () => Inspection = () => PASS): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, inspect);
    proxy.#server.listen(0, target.host);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
    return address.port;
  }

  /** Breaks every connection there is; new ones are accepted. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** For every client the server has said its last word; what the client says still reaches the server. */
  halfClose(): void {
    for (const client of this.#clients) client.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    if (this.refusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ ...this.#target, allowHalfOpen: true });
    const inspection = this.#inspect();
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client));
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      // Breaking connections is what it is for: either end may find its own gone.
      socket.on('error', () => other.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
    }
    client.on('data', (chunk: Buffer) => server.write(inspection.toServer(chunk)));
    client.on('end', () => server.end());
    server.on('data', (chunk: Buffer) => {
      const passed = inspection.toClient(chunk);
      if (this.swallowing || passed.length === 0) return;
      this.#later(() => client.writable && client.write(this.corrupting ? flipped(passed) : passed));
    });
    server.on('end', () => this.#later(() => client.end()));
  }

  #later(act: () => void): void {
    if (this.delay === 0) act();
    else setTimeout(act, this.delay);
  }
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(copy.length - 1) ^ 1, copy.length - 1);
  return copy;
}
