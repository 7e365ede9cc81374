import { z } from 'zod';
import {
  type CustomerEngagement,
  CustomerEngagementError,
  type PersonColumns,
  type PersonNames,
  type SystemUser,
  type Written,
} from '../../streams/customer-engagement.ts';
import { readAnswer } from './answers.ts';
import { allPath, Caller, findPaths, NamedRecord, namePath, RecordPage, readRecord, recordPath } from './records.ts';
import { doubt, type Purpose } from './refusals.ts';
import { READ_HEADERS, Requests, type Settings, WRITE_HEADERS } from './requests.ts';
import type { Answer, Request } from './transport.ts';

export type { Settings };

const PAGE_HEADERS = { ...READ_HEADERS, prefer: 'odata.maxpagesize=5000' };

/**
 * Opens nothing yet: connections are made when they are needed.
 *
 * @throws Error when the settings cannot be used
 */
export function customerEngagement(settings: Settings): CustomerEngagement {
  return new WebApi(settings);
}

/** The Web API of one organization. What it shows after a write includes what may have changed with the name (assumption A4). */
class WebApi implements CustomerEngagement {
  readonly name: string;
  readonly #requests: Requests;
  readonly #markColumn: string | undefined;
  readonly #warn: (message: string) => void;

  constructor(settings: Settings) {
    this.name = settings.name;
    this.#requests = new Requests(settings);
    this.#markColumn = settings.markColumn;
    this.#warn = settings.warn ?? (() => {});
  }

  whoAmI(signal?: AbortSignal): Promise<string> {
    return this.#requests.named(async () => {
      const answer = await this.#requests.send(
        { method: 'GET', path: this.#requests.root.path('WhoAmI'), headers: READ_HEADERS },
        'read',
        signal,
      );
      return readAnswer(answer, Caller, 'read').UserId;
    });
  }

  /**
   * The server compares as its database does, which may be without regard to accents: the caller compares names again.
   * More names than fit into one address take several requests.
   */
  find(query: { systemuserids?: readonly string[]; domainNames: readonly string[] }, signal?: AbortSignal): Promise<SystemUser[]> {
    return this.#requests.named(async () => {
      const found = new Map<string, SystemUser>();
      for (const path of findPaths(query, this.#markColumn)) {
        const page = await this.#page(this.#requests.root.path(path), READ_HEADERS, signal);
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
    let path: string | undefined = this.#requests.root.path(allPath(since, this.#markColumn));
    while (path !== undefined) {
      const here: string = path;
      const page: Page = await this.#requests.named(async () => {
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
  ): Promise<Written> {
    return this.#requests.named(async () => {
      const path = this.#requests.root.path(namePath(systemuserid));
      const body = JSON.stringify({ domainname: domainName, ...names });
      const answer = await this.#requests.send({ method: 'PATCH', path, headers: WRITE_HEADERS, body }, 'write', signal);
      if (answer.status !== 204) return writtenIn(answer, systemuserid, 'write');
      // Written, but not shown: what it is now has to be asked for.
      try {
        return writtenIn(await this.#requests.send({ method: 'GET', path, headers: READ_HEADERS }, 'read', signal), systemuserid, 'read');
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

  setColumns(systemuserid: string, columns: Partial<PersonColumns>, signal?: AbortSignal): Promise<void> {
    return this.#requests.named(async () => {
      const path = this.#requests.root.path(recordPath(systemuserid));
      const body = JSON.stringify(Object.fromEntries(Object.entries(columns).map(([column, text]) => [column, text === '' ? null : text])));
      const { prefer: _, ...headers } = WRITE_HEADERS;
      const answer = await this.#requests.send({ method: 'PATCH', path, headers, body }, 'write', signal);
      if (answer.status !== 204) readAnswer(answer, z.unknown(), 'write');
    });
  }

  async close(): Promise<void> {
    await this.#requests.close();
  }

  async #page(path: string, headers: Request['headers'], signal: AbortSignal | undefined): Promise<Page> {
    const answer = await this.#requests.send({ method: 'GET', path, headers }, 'read', signal);
    const page: RecordPage = readAnswer(answer, RecordPage, 'read');
    const link = page['@odata.nextLink'];
    return { rows: page.value, next: link === undefined ? undefined : this.#requests.root.follow(link) };
  }
}

interface Page {
  readonly rows: readonly unknown[];
  readonly next: string | undefined;
}

function writtenIn(answer: Answer, systemuserid: string, purpose: Purpose): Written {
  const record = readAnswer(answer, NamedRecord, purpose);
  if (record.systemuserid !== undefined && record.systemuserid !== systemuserid.toLowerCase()) {
    throw new CustomerEngagementError(doubt(purpose), 'the answer is about another record', { status: answer.status });
  }
  return record.written;
}
