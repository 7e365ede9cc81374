import { concatMap, defer, EMPTY, from, type Observable, of, repeat, takeUntil } from 'rxjs';
import type { ChangeEvent } from '../change.ts';
import type { Batch, KnownAccounts, ListenerLog, ListenerRequest } from '../change-log.ts';
import { DirectoryError, type DirectorySession, type DirectorySource } from '../directory-source.ts';
import { aborted } from '../operators.ts';
import { isReadWhole } from '../position.ts';
import { beginning } from './beginning.ts';
import { Draft } from './draft.ts';
import type { ListenerReport } from './listener.ts';
import { Neighbourhood, type Neighbours } from './neighbours.ts';
import { Publisher } from './publisher.ts';
import type { Loss, PublisherSettings } from './read.ts';

/**
 * What a comparison of everything would tell, and nobody is told. Takes no lease and writes nothing, so a listener may be at work
 * meanwhile.
 */
export class DryRun implements AsyncDisposable {
  readonly sessions: readonly DirectorySession[];
  readonly #neighbours: ReadonlyMap<DirectorySession, Neighbours>;
  readonly #log: ListenerLog;
  readonly #settings: PublisherSettings;

  private constructor(neighbours: ReadonlyMap<DirectorySession, Neighbours>, known: KnownAccounts, settings: PublisherSettings) {
    this.sessions = [...neighbours.keys()];
    this.#neighbours = neighbours;
    this.#log = onPaper(known);
    // Nobody waits for an account to turn up in another domain.
    this.#settings = { ...settings, movesWithin: 0 };
  }

  /**
   * Opens all of them, since who is gone from one domain may live in another.
   *
   * @throws DirectoryError when one cannot be opened
   */
  static async open(
    sources: readonly DirectorySource[],
    known: KnownAccounts,
    settings: PublisherSettings,
    signal: AbortSignal,
  ): Promise<DryRun> {
    const neighbourhood = new Neighbourhood(sources, settings);
    const neighbours = new Map<DirectorySession, Neighbours>();
    try {
      for (const source of sources) {
        const session = await source.open((namingContext) => known.position(namingContext), signal);
        neighbours.set(session, neighbourhood.of(source));
        neighbourhood.enter(source, session);
      }
      return new DryRun(neighbours, known, settings);
    } catch (error) {
      await closeAll(neighbours.keys());
      throw error;
    }
  }

  /**
   * Reads one of the sessions, once. What was found in those before it is known.
   *
   * @returns reports; errors with a DirectoryError, also where the directory was never read before: there is nothing to compare with
   */
  compare(session: DirectorySession, signal: AbortSignal): Observable<ListenerReport> {
    return defer(() => {
      const { namingContext } = session;
      const stored = this.#log.position(namingContext);
      if (!isReadWhole(stored))
        throw new DirectoryError('configuration', `no listener has read ${namingContext} to its end yet: nothing to compare with`);
      const request: ListenerRequest = { id: 'dry run', kind: 'compare', namingContext, time: new Date().toISOString() };
      const neighbours = this.#neighbours.get(session);
      if (neighbours === undefined) throw new Error('a session of another dry run');
      const pages = (loss: Loss | undefined) => {
        const publisher = new Publisher(session, stored, loss, this.#log, neighbours, this.#settings);
        const reader = publisher.begin([request]);
        let over = false;
        return defer(() => reader.next()).pipe(
          takeUntil(aborted(signal)),
          concatMap(async (page) => {
            over = page.last;
            return await publisher.publish(page, signal);
          }),
          concatMap((reports) => from(reports)),
          repeat({ delay: () => (over || signal.aborted ? EMPTY : of(true)) }),
        );
      };
      // A loss that nobody has noticed yet decides who is gone for good.
      return defer(() => beginning(session, this.#log, false)).pipe(concatMap(({ loss }) => pages(loss)));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAll(this.sessions);
  }
}

async function closeAll(sessions: Iterable<DirectorySession>): Promise<void> {
  await Promise.allSettled(Array.from(sessions, (session) => session[Symbol.asyncDispose]()));
}

/** A log that takes everything and keeps none of it beyond its own end. */
function onPaper(known: KnownAccounts): ListenerLog {
  const paper = new Draft(known);
  let sequence = 0;
  return {
    identity: (objectGUID) => paper.identity(objectGUID),
    holder: (domain, name) => paper.holder(domain, name),
    formerHolder: (domain, name) => paper.formerHolder(domain, name),
    origins: (objectGUID) => paper.origins.get(objectGUID) ?? known.origins(objectGUID),
    position: (namingContext) => known.position(namingContext),
    count: (domain) => known.count(domain),
    objectGUIDs: (domain) => known.objectGUIDs(domain),
    lost: new AbortController().signal,
    knows: (domain) => known.count(domain) > 0,
    requests: async () => [],
    append: async ({ changes, identities, origins }: Batch): Promise<ChangeEvent[]> => {
      for (const [objectGUID, identity] of identities) {
        const own = changes.filter((change) => change.objectGUID === objectGUID);
        paper.add(objectGUID, identity, own, origins?.get(objectGUID));
      }
      return changes.map((change) => ({ ...change, sequence: ++sequence }));
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
