import { Control, PresenceFilter } from 'ldapts';
import type { Observation } from '../../streams/observation.ts';
import type { LdapConnection } from './connection.ts';
import { SHOW_DELETED } from './controls.ts';
import { toObservation, WATCHED_ATTRIBUTES, type Warn } from './entry.ts';
import { guidDn } from './identifiers.ts';
import { findEntries } from './search.ts';

/**
 * Reads one object whole, wherever it is and also when it is deleted.
 *
 * @returns undefined when there is none, or none that the account may see
 * @throws DirectoryError
 */
export async function readObject(connection: LdapConnection, objectGUID: string, warn: Warn): Promise<Observation | undefined> {
  const parameters = {
    baseDN: guidDn(objectGUID),
    scope: 'base',
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: WATCHED_ATTRIBUTES,
    controls: [new Control(SHOW_DELETED)],
  } as const;
  const [entry] = await findEntries(connection, parameters, `object ${objectGUID}`);
  return entry === undefined ? undefined : toObservation(entry, warn, true);
}
