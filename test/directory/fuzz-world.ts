import { expect, vi } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../streams/listener/listener.ts';
import { isReadWhole } from '../../streams/position.ts';
import type { Random } from '../support/chain-random.ts';
import { guidBytes } from '../support/directory-values.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeDomainController } from '../support/fake-domain-controller.ts';
import { type Certificate, type LdapClient, type LdapRequest, LdapServer, searchDone, searchEntry } from '../support/ldap-server.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { MARK } from './account-changes.ts';
import { type Damage, type Stage, stageOf, type Wire } from './damage.ts';
import { NC, settingsFor } from './scripted-dc.ts';
import { Truth } from './truth.ts';

/** Kept before time is vitest's. */
const nextTurn = globalThis.setImmediate;
/** Turns of the event loop without a word from either side, after which they are taken to wait for time to pass. */
const QUIET_TURNS = 6;
/** Milliseconds by which time goes on at most while there is a connection: far below the deadlines. */
const LONGEST_STEP = 1_000;

/** How the directory is read. */
const WAYS = { dirsync: {}, scope: { scope: { include: { ous: [NC] } } }, usn: { source: 'usn' } } as const;
export type Way = keyof typeof WAYS;

/** What becomes of the answers to requests of one stage. */
export interface Trouble {
  readonly damage: Damage;
  readonly stage: Stage;
  /** Its own, so that the order in which the two connections ask changes nothing else. */
  readonly random: Random;
  struck: number;
}

/**
 * A listener on a server that can be put out of order. Time is vitest's and goes on only when neither side has anything to say, so
 * that quarters of an hour pass in milliseconds and nothing depends on how busy the machine is.
 */
export class FuzzWorld implements AsyncDisposable {
  readonly directory = new FakeDirectory();
  readonly log = new MemoryChangeLog();
  readonly reports: ListenerReport[] = [];
  readonly truth = new Truth(this.directory, this.log);
  trouble: Trouble | undefined;
  /** Changes whatever is sent. */
  noise: ((bytes: Buffer) => Buffer) | undefined;
  /** Whether what the listener says is held against what is true. */
  believes = true;
  readonly #dc = new FakeDomainController(this.directory);
  readonly #server: LdapServer;
  readonly #caFile: string | undefined;
  readonly #way: Way;
  readonly #intervals = new Set<NodeJS.Timeout>();
  readonly #mark = this.directory.addUser({ sAMAccountName: MARK });
  #marks = 0;
  #isListening = false;
  #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  #outcome: Error | 'completed' | undefined;

  private constructor(
    start: { server: LdapServer; answer: (request: LdapRequest, client: LdapClient) => void },
    caFile: string | undefined,
    way: Way,
  ) {
    this.#server = start.server;
    this.#caFile = caFile;
    this.#way = way;
    this.#dc.objectsPerAnswer = 8;
    start.answer = (request, client) => this.#answer(request, client);
  }

  /** Over TLS when there is a certificate. */
  static async start(tls: (Certificate & { readonly caFile: string }) | undefined, way: Way): Promise<FuzzWorld> {
    const start: { answer: (request: LdapRequest, client: LdapClient) => void } = { answer: () => {} };
    const server = await LdapServer.start((request, client) => start.answer(request, client), tls);
    return new FuzzWorld(Object.assign(start, { server }), tls?.caFile, way);
  }

  /** A new one, as a service manager starts it, unless one is running. */
  listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#outcome = undefined;
    this.#stop = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    const end = (outcome: Error | 'completed') => {
      this.#isListening = false;
      this.#outcome = outcome;
      resolve();
    };
    const scheme = this.#caFile === undefined ? 'ldap' : 'ldaps';
    const settings = settingsFor(this.#server, {
      urls: [`${scheme}://127.0.0.1:${this.#server.port}`],
      allowClearText: this.#caFile === undefined,
      caFile: this.#caFile,
      deadline: 5_000,
      patience: 20_000,
      heartbeat: 60_000,
      // Few accounts make several pages then, and several answers.
      pageSize: 3,
      ...WAYS[this.#way],
    });
    // In a directory of a few any deletion is one of many.
    const reading = { ...READING, deletionLimit: { count: 1_000, percent: 100 } };
    listen([ldapDirectorySource(settings)], this.log, reading, this.#stop.signal).subscribe({
      next: (report) => this.reports.push(report),
      error: end,
      complete: () => end('completed'),
    });
  }

  /** Lets both sides speak, and time pass, until the condition holds or so many milliseconds have passed. @returns whether it holds */
  async passes(until: () => boolean, milliseconds: number): Promise<boolean> {
    const end = Date.now() + milliseconds;
    let step = 10;
    let before = 0;
    for (;;) {
      await this.#quiet();
      this.#endedRightly();
      if (this.believes) this.truth.check(this.reports);
      if (until()) return true;
      if (Date.now() >= end) return false;
      const words = this.#spoken();
      step = words === before ? Math.min(2 * step, LONGEST_STEP) : 10;
      before = words;
      // Nothing but the next try is waited for then.
      const isBetween = this.reports.at(-1)?.type === 'waiting' && this.#server.clients.every(({ closed }) => closed);
      if (isBetween) await vi.advanceTimersToNextTimerAsync();
      else await vi.advanceTimersByTimeAsync(step);
    }
  }

  /** Puts everything in order again. @returns a condition that holds once the listener knows all that is true now */
  heal(): () => boolean {
    this.trouble = undefined;
    this.noise = undefined;
    const mail = `mark${++this.#marks}@example.test`;
    this.directory.modify(this.#mark, { mail });
    return () => this.log.known.identity(this.#mark)?.mail === mail && this.truth.isKnown();
  }

  /** Breaks every connection, so that everything is asked anew. */
  disconnect(): void {
    for (const client of this.#server.clients) client.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const interval of this.#intervals) clearInterval(interval);
    this.#stop.abort();
    await Promise.race([this.#ended, this.passes(() => this.#outcome !== undefined, 60_000)]);
    expect(this.#outcome).toBeDefined();
    await this.#server[Symbol.asyncDispose]();
  }

  #answer(request: LdapRequest, client: LdapClient): void {
    const stage = stageOf(request);
    const wire = this.#wire(client);
    if (stage === 'registration' && this.#strike(stage, request.id, [searchDone(request.id)], wire)) return;
    this.#dc.respond(request, {
      get closed() {
        return client.closed;
      },
      send: (...messages) => {
        const at = stage === 'registration' ? 'wake' : stage;
        if (!this.#strike(at, request.id, messages, wire)) wire.write(...messages);
      },
    });
  }

  #strike(stage: Stage | undefined, id: number, messages: readonly Buffer[], wire: Wire): boolean {
    const { trouble } = this;
    if (trouble === undefined || trouble.stage !== stage) return false;
    trouble.struck += 1;
    const lie = (of: number) => searchEntry(of, 'CN=x', { objectGUID: [guidBytes(this.#mark)], sAMAccountName: ['impostor'] });
    trouble.damage.strike({ id, stage, messages, lie }, wire, trouble.random);
    return true;
  }

  #wire(client: LdapClient): Wire {
    const write = (...bytes: readonly Buffer[]) => {
      if (client.closed) return;
      const all = Buffer.concat(bytes);
      client.send(this.noise === undefined ? all : this.noise(all));
    };
    const every = (milliseconds: number, step: () => void) => {
      const interval = setInterval(() => {
        if (!client.closed) return step();
        clearInterval(interval);
        this.#intervals.delete(interval);
      }, milliseconds);
      this.#intervals.add(interval);
    };
    return { write, every, end: () => client.end(), reset: () => client.destroy() };
  }

  async #quiet(): Promise<void> {
    let before = -1;
    for (let turns = 0; turns < QUIET_TURNS; turns += 1) {
      await new Promise<void>((resolve) => nextTurn(resolve));
      const words = this.#spoken();
      if (words !== before) turns = 0;
      before = words;
    }
  }

  /** Grows with whatever the listener does. */
  #spoken(): number {
    const { clients, requests } = this.#server;
    return clients.length + clients.filter(({ closed }) => closed).length + requests.length + this.reports.length + this.log.batches.length;
  }

  /** SPEC: the listener ends only when a setting is wrong, as the directory says before it was ever read. */
  #endedRightly(): void {
    if (this.#outcome === undefined || this.#stop.signal.aborted) return;
    expect(this.#outcome).toBeInstanceOf(DirectoryError);
    expect(this.#outcome).toMatchObject({ failure: 'configuration' });
    expect([...this.log.positions.values()].some(isReadWhole)).toBe(false);
    this.listen();
  }
}
