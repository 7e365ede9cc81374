import { PresenceFilter } from 'ldapts';
import { joined, type Vector } from '../../streams/origin.ts';
import type { LdapConnection } from './connection.ts';
import type { Warn } from './entry.ts';
import { sidText } from './identifiers.ts';
import { type LdapEntry, valuesOf } from './message.ts';
import { BlobError } from './records.ts';
import { findEntries } from './search.ts';
import { decodeVector, parseCursors } from './vector.ts';

/** What the head of a naming context tells of it. */
export interface NamingContext {
  /** The entry as it came. */
  readonly head: LdapEntry | undefined;
  /** Empty when the account may not see it. */
  readonly domainSid: string;
  /** What the domain controller has seen of the writes on others; empty when the account may not see it. */
  readonly replicated: Vector;
}

/** @throws DirectoryError */
export async function readNamingContext(connection: LdapConnection, namingContext: string, warn: Warn): Promise<NamingContext> {
  const parameters = {
    baseDN: namingContext,
    scope: 'base',
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: ['objectSid', 'replUpToDateVector', 'msDS-NCReplCursors', 'repsFrom'],
  } as const;
  const [head] = await findEntries(connection, parameters, `the head of ${namingContext}`);
  const cursors = valuesOf(head, 'msDS-NCReplCursors').map((value) => value.toString());
  return {
    head,
    domainSid: sidText(valuesOf(head, 'objectSid')[0]) ?? '',
    replicated: joined(storedVector(head, warn), parseCursors(cursors)),
  };
}

function storedVector(head: LdapEntry | undefined, warn: Warn): Vector {
  const [value] = valuesOf(head, 'replUpToDateVector');
  try {
    return value === undefined ? {} : decodeVector(value);
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    warn(`${head?.dn}: a replUpToDateVector with ${error.message}, set aside`);
    return {};
  }
}
