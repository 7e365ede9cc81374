import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';

/**
 * An HTTP reverse proxy between a client and a server that has TLS. Unless it is told otherwise it does what HTTP allows and NTLM does not bear:
 * each request goes to the server over a connection of its own.
 */
export class ReverseProxy implements AsyncDisposable {
  /** Each connection of a client has one to the server for itself. */
  keepsConnections = false;
  /** Whether it says that it is there (RFC 9110, 7.6.3). */
  tells = true;
  /** Given to every request instead of what the server would say. */
  answer: { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string } | undefined;
  readonly #target: URL;
  readonly #ca: string;
  readonly #server: Server;
  readonly #agents = new WeakMap<object, Agent>();

  private constructor(target: URL, ca: string) {
    this.#target = target;
    this.#ca = ca;
    this.#server = createServer((from, to) => this.#pass(from, to));
  }

  /** @param target address of the server @param ca PEM text of the authority of its certificate */
  static async start(target: string, ca: string): Promise<ReverseProxy> {
    const proxy = new ReverseProxy(new URL(target), ca);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** The address of the target by way of this proxy. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.#target.pathname}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #pass(from: IncomingMessage, to: ServerResponse): void {
    if (this.answer !== undefined) {
      const { status, headers = {}, body = '' } = this.answer;
      from.resume().once('end', () => to.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body));
      return;
    }
    const { hostname, port } = this.#target;
    const passed = request(
      { hostname, port, method: from.method, path: from.url, headers: from.headers, ca: this.#ca, agent: this.#agentFor(from.socket) },
      (answer) => {
        to.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...(this.tells && { via: '1.1 gate.example.test' }) });
        answer.pipe(to);
      },
    );
    passed.on('error', () => to.destroy());
    from.pipe(passed);
  }

  #agentFor(client: object): Agent {
    const agent = this.#agents.get(client) ?? new Agent({ keepAlive: true, maxSockets: 1 });
    if (!this.keepsConnections) return new Agent();
    this.#agents.set(client, agent);
    return agent;
  }
}
