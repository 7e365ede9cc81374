import { Control, PresenceFilter } from 'ldapts';
import { DirectoryError } from '../../streams/directory-source.ts';
import { BerError } from './ber.ts';
import type { LdapConnection } from './connection.ts';
import { NOTIFICATION, SHOW_DELETED } from './controls.ts';
import { ResultCode, refusal } from './failure.ts';
import { Response, readResult } from './message.ts';
import { readRootDse } from './root-dse.ts';
import { searchRequest } from './search.ts';

/**
 * Registers for change notification of a whole naming context. What changed does not matter: an entry is only a wake,
 * and is dropped unread. A server may end this search at any time; the connection fails then, so that it is registered anew.
 *
 * @param wake is called for each object that changed, in any attribute
 * @returns when the server can be taken to have registered it: it has answered a later request
 * @throws DirectoryError
 */
export async function registerNotification(connection: LdapConnection, namingContext: string, wake: () => void): Promise<void> {
  const parameters = {
    baseDN: namingContext,
    scope: 'sub',
    // The only filter that a domain controller takes here.
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: ['objectGUID'],
    // Samba tells of deletions only with the second one; it is not critical, since nothing else depends on it.
    controls: [new Control(NOTIFICATION, { critical: true }), new Control(SHOW_DELETED)],
  } as const;
  connection.send((messageId) => searchRequest(messageId, parameters), {
    receive: (message) => {
      switch (message.operation) {
        case Response.searchEntry:
          wake();
          return false;
        case Response.searchReference:
          return false;
        case Response.searchDone: {
          const result = readResult(message.body);
          connection.fail(
            result.code === ResultCode.success
              ? new DirectoryError('unavailable', `${connection.name}: the server ended the change notification`)
              : refusal(result, `${connection.name}: the change notification`),
          );
          return true;
        }
        default:
          throw new BerError(`an answer of tag 0x${message.operation.toString(16)} to a change notification`);
      }
    },
    fail: () => {}, // told by connection.lost
  });
  await readRootDse(connection, ['highestCommittedUSN']);
}
