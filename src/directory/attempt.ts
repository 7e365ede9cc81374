import type { LookupFunction } from 'node:net';
import { DirectoryError } from '../../streams/directory-source.ts';
import { type Credentials, givenUp, LdapConnection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';

/** What it takes to log on to any domain controller of the domain. */
export interface Access {
  readonly credentials: Credentials;
  readonly ca: string[];
  /** Milliseconds for a whole attempt, and for each single answer after it. */
  readonly deadline: number;
  readonly lookup?: LookupFunction | undefined;
}

/** Connects to the endpoint, or to this address of it, and logs on. */
export type Connect = (address?: string) => Promise<LdapConnection>;

/**
 * One try at one domain controller, within the deadline. What it has opened is closed when it fails, and is the caller's when
 * it succeeds.
 *
 * @throws DirectoryError, and whatever `use` throws
 */
export async function attempt<Result>(
  endpoint: Endpoint,
  { credentials, ca, deadline, lookup }: Access,
  signal: AbortSignal,
  use: (connect: Connect) => Promise<Result>,
): Promise<Result> {
  const opened: LdapConnection[] = [];
  const end = new AbortController();
  let ended: DirectoryError | undefined;
  const endFor = (error: DirectoryError) => {
    ended ??= error;
    end.abort();
    for (const connection of opened) connection.fail(error);
  };
  const giveUp = () => endFor(givenUp(signal));
  const timer = setTimeout(
    () => endFor(new DirectoryError('unavailable', `${endpoint.url}: not ready to be read within ${deadline} ms`)),
    deadline,
  );
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  try {
    return await use(async (address) => {
      const connection = await LdapConnection.open({ endpoint, address, ca, deadline, lookup }, credentials, end.signal);
      opened.push(connection);
      if (ended !== undefined) connection.fail(ended);
      return connection;
    });
  } catch (error) {
    await Promise.all(opened.map((connection) => connection[Symbol.asyncDispose]()));
    throw ended ?? error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}
