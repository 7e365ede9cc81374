import { Ber, BerWriter, Control, FilterParser } from 'ldapts';
import { DirectoryError, type Page } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { Vector } from '../../streams/origin.ts';
import { Position, type PositionInput } from '../../streams/position.ts';
import { BerCursor, BerError, Tag } from './ber.ts';
import { type Committed, readCommitted, shownNow } from './committed.ts';
import type { LdapConnection } from './connection.ts';
import { DIRSYNC } from './controls.ts';
import { vectorOfCookie } from './cookie.ts';
import { Endless } from './endless.ts';
import { toObservation, USER_FILTER } from './entry.ts';
import { inWords, ResultCode, refusal } from './failure.ts';
import type { LdapResult } from './message.ts';
import { isObjectSecurity } from './method.ts';
import type { Reader, ReaderSettings } from './reader.ts';
import { BlobError } from './records.ts';
import { EntryStream, type SearchEnd } from './search.ts';

/** Of one answer; servers take at least 1 MiB and at most a thousand objects. */
const MAX_BYTES = 0x20_0000;

/** The request's control value: SEQUENCE { Flags, MaxBytes, Cookie }. An empty cookie asks for everything. */
export function encodeDirSync(flags: number, maxBytes: number, cookie: Buffer): Buffer {
  const writer = new BerWriter({ size: cookie.length + 64 });
  writer.startSequence();
  // The writer's integers are signed 32-bit ones: INCREMENTAL_VALUES becomes the four bytes that a domain controller takes.
  writer.writeInt(flags);
  writer.writeInt(maxBytes);
  writer.writeBuffer(cookie, Ber.OctetString);
  writer.endSequence();
  return writer.buffer;
}

/** @throws BerError */
export function decodeDirSync(value: Buffer): { more: boolean; cookie: Buffer } {
  const sequence = new BerCursor(value).enter(Tag.sequence);
  const more = sequence.integer() !== 0;
  sequence.integer();
  return { more, cookie: sequence.bytes() };
}

class DirSyncControl extends Control {
  readonly #flags: number;
  readonly #cookie: Buffer;

  constructor(flags: number, cookie: Buffer) {
    // Not critical would be an ordinary search for a server that does not know it.
    super(DIRSYNC, { critical: true });
    this.#flags = flags;
    this.#cookie = cookie;
  }

  protected override writeControl(writer: BerWriter): void {
    writer.writeBuffer(encodeDirSync(this.#flags, MAX_BYTES, this.#cookie), Ber.OctetString);
  }
}

export interface DirSyncSettings extends ReaderSettings {
  /** Of the control. */
  readonly flags: number;
  /** What to make of it that this domain controller gives nothing by DirSync. */
  readonly onRefusal: (error: DirectoryError) => DirectoryError;
}

/** Reads from a cookie, or everything, in as many answers as the server makes of it. */
export class DirSyncReader implements Reader {
  readonly #connection: LdapConnection;
  readonly #settings: DirSyncSettings;
  /** What had been seen before this read. */
  readonly #before: Vector;
  #cookie: Buffer;
  #patience: number;
  #committed: Committed | undefined;
  #stream: EntryStream | undefined;
  /** Of this answer. */
  #entries = 0;
  readonly #endless = new Endless();

  constructor(connection: LdapConnection, settings: DirSyncSettings, position: Position | undefined) {
    this.#connection = connection;
    this.#settings = settings;
    this.#before = position?.seen ?? {};
    this.#cookie = position === undefined ? Buffer.alloc(0) : Buffer.from(position.cookie, 'base64');
    this.#patience = settings.patience;
  }

  async next(): Promise<Page> {
    // A server may answer what it was asked side by side in any order, so the number is there before the read is asked for.
    this.#committed ??= await readCommitted(this.#connection);
    const stream = this.#begin();
    const observations: Observation[] = [];
    while (observations.length < this.#settings.pageSize) {
      const item = await stream.next(this.#patience);
      if ('end' in item) return this.#finish(observations, item.end);
      this.#patience = this.#connection.deadline;
      this.#entries += 1;
      const observation = toObservation(item.entry, this.#settings.warn, false, this.#settings.watched);
      if (observation !== undefined) observations.push(observation);
    }
    return { observations, position: undefined, last: false, isHalfAnAnswer: true };
  }

  /** The server is at work for this read. */
  get waiting(): boolean {
    return this.#stream?.waiting === true;
  }

  /** Gives the connection free when the rest is not wanted. */
  abandon(): void {
    this.#stream?.abandon();
    this.#stream = undefined;
  }

  #begin(): EntryStream {
    if (this.#stream !== undefined) return this.#stream;
    this.#stream = new EntryStream(
      this.#connection,
      {
        baseDN: this.#settings.here.namingContext,
        scope: 'sub',
        filter: FilterParser.parseString(USER_FILTER),
        attributes: this.#settings.watched.names,
        controls: [new DirSyncControl(this.#settings.flags, this.#cookie)],
      },
      'the DirSync read',
    );
    return this.#stream;
  }

  async #finish(observations: Observation[], { result, controls }: SearchEnd): Promise<Page> {
    this.#stream = undefined;
    if (result.code !== ResultCode.success) throw this.#refused(result);
    const { more, cookie } = this.#decode(controls.get(DIRSYNC));
    if (cookie.length === 0) throw this.#nonsense('gave no cookie');
    if (more && cookie.equals(this.#cookie)) throw this.#nonsense('announces more and gives no other cookie');
    if (more && this.#endless.announcesMore(this.#entries)) throw this.#nonsense('announces more again and again and gives nothing');
    this.#entries = 0;
    this.#cookie = Buffer.from(cookie);
    return { observations, position: this.#position(this.#committed, more), last: !more };
  }

  #position({ usn: highestCommittedUSN, at }: Committed = { usn: '0', at: undefined }, more: boolean): Position {
    const { here, watched, scope, flags } = this.#settings;
    const { namingContext, dc, invocationId, domainSid } = here;
    return Position.parse({
      namingContext,
      dc,
      invocationId,
      highestCommittedUSN,
      source: 'dirsync',
      filter: USER_FILTER,
      attributes: [...watched.names],
      profile: [...watched.profile],
      scope,
      flags,
      domainSid,
      cookie: this.#cookie.toString('base64'),
      // In the middle of a read anything may still be to come. At its end the cookie tells of the writes on other domain controllers;
      // of those on this one the number from before the read is certain, while Samba's cookie has the one from after it.
      seen: more ? this.#before : { ...this.#replicated(), [invocationId]: highestCommittedUSN },
      shown: shownNow(invocationId, highestCommittedUSN, at),
      readAt: new Date().toISOString(),
    } satisfies PositionInput);
  }

  /** A cookie of another kind tells nothing; what the domain controller had seen when the session began is known all the same. */
  #replicated(): Vector {
    try {
      return vectorOfCookie(this.#cookie);
    } catch (error) {
      if (error instanceof BlobError) return this.#settings.here.vector;
      throw error;
    }
  }

  #decode(value: Buffer | undefined): { more: boolean; cookie: Buffer } {
    // Success without the control would be an ordinary search: its entries say nothing about where to go on.
    if (value === undefined) throw this.#nonsense('gave no DirSync control');
    try {
      return decodeDirSync(value);
    } catch (error) {
      if (error instanceof BerError) throw this.#nonsense(`gave a DirSync control with ${error.message}`);
      throw error;
    }
  }

  #refused(result: LdapResult): DirectoryError {
    const { name } = this.#connection;
    if (this.#cookie.length > 0 && isCookieRefusal(result)) {
      return new DirectoryError('position', `${name}: the stored position was refused (${inWords(result)})`);
    }
    const { flags, here, onRefusal } = this.#settings;
    const error = refusal(result, `${name}: the DirSync read`);
    if (error.failure !== 'rights' && error.failure !== 'configuration') return error;
    if (result.code !== ResultCode.insufficientAccessRights || isObjectSecurity(flags)) return onRefusal(error);
    const needs = `the account needs "Replicating Directory Changes" (DS-Replication-Get-Changes) on ${here.namingContext}`;
    return onRefusal(new DirectoryError('rights', `${error.message}: ${needs}`));
  }

  #nonsense(what: string): DirectoryError {
    return new DirectoryError('configuration', `${this.#connection.name}: the server answered a DirSync read with success but ${what}`);
  }
}

/** Windows answers a cookie that it cannot read with 2 and 0000203D, Samba with 12 and a sentence. */
function isCookieRefusal({ code, diagnostic }: LdapResult): boolean {
  if (code === ResultCode.protocolError) return /\b0000203D\b/i.test(diagnostic);
  return code === ResultCode.unavailableCriticalExtension && /unmarshall cookie/i.test(diagnostic);
}
