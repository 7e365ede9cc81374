import { concatMap, defer, EMPTY, from, type Observable, of, repeat, takeUntil } from 'rxjs';
import type { ChangeEvent } from './change.ts';
import type { Batch, KnownAccounts, ListenerLog, ListenerRequest } from './change-log.ts';
import { DirectoryError, type DirectorySession, type DirectorySource } from './directory-source.ts';
import type { ListenerReport } from './listener.ts';
import { ALONE } from './neighbours.ts';
import { aborted, withResource } from './operators.ts';
import { isReadWhole } from './position.ts';
import { Publisher } from './publisher.ts';
import type { PublisherSettings } from './read.ts';

/**
 * Reads a directory once and reports what a comparison with what is known would tell, but tells nobody else. Takes no lease and
 * writes nothing, so a listener may be at work meanwhile.
 *
 * @param wanted the naming context that is asked for; of any other nothing is read
 * @returns reports; errors with a DirectoryError, also where the directory was never read before: there is nothing to compare with
 */
export function compareDry(
  source: DirectorySource,
  known: KnownAccounts,
  settings: PublisherSettings,
  wanted: string | undefined,
  signal: AbortSignal,
): Observable<ListenerReport> {
  const isWanted = ({ namingContext }: DirectorySession) => wanted === undefined || wanted.toLowerCase() === namingContext.toLowerCase();
  return withResource(
    () => source.open((namingContext) => known.position(namingContext), signal),
    (session) => (isWanted(session) ? comparison(session, known, settings, signal) : EMPTY),
  );
}

function comparison(
  session: DirectorySession,
  known: KnownAccounts,
  settings: PublisherSettings,
  signal: AbortSignal,
): Observable<ListenerReport> {
  return defer(() => {
    const { namingContext } = session;
    const stored = known.position(namingContext);
    if (!isReadWhole(stored))
      throw new DirectoryError('configuration', `no listener has read ${namingContext} to its end yet: nothing to compare with`);
    const request: ListenerRequest = { id: 'dry run', kind: 'compare', namingContext, time: new Date().toISOString() };
    const publisher = new Publisher(session, stored, undefined, onPaper(known), ALONE, settings);
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
  });
}

/** A log that takes everything and keeps nothing. */
function onPaper(known: KnownAccounts): ListenerLog {
  let sequence = 0;
  return {
    identity: (objectGUID) => known.identity(objectGUID),
    holder: (domain, name) => known.holder(domain, name),
    formerHolder: (domain, name) => known.formerHolder(domain, name),
    origins: (objectGUID) => known.origins(objectGUID),
    position: (namingContext) => known.position(namingContext),
    count: (domain) => known.count(domain),
    objectGUIDs: (domain) => known.objectGUIDs(domain),
    lost: new AbortController().signal,
    knows: (domain) => known.count(domain) > 0,
    requests: async () => [],
    append: async ({ changes }: Batch): Promise<ChangeEvent[]> => changes.map((change) => ({ ...change, sequence: ++sequence })),
    [Symbol.asyncDispose]: async () => {},
  };
}
