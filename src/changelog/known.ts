import type { KnownAccounts } from '../../streams/change-log.ts';
import type { StateStore } from './state-store.ts';

/** What a state store knows of accounts, as of each call. */
export function knownAccounts(store: StateStore): KnownAccounts {
  return {
    identity: (objectGUID) => store.identity(objectGUID),
    holder: (domain, name) => store.holder(domain, name),
    formerHolder: (domain, name) => store.formerHolder(domain, name),
    origins: (objectGUID) => store.origins(objectGUID),
    position: (namingContext) => store.position(namingContext),
    count: (domain) => store.count(domain),
    objectGUIDs: (domain) => store.objectGUIDs(domain),
  };
}
