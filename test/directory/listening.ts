import type { ChangeEvent } from '../../streams/change.ts';
import type { DirectorySource } from '../../streams/directory-source.ts';
import { type ListenerReport, listen } from '../../streams/listener/listener.ts';
import type { ReadingSettings } from '../../streams/listener/reading.ts';
import type { Position } from '../../streams/position.ts';
import { until } from '../support/chain-wait.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';

const SETTINGS: ReadingSettings = { ...READING, readEvery: 1_000, readGap: 5 };

/**
 * A listener on a directory, with its log in memory. What is asked of it is which events come out: `events` makes changes while it
 * listens, `eventsAfterAbsence` while it does not.
 */
export class Listening implements AsyncDisposable {
  readonly log: MemoryChangeLog;
  readonly reports: ListenerReport[] = [];
  readonly #sources: readonly DirectorySource[];
  readonly #mark: () => Promise<(log: MemoryChangeLog) => boolean>;
  readonly #markGuid: string;
  readonly #settings: ReadingSettings;
  #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();
  #failure: Error | undefined;

  /**
   * @param markGuid an account whose events are none of the test's
   * @param mark changes that account; what it returns tells whether the log has that change, and with it all earlier ones
   */
  constructor(
    sources: DirectorySource | readonly DirectorySource[],
    markGuid: string,
    mark: () => Promise<(log: MemoryChangeLog) => boolean>,
    log = new MemoryChangeLog(),
    settings = SETTINGS,
  ) {
    this.#sources = [sources].flat();
    this.#markGuid = markGuid;
    this.#mark = mark;
    this.log = log;
    this.#settings = settings;
  }

  /** Resolves when the directory was read to its end. */
  async start(): Promise<this> {
    this.#stop = new AbortController();
    this.#failure = undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    listen(this.#sources, this.log, this.#settings, this.#stop.signal).subscribe({
      next: (report) => this.reports.push(report),
      error: (error: Error) => {
        this.#failure = error;
        resolve();
      },
      complete: resolve,
    });
    await this.#caughtUp();
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async events(change: () => Promise<unknown>): Promise<ChangeEvent[]> {
    const before = this.log.events.length;
    await change();
    await this.#caughtUp();
    return this.#since(before);
  }

  async eventsAfterAbsence(change: () => Promise<unknown>): Promise<ChangeEvent[]> {
    const before = this.log.events.length;
    await this.stop();
    // Whatever fails, the next test finds a listener.
    await change().finally(() => this.start());
    return this.#since(before);
  }

  /**
   * Those of the comparison that follows once the position is lost.
   *
   * @param damage what is not as it was in the stored position of the naming context
   */
  async eventsAfterLoss(namingContext: string, damage: Partial<Position>, change: () => Promise<unknown>): Promise<ChangeEvent[]> {
    const { events, notices, positions } = this.log;
    const [before, told] = [events.length, notices.length];
    const stored = () => positions.get(namingContext);
    await this.eventsAfterAbsence(async () => {
      await change();
      const position = stored();
      if (position === undefined) throw new Error(`no position in ${namingContext}`);
      positions.set(namingContext, { ...position, ...damage });
    });
    await until('everything was compared', async () => notices.length > told && stored()?.comparing === undefined);
    return this.#since(before);
  }

  reportsOf<T extends ListenerReport['type']>(type: T): Extract<ListenerReport, { type: T }>[] {
    return this.reports.filter((report): report is Extract<ListenerReport, { type: T }> => report.type === type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #caughtUp(): Promise<void> {
    const isKnown = await this.#mark();
    await until('the listener has caught up', async () => {
      if (this.#failure !== undefined) throw this.#failure;
      return isKnown(this.log);
    });
  }

  #since(before: number): ChangeEvent[] {
    return this.log.events.slice(before).filter(({ objectGUID }) => objectGUID !== this.#markGuid);
  }
}

/** What an event says, without what is the same in all of an account's events. */
export function told({ kind, before, after, changed, caseOnly, formerHolder }: ChangeEvent) {
  return {
    kind,
    from: before?.sAMAccountName,
    to: after?.sAMAccountName,
    changed,
    ...(caseOnly && { caseOnly }),
    ...(formerHolder !== null && { formerHolder }),
  };
}
