import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { guidBytes } from '../support/directory-values.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { type LdapClient, type LdapRequest, searchEntry, searchReference } from '../support/ldap-server.ts';
import { type Stage, stageOf } from './damage.ts';
import { FakeListening } from './fake-listening.ts';

/** Bytes that are sent for nothing, and how many of them may be held at any time, with all that a program holds besides. */
const FLOOD = 48e6;
const HELD = 16e6;
/** So many are sent before what is held is looked at. */
const WAVE = 4e6;
const TEXT = 'x'.repeat(2_000);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes, without what is no longer held. */
function held(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

it.each<[string, Stage, (id: number, ann: string) => Buffer]>([
  ['references in a read', 'read', (id) => searchReference(id, `ldap://elsewhere.example.test/${TEXT}`)],
  [
    'one account over and over in a read',
    'read',
    (id, ann) => searchEntry(id, TEXT, { objectGUID: [guidBytes(ann)], displayName: [TEXT] }),
  ],
  ['entries of no object in a read', 'read', (id) => searchEntry(id, TEXT, { displayName: [TEXT] })],
  ['answers to nobody', 'read', (id) => searchEntry(id + 1_000, TEXT, { displayName: [TEXT] })],
  ['wakes', 'registration', (id) => searchEntry(id, TEXT, { displayName: [TEXT] })],
  ['references where one answer is asked for', 'rootDse', (id) => searchReference(id, TEXT)],
])('a flood of %s leaves nothing behind', { timeout: 120_000 }, async (_, stage, message) => {
  const directory = new FakeDirectory();
  const ann = directory.addUser({ sAMAccountName: 'ann', attributes: { displayName: TEXT } });
  await using fake = await FakeListening.start(directory);
  let flooded = 0;
  let most = 0;
  let looks = 0;
  let before = 0;
  let beginFlood = () => {};
  const flood = async ({ id }: LdapRequest, client: LdapClient) => {
    const some = Array<Buffer>(32).fill(message(id, ann));
    for (let looked = 0; flooded < FLOOD && !client.closed; ) {
      for (const each of some) flooded += each.length;
      if (!client.send(...some)) await client.drained();
      if (flooded - looked < WAVE) continue;
      looked = flooded;
      looks += 1;
      most = Math.max(most, held() - before);
    }
  };
  fake.interpose = async (request, client) => {
    const isDue = before > 0 && flooded === 0 && stageOf(request) === stage;
    if (isDue && stage !== 'registration') await flood(request, client);
    else if (isDue) beginFlood = () => void flood(request, client);
  };
  const listening = await fake.listener({ deadline: 60_000, warn: () => {} });
  before = held();
  const events = await listening.eventsAfterAbsence(async () => directory.modify(ann, { sAMAccountName: 'anne' }));
  beginFlood();
  await expect.poll(() => flooded, { timeout: 60_000, interval: 50 }).toBeGreaterThanOrEqual(FLOOD);
  expect(looks).toBeGreaterThan(5);
  expect(most).toBeLessThan(HELD);
  expect(events).toHaveLength(1);
  expect(await listening.events(async () => directory.modify(ann, { sn: 'Lee' }))).toHaveLength(1);
  await listening.stop();
});
