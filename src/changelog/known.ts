import type { KnownAccounts, KnownRepairs, Look } from '../../streams/change-log.ts';
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

/** What it knows of the records of one organization, as of each call. */
export function knownRepairs(store: StateStore, organization: string): KnownRepairs {
  return {
    link: (objectGUID) => store.link(organization, objectGUID),
    linkOfRecord: (systemuserid) => store.linkOfRecord(organization, systemuserid),
    isDenied: (objectGUID, systemuserid) => store.isDenied(organization, objectGUID, systemuserid),
    repair: (systemuserid) => store.repair(organization, systemuserid),
    openRepairs: () => store.openRepairs(organization),
  };
}

/** @param close what ends the look */
export function lookInto(store: StateStore, close: () => void): Look {
  return {
    ...knownAccounts(store),
    formerHolders: (domain, name) => store.formerHolders(domain, name),
    identities: () => store.identities(),
    organization: (name) => ({ ...knownRepairs(store, name), links: () => store.links(name) }),
    [Symbol.asyncDispose]: async () => close(),
  };
}
