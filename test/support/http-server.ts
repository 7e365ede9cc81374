import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Received {
  readonly method: string;
  /** As it was on the wire, still encoded. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Answers one request, in whatever way; the count starts at 1. */
export type Script = (response: ServerResponse, request: Received, count: number) => void | Promise<void>;

export interface HttpServer extends AsyncDisposable {
  /** Without a slash at the end. */
  readonly origin: string;
  readonly received: readonly Received[];
  /** Connections accepted so far. */
  readonly connections: number;
}

/** A server on loopback that does what a test says, including what no proper server does. */
export async function httpServer(script: Script, tls?: Certificate): Promise<HttpServer> {
  const received: Received[] = [];
  let connections = 0;
  const listener = async (message: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk);
    const request = {
      method: message.method ?? '',
      url: message.url ?? '',
      headers: message.headers,
      body: Buffer.concat(chunks).toString(),
    };
    received.push(request);
    await script(response, request, received.length);
  };
  const handle = (message: IncomingMessage, response: ServerResponse) => {
    // A client that leaves early is part of the scripts.
    listener(message, response).catch(() => response.destroy());
  };
  const server = tls === undefined ? createServer(handle) : createTlsServer({ key: tls.key, cert: tls.cert }, handle);
  server.on('connection', () => {
    connections++;
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`,
    received,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Certificate extends Disposable {
  /** PEM of the certificate, which is its own authority, and of its key. */
  readonly file: string;
  readonly keyFile: string;
  readonly key: Buffer;
  readonly cert: Buffer;
}

/** A certificate made for one test run; its key never leaves the temporary directory. */
export function certificate(subjectAltName: string): Certificate {
  const directory = mkdtempSync(join(tmpdir(), 'certificate-'));
  const file = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${subjectAltName}`, '-days', '2', '-out', file];
  execFileSync('openssl', ['req', '-x509', ...key, ...subject], { stdio: 'pipe' });
  return {
    file,
    keyFile,
    key: readFileSync(keyFile),
    cert: readFileSync(file),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}
