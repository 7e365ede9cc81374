import { readFileSync } from 'node:fs';
import { CustomerEngagementError } from '../../streams/customer-engagement.ts';
import type { Authentication } from './authentication.ts';
import type { Purpose } from './refusals.ts';
import { ServiceRoot } from './service-root.ts';
import { type Answer, type Request, Transport, TransportError } from './transport.ts';
import { unreached } from './unreached.ts';

export interface Settings {
  /** Name of the organization in the configuration. */
  readonly name: string;
  /** Address of the organization, as people open it: `https://crm.example.test/contoso`. */
  readonly url: string;
  readonly apiVersion: 'v8.2' | 'v9.0' | 'v9.1';
  /** PEM file of the authority that issued the server's certificate; without it, those that Node knows. */
  readonly caFile?: string | undefined;
  /** Lets credentials travel over `http:`. */
  readonly allowClearText?: boolean | undefined;
  /** Milliseconds for one request and its whole answer. Default: 30,000. */
  readonly deadline?: number | undefined;
  /** Default: 8. */
  readonly connections?: number | undefined;
  /** A column of systemuser whose value marks records that are not to be touched. */
  readonly markColumn?: string | undefined;
  /** Told of records that were set aside (SPEC rule 9). */
  readonly warn?: ((message: string) => void) | undefined;
  readonly auth: Authentication;
}

export const READ_HEADERS = {
  accept: 'application/json',
  'odata-version': '4.0',
  'odata-maxversion': '4.0',
  // Keeps anything in between from answering out of a cache.
  'if-none-match': 'null',
};

export const WRITE_HEADERS = {
  accept: 'application/json',
  'odata-version': '4.0',
  'odata-maxversion': '4.0',
  'content-type': 'application/json; charset=utf-8',
  // Without it a PATCH of a missing record creates one. Versions of records are not compared (assumption A5).
  'if-match': '*',
  prefer: 'return=representation',
};

/** Requests to the Web API of one organization. Every error that it throws is a CustomerEngagementError whose text starts with the organization's name. */
export class Requests {
  readonly root: ServiceRoot;
  readonly #name: string;
  readonly #auth: Authentication;
  readonly #transport: Transport;

  /** @throws Error when the settings cannot be used */
  constructor(settings: Settings) {
    this.#name = settings.name;
    this.root = new ServiceRoot(settings);
    this.#auth = settings.auth;
    this.#transport = new Transport({
      origin: this.root.origin,
      ca: settings.caFile === undefined ? undefined : readFileSync(settings.caFile, 'utf8'),
      deadline: settings.deadline ?? 30_000,
      connections: settings.connections ?? 8,
    });
  }

  async send(request: Request, purpose: Purpose, signal?: AbortSignal): Promise<Answer> {
    try {
      return await this.#transport.use((connection) => this.#auth.send(request, connection, signal), signal);
    } catch (error) {
      if (error instanceof TransportError) throw unreached(error, purpose);
      throw error;
    }
  }

  /** Names the organization in whatever error the work throws. */
  async named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      const { failure, message, status, code, retryAfter, cause } = error;
      throw new CustomerEngagementError(failure, `${this.#name}: ${message}`, { status, code, retryAfter, cause });
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#transport.close(), this.#auth.close?.()]);
  }
}
