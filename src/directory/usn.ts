import { Control, FilterParser } from 'ldapts';
import { DirectoryError, type Page } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { Vector } from '../../streams/origin.ts';
import { Position, type PositionInput } from '../../streams/position.ts';
import { BerError } from './ber.ts';
import { type Committed, readCommitted, shownNow } from './committed.ts';
import type { LdapConnection } from './connection.ts';
import { SHOW_DELETED, SHOW_RECYCLED } from './controls.ts';
import { Endless } from './endless.ts';
import { toObservation, USER_FILTER } from './entry.ts';
import { ResultCode, refusal } from './failure.ts';
import type { LdapEntry } from './message.ts';
import { isWholeDomain } from './method.ts';
import { readNamingContext } from './naming-context.ts';
import { writesOf } from './objects.ts';
import { nextPage, pagedResults } from './paged-results.ts';
import type { Reader, ReaderSettings } from './reader.ts';
import { seenOn } from './replication.ts';
import { EntryStream, type SearchEnd } from './search.ts';
import { decodeWatermarks, encodeWatermarks } from './watermarks.ts';

/** A domain controller gives no more in one answer, unless an administrator raised MaxPageSize. */
const MAX_PAGE_SIZE = 1_000;

export interface UsnSettings extends ReaderSettings {
  readonly base: string;
  /** How far other domain controllers were read. */
  readonly elsewhere: Vector;
}

/**
 * Reads what has a higher uSNChanged than when it was read last, or everything; each object whole, since nothing tells which attribute
 * changed. The new watermark is what the domain controller had committed before the read: what changes meanwhile comes again.
 */
export class UsnReader implements Reader {
  readonly #connection: LdapConnection;
  readonly #settings: UsnSettings;
  /** Up to where this domain controller was read; undefined for everything. */
  readonly #from: string | undefined;
  readonly #isForeign: boolean;
  /** Still to be searched. Deleted objects leave their parents. */
  readonly #bases: string[];
  #patience: number;
  #before: Promise<Committed & { replicated: Vector }> | undefined;
  #stream: EntryStream | undefined;
  /** Of the answer before. */
  #cookie: Buffer | undefined;
  /** Entries of this answer. */
  #entries = 0;
  readonly #endless = new Endless();

  constructor(connection: LdapConnection, settings: UsnSettings, position: Position | undefined) {
    const { base, here } = settings;
    this.#connection = connection;
    this.#settings = settings;
    this.#patience = settings.patience;
    this.#bases = isWholeDomain(settings, here.namingContext) ? [base] : [base, `CN=Deleted Objects,${here.namingContext}`];
    this.#from = position && decodeWatermarks(position)?.usns[here.invocationId];
    this.#isForeign = position !== undefined && this.#from === undefined;
  }

  get waiting(): boolean {
    return this.#stream?.waiting === true;
  }

  async next(): Promise<Page> {
    const observations: Observation[] = [];
    // A server may answer what it was asked side by side in any order, so the number is there before the read is asked for.
    this.#before ??= this.#askWhatIsCommitted();
    await this.#before;
    while (observations.length < this.#settings.pageSize) {
      this.#stream ??= this.#search();
      const item = await this.#stream.next(this.#patience);
      this.#patience = this.#connection.deadline;
      if ('entry' in item) {
        this.#entries += 1;
        const observation = this.#observe(item.entry);
        if (observation !== undefined) observations.push(observation);
      } else if (this.#isLast(item.end)) {
        return { observations, position: await this.#position(), last: true };
      }
    }
    return { observations, position: undefined, last: false };
  }

  abandon(): void {
    this.#stream?.abandon();
    this.#stream = undefined;
  }

  /** @throws DirectoryError when the position is none of this domain controller's */
  #search(): EntryStream {
    if (this.#isForeign) {
      const { name } = this.#connection;
      throw new DirectoryError('position', `${name}: the stored position does not say how far ${this.#settings.here.dc} was read`);
    }
    this.#entries = 0;
    const { pageSize, watched } = this.#settings;
    const changed = this.#from === undefined ? '' : `(uSNChanged>=${BigInt(this.#from) + 1n})`;
    const parameters = {
      baseDN: this.#bases[0] ?? '',
      scope: 'sub',
      filter: FilterParser.parseString(`(&${USER_FILTER}${changed})`),
      // Of what changed it has to be told apart whether it was created or brought back; of everything nobody asks.
      attributes: this.#from === undefined ? watched.names : [...watched.names, 'replPropertyMetaData'],
      controls: [new Control(SHOW_DELETED), new Control(SHOW_RECYCLED), pagedResults(Math.min(pageSize, MAX_PAGE_SIZE), this.#cookie)],
    } as const;
    return new EntryStream(this.#connection, parameters, 'the read by uSNChanged');
  }

  #askWhatIsCommitted(): Promise<Committed & { replicated: Vector }> {
    const { here, warn } = this.#settings;
    return Promise.all([readCommitted(this.#connection), readNamingContext(this.#connection, here.namingContext, warn)]).then(
      ([committed, { replicated }]) => ({ ...committed, replicated }),
    );
  }

  #observe(entry: LdapEntry): Observation | undefined {
    const { warn, watched } = this.#settings;
    const observation = toObservation(entry, warn, true, watched);
    if (observation === undefined || observation.deleted) return observation;
    // A living account that has a write of isDeleted was brought back.
    const { deleted: _, ...living } = observation;
    return writesOf(entry, warn, watched).isDeleted === undefined ? living : { ...living, deleted: false };
  }

  /** @returns whether there is nothing more to search @throws DirectoryError */
  #isLast({ result, controls }: SearchEnd): boolean {
    const { name } = this.#connection;
    this.#stream = undefined;
    if (result.code !== ResultCode.success) {
      // CN=Deleted Objects is not there for whoever may not see it.
      const isHidden = result.code === ResultCode.noSuchObject && this.#bases[0] !== this.#settings.base;
      if (!isHidden) throw refusal(result, `${name}: the read of ${this.#bases[0]} by uSNChanged`);
      this.#cookie = undefined;
    } else {
      const cookie = this.#pageAfter(controls);
      if (cookie !== undefined && this.#entries === 0 && this.#cookie?.equals(cookie))
        throw this.#nonsense('announces more and gives nothing');
      if (cookie !== undefined && this.#endless.announcesMore(this.#entries))
        throw this.#nonsense('announces more again and again and gives nothing');
      this.#cookie = cookie;
    }
    if (this.#cookie === undefined) this.#bases.shift();
    return this.#bases.length === 0;
  }

  #pageAfter(controls: ReadonlyMap<string, Buffer>): Buffer | undefined {
    try {
      return nextPage(controls);
    } catch (error) {
      // Success without it would be an answer of which nobody knows whether it is whole.
      if (error instanceof BerError) throw this.#nonsense(`does not tell whether there is more (${error.message})`);
      throw error;
    }
  }

  #nonsense(what: string): DirectoryError {
    return new DirectoryError('configuration', `${this.#connection.name}: the server answered a paged read with success but ${what}`);
  }

  async #position(): Promise<Position> {
    const { base, elsewhere, here, watched, scope } = this.#settings;
    const { namingContext, dc, invocationId, domainSid } = here;
    const { usn, at, replicated } = await (this.#before ?? this.#askWhatIsCommitted());
    return Position.parse({
      namingContext,
      dc,
      invocationId,
      highestCommittedUSN: usn,
      source: 'usn',
      filter: USER_FILTER,
      attributes: [...watched.names],
      profile: [...watched.profile],
      scope,
      domainSid,
      cookie: encodeWatermarks({ base, usns: { ...elsewhere, [invocationId]: usn } }),
      seen: seenOn(here, replicated, usn),
      shown: shownNow(invocationId, usn, at),
      readAt: new Date().toISOString(),
    } satisfies PositionInput);
  }
}
