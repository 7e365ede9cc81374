import { randomUUID } from 'node:crypto';
import type { World } from './world.ts';

/** @returns how many deletions were accepted; undefined when none are withheld */
export async function acceptWithheld({ listener, pair }: World): Promise<number | undefined> {
  const { namingContext } = pair;
  const withheld = (await listener.position(namingContext))?.withheld;
  if (withheld === undefined) return undefined;
  const time = new Date().toISOString();
  await listener.request({ id: randomUUID(), kind: 'accept-deletions', namingContext, digest: withheld.digest, time });
  return withheld.deletions;
}

/** @returns the id of the request */
export async function compare({ listener, pair }: World): Promise<string> {
  const id = randomUUID();
  await listener.request({ id, kind: 'compare', namingContext: pair.namingContext, time: new Date().toISOString() });
  return id;
}
