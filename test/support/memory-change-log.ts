import { Observable, Subject } from 'rxjs';
import { type ChangeEvent, eventId, releasedName } from '../../streams/change.ts';
import {
  type Batch,
  type ChangeLog,
  type ChangePage,
  FencedError,
  type KnownAccounts,
  type KnownRepairs,
  type ListenerLog,
  type ListenerRequest,
  LogError,
  type Look,
  type RepairerLog,
} from '../../streams/change-log.ts';
import { type Identity, type KnownIdentities, nameKey, sameName } from '../../streams/identity.ts';
import type { LogEvent, NoticeEvent } from '../../streams/notice.ts';
import type { Origins } from '../../streams/origin.ts';
import { isReadWhole, type Position } from '../../streams/position.ts';
import { isOpen, type Link, type Repair } from '../../streams/repair.ts';
import type { RepairAnswer, RepairRequest } from '../../streams/repair-request.ts';

/** What is known of accounts, changed one by one; names belong to whoever took them last. */
export class Knowledge implements KnownIdentities {
  readonly identities = new Map<string, Identity>();
  readonly #holders = new Map<string, string[]>();
  readonly #former = new Map<string, string[]>();

  identity(objectGUID: string): Identity | undefined {
    return this.identities.get(objectGUID);
  }

  holder(domain: string, sAMAccountName: string): string | undefined {
    return this.#holders.get(nameKey(`${domain}\\${sAMAccountName}`))?.at(-1);
  }

  formerHolder(domain: string, sAMAccountName: string): string | undefined {
    return this.formerHolders(domain, sAMAccountName)[0];
  }

  formerHolders(domain: string, sAMAccountName: string): string[] {
    return this.#former.get(nameKey(`${domain}\\${sAMAccountName}`)) ?? [];
  }

  put(objectGUID: string, identity: Identity | null): void {
    for (const [name, holders] of this.#holders) {
      this.#holders.set(
        name,
        holders.filter((holder) => holder !== objectGUID),
      );
    }
    if (identity === null) {
      this.identities.delete(objectGUID);
      return;
    }
    this.identities.set(objectGUID, identity);
    const name = nameKey(`${identity.domain}\\${identity.sAMAccountName}`);
    this.#holders.set(name, [...(this.#holders.get(name) ?? []), objectGUID]);
  }

  putEvent(event: Parameters<typeof releasedName>[0]): void {
    const released = releasedName(event);
    if (released === undefined) return;
    const name = nameKey(`${released.domain}\\${released.sAMAccountName}`);
    const others = (this.#former.get(name) ?? []).filter((holder) => holder !== event.objectGUID);
    this.#former.set(name, [event.objectGUID, ...others]);
  }
}

export type Operation = 'openListener' | 'openRepairer' | 'append' | 'requests' | 'record' | 'confirm' | 'refresh' | 'ack';

/** What a test does to one operation: awaited before it or after it took effect; throwing fails it. */
export interface Interference {
  before?(operation: Operation): void | Promise<void>;
  after?(operation: Operation): void | Promise<void>;
}

/**
 * A log that keeps everything in memory, as strict as its port: whoever opens shuts out who had it open before, one append at
 * a time, and after a LogError nothing works until it is opened anew.
 */
export class MemoryChangeLog implements ChangeLog {
  readonly name = 'memory';
  readonly known = new Knowledge();
  /** The changes; notices are numbered among them. */
  readonly events: ChangeEvent[] = [];
  readonly notices: NoticeEvent[] = [];
  readonly origins = new Map<string, Origins>();
  readonly requests: ListenerRequest[] = [];
  readonly batches: Batch[] = [];
  readonly positions = new Map<string, Position>();
  /** As the journal has them, the last one for each record last. */
  readonly history: Repair[] = [];
  readonly links: Link[] = [];
  /** By organization and account, of the first so many links. */
  readonly #lastLinks = new Map<string, Map<string, Link>>();
  #readLinks = 0;
  readonly repairRequests: RepairRequest[] = [];
  readonly answers: RepairAnswer[] = [];
  interference: Interference = {};
  /** Of the handle opened last. */
  lost = new AbortController();
  opened = 0;
  closed = 0;
  acknowledged = 0;
  readonly #appended = new Subject<void>();
  readonly #killed = new Set<number>();
  #epoch = 0;

  async openListener(signal: AbortSignal): Promise<ListenerLog> {
    const { guarded, inTurn, lost, close } = await this.#open('openListener', signal);
    let appending = false;
    return {
      lost,
      ...this.#accounts(),
      knows: (domain) => this.#of(domain).length > 0,
      requests: () => inTurn('requests', () => this.#lastRequests()),
      append: async (batch) => {
        if (appending) throw new Error('two appends at once');
        appending = true;
        try {
          return await guarded('append', () => this.append(batch));
        } finally {
          appending = false;
        }
      },
      [Symbol.asyncDispose]: close,
    };
  }

  async openRepairer(organization: string, signal: AbortSignal): Promise<RepairerLog> {
    const { guarded, inTurn, lost, close } = await this.#open('openRepairer', signal);
    const { known } = this;
    const log = this;
    return {
      lost,
      confirm: () => inTurn('confirm', () => lost.throwIfAborted()),
      changes: this.#changes(guarded),
      get baselined() {
        return [...log.positions.values()].some(isReadWhole);
      },
      identity: (objectGUID) => known.identity(objectGUID),
      holder: (domain, name) => known.holder(domain, name),
      formerHolders: (domain, name) => known.formerHolders(domain, name),
      identities: () => this.#identities(),
      get knownSequence() {
        return log.sequence;
      },
      refresh: () => guarded('refresh', () => {}),
      ...this.#repairs(organization),
      requests: () => inTurn('requests', () => this.#openRequests(organization)),
      record: ({ repairs = [], links = [], answers = [] }) =>
        guarded('record', () => {
          this.answers.push(...answers);
          this.links.push(...links);
          this.history.push(...repairs);
        }),
      [Symbol.asyncDispose]: close,
    };
  }

  async replay(onEvents: (events: readonly LogEvent[]) => void | Promise<void>): Promise<void> {
    await onEvents([...this.events, ...this.notices].sort((a, b) => a.sequence - b.sequence));
  }

  async replayRepairs(onRepairs: (repairs: readonly Repair[]) => void | Promise<void>): Promise<void> {
    await onRepairs(this.history);
  }

  async look(): Promise<Look> {
    return {
      ...this.#accounts(),
      formerHolders: (domain, name) => this.known.formerHolders(domain, name),
      identities: () => this.#identities(),
      organization: (name) => ({ ...this.#repairs(name), links: () => this.#links(name).filter(({ denied }) => !denied) }),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async request(request: ListenerRequest): Promise<void> {
    this.requests.push(request);
  }

  async requestRepair(...requests: readonly RepairRequest[]): Promise<void> {
    this.repairRequests.push(...requests);
  }

  async answer(organization: string, systemuserid: string): Promise<RepairAnswer | undefined> {
    return this.answers.findLast((answer) => answer.organization === organization && answer.systemuserid === systemuserid);
  }

  async status(): Promise<never> {
    throw new Error('nobody asks this log for its status');
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  repair(systemuserid: string): Repair | undefined {
    return this.history.findLast((repair) => repair.systemuserid === systemuserid);
  }

  openRepairs(): Repair[] {
    const last = new Map(this.history.map((repair) => [repair.systemuserid, repair]));
    return [...last.values()].filter(isOpen);
  }

  /** Of the last event, change or notice. */
  get sequence(): number {
    return this.events.length + this.notices.length;
  }

  /** What a listener's append does, for tests that need none. */
  append(batch: Batch): ChangeEvent[] {
    this.batches.push(batch);
    for (const notice of batch.notices ?? []) this.notices.push({ ...notice, sequence: this.sequence + 1 });
    const events = batch.changes.map((change, index) => ({ ...change, sequence: this.sequence + 1 + index }));
    for (const event of events) {
      this.events.push(event);
      this.known.putEvent(event);
    }
    for (const [objectGUID, identity] of batch.identities) {
      this.known.put(objectGUID, identity);
      this.origins.set(objectGUID, batch.origins?.get(objectGUID) ?? {});
    }
    if (batch.position) this.positions.set(batch.namingContext, batch.position);
    this.#appended.next();
    return events;
  }

  #accounts(): KnownAccounts {
    const { known } = this;
    return {
      identity: (objectGUID) => known.identity(objectGUID),
      holder: (domain, name) => known.holder(domain, name),
      formerHolder: (domain, name) => known.formerHolder(domain, name),
      origins: (objectGUID) => this.origins.get(objectGUID) ?? {},
      position: (namingContext) => this.positions.get(namingContext),
      count: (domain) => this.#of(domain).length,
      objectGUIDs: (domain) => this.#of(domain),
    };
  }

  async *#identities(): AsyncGenerator<Identity[]> {
    yield [...this.known.identities.values()];
  }

  /** The last one of each account. */
  #links(organization: string): Link[] {
    for (const link of this.links.slice(this.#readLinks)) {
      const own = this.#lastLinks.get(link.organization) ?? new Map<string, Link>();
      this.#lastLinks.set(link.organization, own.set(link.objectGUID, link));
    }
    this.#readLinks = this.links.length;
    return [...(this.#lastLinks.get(organization)?.values() ?? [])];
  }

  #repairs(organization: string): KnownRepairs {
    return {
      link: (objectGUID) => this.#links(organization).find((link) => link.objectGUID === objectGUID && !link.denied),
      linkOfRecord: (systemuserid) => this.#links(organization).find((link) => link.systemuserid === systemuserid && !link.denied),
      isDenied: (objectGUID, systemuserid) =>
        this.#links(organization).some((link) => link.objectGUID === objectGUID && link.systemuserid === systemuserid && link.denied),
      repair: (systemuserid) => this.repair(systemuserid),
      openRepairs: () => this.openRepairs(),
    };
  }

  #openRequests(organization: string): RepairRequest[] {
    const own = this.repairRequests.filter((request) => request.organization === organization);
    const last = [...new Map(own.map((request) => [request.systemuserid, request])).values()];
    return last.filter(({ id }) => !this.answers.some((answer) => answer.id === id));
  }

  #of(domain: string): string[] {
    const own = [...this.known.identities.values()].filter((identity) => sameName(identity.domain, domain));
    return own.map(({ objectGUID }) => objectGUID);
  }

  #lastRequests(): ListenerRequest[] {
    const last = new Map(this.requests.map((request) => [`${request.kind}/${request.namingContext}`, request]));
    return [...last.values()];
  }

  /** From now on nothing that was opened does anything any more, and nothing of it ever settles: a killed process. */
  kill(): void {
    this.#killed.add(this.#epoch);
  }

  async #open(operation: Operation, signal: AbortSignal) {
    signal.throwIfAborted();
    await this.interference.before?.(operation);
    const epoch = ++this.#epoch;
    this.opened++;
    const lost = new AbortController();
    this.lost = lost;
    let broken: LogError | undefined;
    let closed = false;
    const settleUnlessKilled = () => (this.#killed.has(epoch) ? new Promise<never>(() => {}) : undefined);
    const inTurn = async <T>(name: Operation, effect: () => T): Promise<T> => {
      try {
        await this.interference.before?.(name);
        await settleUnlessKilled();
        if (broken) throw new LogError('broken since an earlier failure', { cause: broken });
        if (closed) throw new LogError(`${name} after it was closed`);
        if (this.#epoch !== epoch) throw new FencedError('opened by another');
        const result = effect();
        await this.interference.after?.(name);
        await settleUnlessKilled();
        return result;
      } catch (error) {
        if (error instanceof LogError) broken = error;
        throw error;
      }
    };
    let last: Promise<unknown> = Promise.resolve();
    const guarded = <T>(name: Operation, effect: () => T): Promise<T> => {
      const turn = last.then(() => inTurn(name, effect));
      last = turn.catch(() => {});
      return turn;
    };
    const close = async () => {
      await Promise.resolve();
      closed = true;
      this.closed++;
    };
    return { guarded, inTurn, lost: lost.signal, close };
  }

  #changes(guarded: <T>(operation: Operation, effect: () => T) => Promise<T>): Observable<ChangePage> {
    return new Observable((subscriber) => {
      let waiting = false;
      const look = () => {
        const changes = this.events.slice(this.acknowledged);
        if (waiting || changes.length === 0) return;
        waiting = true;
        const end = this.events.length;
        const ack = async () => {
          await guarded('ack', () => {
            this.acknowledged = end;
          });
          waiting = false;
          queueMicrotask(look);
        };
        subscriber.next({ changes, ack });
      };
      const appended = this.#appended.subscribe(look);
      queueMicrotask(look);
      return () => {
        waiting = true;
        appended.unsubscribe();
      };
    });
  }
}

/** For messages of failed tests. */
export function brief(event: ChangeEvent): string {
  return `${eventId(event)} ${event.kind} ${event.before?.sAMAccountName ?? '-'} ${event.after?.sAMAccountName ?? '-'}`;
}
