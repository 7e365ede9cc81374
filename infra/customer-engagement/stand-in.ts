import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http, { type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Config } from './config.ts';
import { Control } from './control.ts';
import type { Directory } from './directory.ts';
import { FileDirectory } from './directory-file.ts';
import { LdapDirectory } from './directory-ldap.ts';
import type { Organization } from './exchange.ts';
import { Front } from './front.ts';
import { InjectedFaults } from './injected-faults.ts';
import { Names } from './names.ts';
import { Records } from './records.ts';
import { addRecords } from './seeding.ts';
import { Traffic } from './traffic.ts';

export interface StandIn {
  readonly port: number;
  readonly controlPort: number;
  /** Cuts every connection and closes the files. */
  close(): Promise<void>;
}

/** As IIS: idle connections are kept for two minutes. */
const IDLE_MS = 120_000;

/** Starts the organization, its Web API and its control port. */
export async function startStandIn(config: Config): Promise<StandIn> {
  const directory: Directory = 'file' in config.directory ? new FileDirectory(config.directory.file) : new LdapDirectory(config.directory);
  const records = new Records(config.stateFile, { fsync: config.fsync });
  const organization: Organization = {
    name: config.organization,
    organizationId: stableId(`organization ${config.organization}`),
    businessUnitId: stableId(`business unit ${config.organization}`),
    caller: config.caller,
    dialect: config.dialect,
    records,
    names: new Names(directory, config.directory.netbios),
    settings: config.settings,
  };
  await addRecords(organization, config.seed);
  if (records.get(config.caller) === undefined) throw new Error(`caller: no record has the systemuserid ${config.caller}`);
  const traffic = new Traffic(config.requestLog);
  const faults = new InjectedFaults();
  const front = new Front(organization, config, faults, traffic);
  const control = new Control(organization, directory, faults, traffic);
  const scheme = config.tls === undefined ? 'http' : 'https';
  const api = createServer(
    config.tls,
    guarded((request, response) => front.serve(request, response, scheme)),
  );
  const controlServer = createServer(
    undefined,
    guarded((request, response) => control.serve(request, response)),
  );
  return {
    port: await listen(api, config.listen),
    controlPort: await listen(controlServer, config.control),
    async close() {
      await Promise.all([stop(api), stop(controlServer)]);
      await directory.close();
      traffic.close();
      records.close();
    },
  };
}

function createServer(tls: Config['tls'], listener: RequestListener): Server | https.Server {
  const options = { keepAliveTimeout: IDLE_MS, maxHeaderSize: 65_536 };
  if (tls === undefined) return http.createServer(options, listener);
  return https.createServer(
    { ...options, key: readFileSync(tls.keyFile), cert: readFileSync(tls.certFile), minVersion: 'TLSv1.2' },
    listener,
  );
}

/** A caller that went away ends its own request only; anything else is a bug of the stand-in and is shown. */
function guarded(serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>): RequestListener {
  return (request, response) => {
    request.socket.setNoDelay(true);
    serve(request, response).catch((error: unknown) => {
      if (request.destroyed && !request.complete) return;
      console.error(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };
}

async function listen(server: Server | https.Server, address: { host: string; port: number }): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

async function stop(server: Server | https.Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** An id that is the same at every start. */
function stableId(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
