import { readFileSync } from 'node:fs';
import { type CustomerEngagement, CustomerEngagementError, type PersonNames, type SystemUser } from '../../streams/customer-engagement.ts';
import { readAnswer } from './answers.ts';
import type { Authentication } from './authentication.ts';
import { allPath, Caller, findPaths, NamedRecord, namePath, RecordPage, readRecord } from './records.ts';
import { doubt, type Purpose } from './refusals.ts';
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

const READ_HEADERS = {
  accept: 'application/json',
  'odata-version': '4.0',
  'odata-maxversion': '4.0',
  // Keeps anything in between from answering out of a cache.
  'if-none-match': 'null',
};

const PAGE_HEADERS = { ...READ_HEADERS, prefer: 'odata.maxpagesize=5000' };

const WRITE_HEADERS = {
  accept: 'application/json',
  'odata-version': '4.0',
  'odata-maxversion': '4.0',
  'content-type': 'application/json; charset=utf-8',
  // Without it a PATCH of a missing record creates one.
  'if-match': '*',
  prefer: 'return=representation',
};

/**
 * Opens nothing yet: connections are made when they are needed.
 *
 * @throws Error when the settings cannot be used
 */
export function customerEngagement(settings: Settings): CustomerEngagement {
  return new WebApi(settings);
}

/** The Web API of one organization. Every error that it throws is a CustomerEngagementError whose text starts with the organization's name. */
class WebApi implements CustomerEngagement {
  readonly name: string;
  readonly #root: ServiceRoot;
  readonly #auth: Authentication;
  readonly #transport: Transport;
  readonly #markColumn: string | undefined;
  readonly #warn: (message: string) => void;

  constructor(settings: Settings) {
    this.name = settings.name;
    this.#root = new ServiceRoot(settings);
    this.#auth = settings.auth;
    this.#markColumn = settings.markColumn;
    this.#warn = settings.warn ?? (() => {});
    this.#transport = new Transport({
      origin: this.#root.origin,
      ca: settings.caFile === undefined ? undefined : readFileSync(settings.caFile, 'utf8'),
      deadline: settings.deadline ?? 30_000,
      connections: settings.connections ?? 8,
    });
  }

  whoAmI(signal?: AbortSignal): Promise<string> {
    return this.#named(async () => {
      const answer = await this.#send({ method: 'GET', path: this.#root.path('WhoAmI'), headers: READ_HEADERS }, 'read', signal);
      return readAnswer(answer, Caller, 'read').UserId;
    });
  }

  /**
   * The server compares as its database does, which may be without regard to accents: the caller compares names again.
   * More names than fit into one address take several requests.
   */
  find(query: { systemuserids?: readonly string[]; domainNames: readonly string[] }, signal?: AbortSignal): Promise<SystemUser[]> {
    return this.#named(async () => {
      const found = new Map<string, SystemUser>();
      for (const path of findPaths(query, this.#markColumn)) {
        const page = await this.#page(this.#root.path(path), READ_HEADERS, signal);
        // So few records are never split by an honest server, and half an answer must not look like a whole one.
        if (page.next !== undefined) throw new CustomerEngagementError('transient', 'a search for single records was answered in pages');
        for (const row of page.rows) {
          const user = readRecord(row, this.#markColumn);
          // It may be the very one that is looked for.
          if ('flaw' in user) throw new CustomerEngagementError('transient', `the answer has ${user.flaw}`);
          found.set(user.systemuserid, user);
        }
      }
      return [...found.values()];
    });
  }

  async *all({ since }: { since?: string | undefined }, signal?: AbortSignal): AsyncGenerator<SystemUser[], void, undefined> {
    const seen = new Set<string>();
    let path: string | undefined = this.#root.path(allPath(since, this.#markColumn));
    while (path !== undefined) {
      const here: string = path;
      const page: Page = await this.#named(async () => {
        if (seen.has(here)) throw new CustomerEngagementError('transient', 'the next page is one that was read before');
        return await this.#page(here, PAGE_HEADERS, signal);
      });
      seen.add(here);
      yield page.rows.flatMap((row) => {
        const user = readRecord(row, this.#markColumn);
        if (!('flaw' in user)) return [user];
        this.#warn(`${this.name}: set aside ${user.flaw}`);
        return [];
      });
      path = page.next;
    }
  }

  setDomainName(
    systemuserid: string,
    domainName: string,
    { names, signal }: { names?: PersonNames | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<string> {
    return this.#named(async () => {
      const path = this.#root.path(namePath(systemuserid));
      const body = JSON.stringify({ domainname: domainName, ...names });
      const answer = await this.#send({ method: 'PATCH', path, headers: WRITE_HEADERS, body }, 'write', signal);
      if (answer.status !== 204) return nameIn(answer, systemuserid, 'write');
      // Written, but not shown: what it is now has to be asked for.
      try {
        return nameIn(await this.#send({ method: 'GET', path, headers: READ_HEADERS }, 'read', signal), systemuserid, 'read');
      } catch (cause) {
        if (!(cause instanceof CustomerEngagementError)) throw cause;
        const { message, status, retryAfter } = cause;
        throw new CustomerEngagementError('unknown-outcome', `written, but not to be read afterwards: ${message}`, {
          status,
          retryAfter,
          cause,
        });
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#transport.close(), this.#auth.close?.()]);
  }

  async #page(path: string, headers: Request['headers'], signal: AbortSignal | undefined): Promise<Page> {
    const answer = await this.#send({ method: 'GET', path, headers }, 'read', signal);
    const page: RecordPage = readAnswer(answer, RecordPage, 'read');
    const link = page['@odata.nextLink'];
    return { rows: page.value, next: link === undefined ? undefined : this.#root.follow(link) };
  }

  async #send(request: Request, purpose: Purpose, signal: AbortSignal | undefined): Promise<Answer> {
    try {
      return await this.#transport.use((connection) => this.#auth.send(request, connection, signal), signal);
    } catch (error) {
      if (error instanceof TransportError) throw unreached(error, purpose);
      throw error;
    }
  }

  async #named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CustomerEngagementError)) throw error;
      const { failure, message, status, code, retryAfter, cause } = error;
      throw new CustomerEngagementError(failure, `${this.name}: ${message}`, { status, code, retryAfter, cause });
    }
  }
}

interface Page {
  readonly rows: readonly unknown[];
  readonly next: string | undefined;
}

function nameIn(answer: Answer, systemuserid: string, purpose: Purpose): string {
  const record = readAnswer(answer, NamedRecord, purpose);
  if (record.systemuserid !== undefined && record.systemuserid !== systemuserid.toLowerCase()) {
    throw new CustomerEngagementError(doubt(purpose), 'the answer is about another record', { status: answer.status });
  }
  return record.domainname ?? '';
}
