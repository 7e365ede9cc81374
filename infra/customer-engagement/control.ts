import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { type Directory, DirectoryUnreachable } from './directory.ts';
import type { Organization } from './exchange.ts';
import { FaultRule, type InjectedFaults } from './injected-faults.ts';
import { logon } from './logon.ts';
import { row } from './records.ts';
import { addRecords, Seed } from './seeding.ts';
import { Settings } from './settings.ts';
import type { Traffic } from './traffic.ts';

/** What the control port says wrong, with the HTTP status for it. */
class ControlError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

type Handler = (body: unknown, query: URLSearchParams) => unknown;

const Lag = z.strictObject({ ms: z.number().min(0) });

/** The second port: what CE's own API does not tell, and what should go wrong. Plain HTTP with JSON, for tests and people at the machine. */
export class Control {
  readonly #routes: ReadonlyMap<string, Handler>;

  constructor(organization: Organization, directory: Directory, faults: InjectedFaults, traffic: Traffic) {
    const { records, names } = organization;
    this.#routes = new Map<string, Handler>([
      [
        'GET /logon',
        (_, query) => {
          const account = query.get('account');
          if (account === null) throw new ControlError(400, 'account is missing');
          return logon(account, directory, names, records);
        },
      ],
      [
        'GET /records',
        () =>
          [...records.all()].map((record) => ({
            ...record.columns,
            systemuserid: record.id,
            versionnumber: row(record)('versionnumber'),
            objectGUID: record.mapping?.objectGUID ?? null,
            objectSid: record.mapping?.objectSid ?? null,
          })),
      ],
      [
        'POST /records',
        async (body) => {
          const seeds = check(z.union([Seed, z.array(Seed)]), body);
          const added = await addRecords(organization, [seeds].flat()).catch((error: unknown) => {
            if (error instanceof DirectoryUnreachable || !(error instanceof Error)) throw error;
            throw new ControlError(409, error.message);
          });
          return { added };
        },
      ],
      ['GET /requests', () => traffic.requests],
      ['DELETE /requests', () => traffic.clear()],
      ['GET /defects', () => traffic.defects],
      ['GET /faults', () => faults.rules],
      ['PUT /faults', (body) => faults.set(check(z.array(FaultRule), body))],
      ['DELETE /faults', () => faults.set([])],
      ['GET /lag', () => ({ ms: names.lag })],
      [
        'PUT /lag',
        (body) => {
          names.lag = check(Lag, body).ms;
        },
      ],
      ['GET /settings', () => organization.settings],
      [
        'PUT /settings',
        (body) => {
          organization.settings = check(Settings, body);
        },
      ],
    ]);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, value } = await this.#answer(request).catch((error: unknown) => {
      if (error instanceof ControlError) return { status: error.status, value: { error: error.message } };
      if (error instanceof DirectoryUnreachable) return { status: 503, value: { error: error.message } };
      throw error;
    });
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(value === undefined ? '' : JSON.stringify(value));
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; value: unknown }> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const handler = this.#routes.get(`${request.method} ${url.pathname}`);
    const body = await text(request);
    if (handler === undefined)
      throw new ControlError(404, `There is no ${request.method} ${url.pathname} here; there is ${[...this.#routes.keys()].join(', ')}.`);
    const value = await handler(body === '' ? undefined : parse(body), url.searchParams);
    return { status: value === undefined ? 204 : 200, value };
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new ControlError(400, 'The body is not JSON.');
  }
}

function check<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (!result.success) throw new ControlError(400, z.prettifyError(result.error));
  return result.data;
}
