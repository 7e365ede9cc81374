import { type Control, type Filter, SearchRequest } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { BerError } from './ber.ts';
import type { LdapConnection, Operation } from './connection.ts';
import { ResultCode, refusal } from './failure.ts';
import { type LdapEntry, type LdapMessage, type LdapResult, Response, readEntry, readResult } from './message.ts';

export interface SearchParameters {
  readonly baseDN: string;
  readonly scope: 'base' | 'one' | 'sub';
  readonly filter: Filter;
  readonly attributes: readonly string[];
  readonly controls?: readonly Control[];
}

/** The end of a search, with the values of its response controls by OID. */
export interface SearchEnd {
  readonly result: LdapResult;
  readonly controls: ReadonlyMap<string, Buffer>;
}

export type SearchItem = { readonly entry: LdapEntry } | { readonly end: SearchEnd };

/** More answers than this are no answer where one is asked for. */
const A_FEW = 10;

/** Never a time limit: the server would cut a long read off and call that an answer. */
export function searchRequest(messageId: number, { attributes, controls = [], ...rest }: SearchParameters): SearchRequest {
  return new SearchRequest({ ...rest, messageId, attributes: [...attributes], controls: [...controls], timeLimit: 0, sizeLimit: 0 });
}

/**
 * A search whose entries are pulled. While nobody pulls, nothing is taken from the wire beyond the chunk in hand,
 * so only searches that may wait for their reader belong on the same connection.
 */
export class EntryStream implements Operation {
  readonly #connection: LdapConnection;
  readonly #items: SearchItem[] = [];
  readonly #what: string;
  #waiting: { resolve(item: SearchItem): void; reject(error: DirectoryError): void } | undefined;
  #failure: DirectoryError | undefined;
  readonly #messageId: number;

  /** @param what names the search in errors */
  constructor(connection: LdapConnection, parameters: SearchParameters, what: string) {
    this.#connection = connection;
    this.#what = what;
    this.#messageId = connection.send((messageId) => searchRequest(messageId, parameters), this);
  }

  /** Somebody waits for the server. */
  get waiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Drops what is there and what still comes. */
  abandon(): void {
    this.#connection.abandon(this.#messageId);
    this.#items.length = 0;
    this.#connection.resume();
  }

  /**
   * The next entry, or the end, which comes once.
   *
   * @param patience milliseconds after which a server that sends nothing counts as gone, and with it the connection
   * @throws DirectoryError
   */
  async next(patience: number = this.#connection.deadline): Promise<SearchItem> {
    const item = this.#items.shift();
    if (item !== undefined) {
      if (this.#items.length === 0) this.#connection.resume();
      return item;
    }
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<SearchItem>();
    this.#waiting = { resolve, reject };
    const timer = setTimeout(() => this.#connection.timedOut(this.#what, patience), patience);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  receive(message: LdapMessage): boolean {
    switch (message.operation) {
      case Response.searchEntry:
        this.#offer({ entry: readEntry(message.body) });
        return false;
      case Response.searchReference: // to another naming context, which is not asked for
        return false;
      case Response.searchDone:
        this.#offer({ end: { result: readResult(message.body), controls: message.controls } });
        return true;
      default:
        throw unexpected(message);
    }
  }

  fail(error: DirectoryError): void {
    this.#failure = error;
    this.#waiting?.reject(error);
  }

  #offer(item: SearchItem): void {
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve(item);
      return;
    }
    this.#items.push(item);
    this.#connection.pause();
  }
}

/** A search that may go without an answer got none. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

export interface Expected {
  /** Entries at most. Default: a few. */
  readonly atMost?: number;
  /** Where the server is late, refuses, or gives more than that, it is asked no more, and the connection is not the worse for it. */
  readonly isOptional?: boolean;
  /** What a refusal means. Default: that there are no entries where the base does not exist, else a DirectoryError. */
  readonly refused?: (result: LdapResult, what: string) => Error | undefined;
}

/**
 * All entries of a search that can only have so many, taken at once.
 *
 * @param what names the search in errors
 * @throws DirectoryError when it is refused, or goes on beyond what was expected
 * @throws Unanswered instead, where it is optional
 */
export function findEntries(
  connection: LdapConnection,
  parameters: SearchParameters,
  what: string,
  { atMost = A_FEW, isOptional = false, refused = unlessNotThere }: Expected = {},
): Promise<LdapEntry[]> {
  const { promise, resolve, reject } = Promise.withResolvers<LdapEntry[]>();
  const entries: LdapEntry[] = [];
  const giveUp = (why: string) => {
    connection.abandon(messageId);
    reject(new Unanswered(`${connection.name}: ${what} ${why}`));
  };
  const late = () => (isOptional ? giveUp('took too long') : connection.timedOut(what, connection.deadline));
  const timer = setTimeout(late, connection.deadline);
  const messageId = connection.send((id) => searchRequest(id, parameters), {
    receive: (message) => {
      if (message.operation === Response.searchEntry) {
        if (entries.push(readEntry(message.body)) <= atMost) return false;
        const tooMany = `has more than ${atMost} answers`;
        if (isOptional) giveUp(tooMany);
        else reject(new DirectoryError('configuration', `${connection.name}: ${what} ${tooMany}`));
        return true;
      }
      if (message.operation === Response.searchReference) return false;
      if (message.operation !== Response.searchDone) throw unexpected(message);
      const result = readResult(message.body);
      const error = result.code === ResultCode.success ? undefined : refused(result, `${connection.name}: ${what}`);
      if (error === undefined) resolve(entries);
      else reject(isOptional ? new Unanswered(error.message, { cause: error }) : error);
      return true;
    },
    fail: reject,
  });
  return promise.finally(() => clearTimeout(timer));
}

function unlessNotThere(result: LdapResult, what: string): Error | undefined {
  return result.code === ResultCode.noSuchObject ? undefined : refusal(result, what);
}

function unexpected({ operation }: LdapMessage): BerError {
  return new BerError(`an answer of tag 0x${operation.toString(16)} to a search`);
}
