import { Control, PresenceFilter } from 'ldapts';
import { UnusableObject } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { LdapConnection } from './connection.ts';
import { SHOW_DELETED } from './controls.ts';
import { toObservation, WATCHED_ATTRIBUTES, type Warn } from './entry.ts';
import { inWords, refusal } from './failure.ts';
import { guidDn } from './identifiers.ts';
import type { LdapResult } from './message.ts';
import { findEntries } from './search.ts';

/** What a server answers when it hands out this object to nobody, or not to us: referral, invalidDNSyntax, insufficientAccessRights, unwillingToPerform. */
const OF_THE_OBJECT: readonly number[] = [10, 34, 50, 53];

/**
 * Reads one object whole, wherever it is and also when it is deleted.
 *
 * @returns undefined when there is none, or none that the account may see
 * @throws UnusableObject when the refusal says something of this object only @throws DirectoryError
 */
export async function readObject(connection: LdapConnection, objectGUID: string, warn: Warn): Promise<Observation | undefined> {
  const parameters = {
    baseDN: guidDn(objectGUID),
    scope: 'base',
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: WATCHED_ATTRIBUTES,
    controls: [new Control(SHOW_DELETED)],
  } as const;
  const [entry] = await findEntries(connection, parameters, `object ${objectGUID}`, refused);
  return entry === undefined ? undefined : toObservation(entry, warn, true);
}

function refused(result: LdapResult, what: string): Error {
  return OF_THE_OBJECT.includes(result.code) ? new UnusableObject(`${what} was refused (${inWords(result)})`) : refusal(result, what);
}
