import { Control, EqualityFilter, OrFilter } from 'ldapts';
import type { DirectoryError, WholeObject, Write } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { LdapConnection } from './connection.ts';
import { SHOW_DELETED, SHOW_RECYCLED } from './controls.ts';
import type { DomainControllerNames } from './domain-controllers.ts';
import { toObservation, type Warn } from './entry.ts';
import { refusal } from './failure.ts';
import { guidBytes } from './identifiers.ts';
import { type LdapEntry, type LdapResult, valuesOf } from './message.ts';
import { type AttributeWrite, decodeMetadata } from './metadata.ts';
import { BlobError } from './records.ts';
import { findEntries } from './search.ts';
import type { Watched } from './watched.ts';

/** What a server answers when it hands out an object to nobody, or not to us: referral, invalidDNSyntax, insufficientAccessRights, unwillingToPerform. */
const OF_THE_OBJECT: readonly number[] = [10, 34, 50, 53];

/** Objects of one search. Samba takes 0.11 s for a thousand of them by 50 or 100, 0.13 s by 500, 0.6 s one by one. */
const CHUNK = 100;

/** A refusal that may say something of single objects only. */
class ObjectRefusal extends Error {
  readonly refusal: DirectoryError;
  constructor(refusal: DirectoryError) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

export interface ObjectsSettings {
  readonly namingContext: string;
  readonly names: { readonly of: (invocationIds: readonly string[]) => ReturnType<DomainControllerNames['of']> };
  readonly watched: Watched;
  readonly warn: Warn;
  /** Told of each objectGUID that the server refuses to show. */
  readonly onRefused: (objectGUID: string) => void;
}

/**
 * Reads objects whole, together with the writes that their values come from; deleted ones too. One search at a time, so that neither
 * this process nor the server holds more than one answer.
 *
 * @returns by objectGUID; who is not there does not exist or may not be seen
 * @throws DirectoryError
 */
export async function readObjects(
  connection: LdapConnection,
  objectGUIDs: readonly string[],
  { names, ...settings }: ObjectsSettings,
): Promise<Map<string, WholeObject>> {
  const asked = [...new Set(objectGUIDs.map((objectGUID) => objectGUID.toLowerCase()))];
  const found = new Map<string, WholeObject>();
  for (let first = 0; first < asked.length; first += CHUNK) {
    const chunk = asked.slice(first, first + CHUNK);
    const isAsked = new Set(chunk);
    const entries = await findByGuid(connection, chunk, settings);
    const read = entries.flatMap((entry) => toWhole(entry, settings) ?? []);
    const nameOf = await names.of(read.flatMap(({ writes }) => Object.values(writes).map(({ invocationId }) => invocationId)));
    for (const { writes, ...observation } of read) {
      if (!isAsked.has(observation.objectGUID)) continue;
      const named: Record<string, Write> = {};
      for (const [name, write] of Object.entries(writes)) named[name] = { ...write, dc: nameOf(write.invocationId) };
      found.set(observation.objectGUID, { ...observation, writes: named });
    }
  }
  return found;
}

type FindSettings = Omit<ObjectsSettings, 'names'>;

/** One object that the server refuses must not hide the others: then they are asked for one by one. */
async function findByGuid(
  connection: LdapConnection,
  objectGUIDs: readonly string[],
  { warn, onRefused, ...settings }: FindSettings,
): Promise<LdapEntry[]> {
  try {
    return await search(connection, objectGUIDs, settings);
  } catch (error) {
    if (!(error instanceof ObjectRefusal)) throw error;
    const [only] = objectGUIDs;
    if (objectGUIDs.length === 1 && only !== undefined) {
      warn(error.message);
      onRefused(only);
      return [];
    }
  }
  const entries: LdapEntry[] = [];
  let refused: ObjectRefusal | undefined;
  let answered = false;
  for (const objectGUID of objectGUIDs) {
    try {
      entries.push(...(await search(connection, [objectGUID], settings)));
      answered = true;
    } catch (error) {
      if (!(error instanceof ObjectRefusal)) throw error;
      warn(error.message);
      onRefused(objectGUID);
      refused = error;
    }
  }
  // Refused one and all: that says nothing of any of them, least of all that it is gone.
  if (refused !== undefined && !answered) throw refused.refusal;
  return entries;
}

function search(
  connection: LdapConnection,
  objectGUIDs: readonly string[],
  { namingContext, watched }: Pick<ObjectsSettings, 'namingContext' | 'watched'>,
): Promise<LdapEntry[]> {
  const parameters = {
    baseDN: namingContext,
    scope: 'sub',
    filter: new OrFilter({ filters: objectGUIDs.map((text) => new EqualityFilter({ attribute: 'objectGUID', value: guidBytes(text) })) }),
    attributes: [...watched.names, 'replPropertyMetaData'],
    controls: [new Control(SHOW_DELETED), new Control(SHOW_RECYCLED)],
  } as const;
  const what = objectGUIDs.length === 1 ? `object ${objectGUIDs[0]}` : `the read of ${objectGUIDs.length} objects`;
  return findEntries(connection, parameters, what, { atMost: objectGUIDs.length, refused });
}

function refused(result: LdapResult, what: string): Error {
  const error = refusal(result, what);
  return OF_THE_OBJECT.includes(result.code) ? new ObjectRefusal(error) : error;
}

function toWhole(
  entry: LdapEntry,
  { warn, watched }: Pick<ObjectsSettings, 'warn' | 'watched'>,
): (Observation & { readonly writes: Record<string, AttributeWrite> }) | undefined {
  // What cannot be used of it was warned about when the directory reported it.
  const observation = toObservation(entry, () => {}, true, watched);
  return observation && { ...observation, writes: writesOf(entry, warn, watched) };
}

/** Empty, after a warning, where its replication metadata are none. */
export function writesOf(entry: LdapEntry, warn: Warn, { ids }: Pick<Watched, 'ids'>): Record<string, AttributeWrite> {
  const { dn } = entry;
  const [value] = valuesOf(entry, 'replPropertyMetaData');
  if (value === undefined) return {};
  try {
    return decodeMetadata(value, (reason) => warn(`${dn}: ${reason}, set aside`), ids);
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    warn(`${dn}: replication metadata with ${error.message}, set aside`);
    return {};
  }
}
