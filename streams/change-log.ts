import type { Observable } from 'rxjs';
import { z } from 'zod';
import type { Change, ChangeEvent } from './change.ts';
import type { Identity, KnownIdentities } from './identity.ts';
import type { LogEvent, Notice } from './notice.ts';
import type { Origins } from './origin.ts';
import type { Position } from './position.ts';
import type { Link, Repair } from './repair.ts';
import type { RepairAnswer, RepairRequest } from './repair-request.ts';

/**
 * The port to the log of everything that happened: identity changes, what is known of each identity, where the listeners
 * stand, and the repairs. One port, several engines, one suite of contract tests.
 */
export interface ChangeLog extends AsyncDisposable {
  /** For logs: which engine, where. Never a secret. */
  readonly name: string;
  /**
   * Waits until no other listener holds the lease, shuts out every earlier writer, then reads what the log knows.
   *
   * @param onStandby called when another one holds it, so that it has to be waited for
   * @throws FencedError @throws LogError
   */
  openListener(signal: AbortSignal, onStandby?: () => void): Promise<ListenerLog>;
  /** The same for the repairer of one organization. */
  openRepairer(organization: string, signal: AbortSignal, onStandby?: () => void): Promise<RepairerLog>;
  /**
   * Reads the history, in order per objectGUID, without moving any group. Ends at what was the end when it began.
   *
   * @param onEvents awaited before more is read
   */
  replay(onEvents: (events: readonly LogEvent[]) => void | Promise<void>): Promise<void>;
  /**
   * Reads the journal of the repairs of all organizations, in order per systemuserid. Ends at what was the end when it began.
   *
   * @param onRepairs awaited before more is read
   */
  replayRepairs(onRepairs: (repairs: readonly Repair[]) => void | Promise<void>): Promise<void>;
  /** What the log says of itself now; takes no lease and changes nothing. */
  status(): Promise<LogStatus>;
  /** What is known now, to look at while others are at work; takes no lease and changes nothing. */
  look(): Promise<Look>;
  /** Asks whoever listens for something; durable when it resolves. The last request of a kind for a naming context counts. */
  request(request: ListenerRequest): Promise<void>;
  /** Asks those who repair organizations for something; durable when it resolves. The last request for a record counts. */
  requestRepair(...requests: readonly RepairRequest[]): Promise<void>;
  /** What became of the last request for this record that was served. */
  answer(organization: string, systemuserid: string): Promise<RepairAnswer | undefined>;
}

/** What somebody asks of the listener of a naming context, by way of the log. */
export const ListenerRequest = z.object({
  /** Unlike that of any other request. */
  id: z.string(),
  /** `compare`: read everything and compare. `accept-deletions`: report those that were withheld, if they are still the same. */
  kind: z.enum(['compare', 'accept-deletions']),
  namingContext: z.string(),
  /** Of accept-deletions: the digest of what is accepted. */
  digest: z.string().optional(),
  time: z.iso.datetime(),
});
export type ListenerRequest = z.infer<typeof ListenerRequest>;

export interface KnownAccounts extends KnownIdentities {
  /**
   * The writes that the known values come from, as far as they are known: of what was reported since the baseline. Of an account that is
   * gone the one by which it was deleted, for as long as the log remembers it.
   */
  origins(objectGUID: string): Origins;
  /** Also one that only says that the first read has begun. */
  position(namingContext: string): Position | undefined;
  /** How many identities of this domain are known. */
  count(domain: string): number;
  /** Those whose identity is of this domain, without loading them all at once. */
  objectGUIDs(domain: string): Iterable<string>;
}

/** What is known of the records of one organization. */
export interface KnownRepairs {
  link(objectGUID: string): Link | undefined;
  linkOfRecord(systemuserid: string): Link | undefined;
  /** Whether a person said that this record is not that account's. */
  isDenied(objectGUID: string, systemuserid: string): boolean;
  repair(systemuserid: string): Repair | undefined;
  /** Every repair that has not ended. */
  openRepairs(): Repair[];
}

export interface Look extends KnownAccounts, AsyncDisposable {
  /** objectGUIDs of all accounts that are known to have given up this name, the last one first. */
  formerHolders(domain: string, sAMAccountName: string): string[];
  identities(): AsyncIterable<readonly Identity[]>;
  organization(name: string): KnownRepairs & { links(): Link[] };
}

export interface ListenerLog extends KnownAccounts, AsyncDisposable {
  /** Aborts, with its reason, when the lease is lost: another listener may be at work. */
  readonly lost: AbortSignal;
  /** Whether any identity of this domain is known. */
  knows(domain: string): boolean;
  /** The last request of each kind for each naming context, whoever made it and when. */
  requests(): Promise<ListenerRequest[]>;
  /**
   * Makes changes, identities and position visible together, durable when it resolves. One call at a time.
   *
   * @returns the changes with their place in the log
   * @throws FencedError when another writer took over; nothing of the batch is visible then
   * @throws LogError when it is not known whether the batch is visible: open anew and read what the log knows
   */
  append(batch: Batch): Promise<ChangeEvent[]>;
}

export interface Batch {
  /** What was read. */
  readonly namingContext: string;
  readonly changes: readonly Change[];
  /** What is known from now on; null for an account that is gone. */
  readonly identities: ReadonlyMap<string, Identity | null>;
  /** Of those identities; whoever has none here has none from now on. */
  readonly origins?: ReadonlyMap<string, Origins>;
  /** Numbered before the changes. */
  readonly notices?: readonly Notice[];
  /** Where to resume once this batch is durable. Absent in the middle of a read, but not at the beginning of the first one. */
  readonly position: Position | undefined;
}

/** What a repairer needs of the log. */
export interface RepairerLog extends KnownRepairs, AsyncDisposable {
  readonly lost: AbortSignal;
  /**
   * Resolves once it is certain that no other repairer works for this organization, which is at once unless the log is silent or
   * this process was frozen. What is written elsewhere cannot be fenced, so this is asked before each such write.
   *
   * @throws FencedError @throws LogError when another one may be at work
   */
  confirm(): Promise<void>;
  /** Events not yet acknowledged for this organization, in order per objectGUID, at least once. What they made of their accounts is known. */
  readonly changes: Observable<ChangePage>;
  /** False until a listener has read the directory whole. */
  readonly baselined: boolean;
  /** The identity as of now; `refresh` first when events are newer than what is known. */
  identity(objectGUID: string): Identity | undefined;
  /** objectGUID of the account that has this name. */
  holder(domain: string, sAMAccountName: string): string | undefined;
  /** objectGUIDs of all accounts that are known to have given up this name. */
  formerHolders(domain: string, sAMAccountName: string): string[];
  /** All that are known, page by page, others having their turn in between. */
  identities(): AsyncIterable<readonly Identity[]>;
  /** The sequence up to which identities are known. */
  readonly knownSequence: number;
  /** Reads what other processes wrote to the log since. */
  refresh(): Promise<void>;
  /** Those that were not answered yet. @throws LogError */
  requests(): Promise<RepairRequest[]>;
  /** Visible together, and durable when it resolves. Calls may overlap; they are written in their order. @throws FencedError @throws LogError */
  record(entries: JournalEntries): Promise<void>;
}

/** What a repairer writes at once. */
export interface JournalEntries {
  readonly repairs?: readonly Repair[];
  readonly links?: readonly Link[];
  readonly answers?: readonly RepairAnswer[];
}

export interface ChangePage {
  readonly changes: readonly ChangeEvent[];
  /** Everything up to the end of this page has been taken over durably. The next page comes only after this. */
  ack(): Promise<void>;
}

export interface LogStatus {
  /** Of directories that were read to their ends. */
  readonly positions: readonly (Position & { time: string })[];
  readonly sequence: number;
  readonly identities: number;
  readonly lastEvent: ChangeEvent | undefined;
  readonly repairs: readonly Repair[];
  readonly links: number;
  /** The last one of each kind for each naming context that somebody made of a listener, served or not. */
  readonly requests: readonly ListenerRequest[];
}

/** Another writer has taken over: stop, and do not take it back. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
}

/** The log failed. Nothing is known about the last write; what the log says when it is opened anew is the truth. */
export class LogError extends Error {
  override readonly name = 'LogError';
}
