import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../support/chain-wait.ts';
import { DIRSYNC, readRequestCookie } from '../support/fake-domain-controller.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { FakeListening } from './fake-listening.ts';

const ACCOUNTS = 60;
const [CHANGED, DELETED] = [12, 30];
/** Fewer than were changed: the deletions come in later answers of the same read. */
const PER_ANSWER = 10;

let fake: FakeListening;

beforeEach(async () => {
  fake = await FakeListening.start();
});
afterEach(() => fake[Symbol.asyncDispose]());

it('deletions that were accepted are told also when the read that was to tell them is cut off in the middle', async () => {
  const { directory, dc } = fake;
  const accounts = Array.from({ length: ACCOUNTS }, (_, index) => directory.addUser({ sAMAccountName: `user${index}` }));
  const settings = { ...READING, readEvery: 300, readGap: 5, requestsEvery: 20 };
  await using listening = await fake.listener({}, new MemoryChangeLog(), settings);
  const { log } = listening;
  await listening.stop();
  dc.objectsPerAnswer = PER_ANSWER;
  for (const objectGUID of accounts.slice(0, CHANGED)) directory.modify(objectGUID, { displayName: 'changed' });
  for (const objectGUID of accounts.slice(-DELETED)) directory.delete(objectGUID);
  const { namingContext } = directory;
  const stored = () => log.positions.get(namingContext) ?? expect.unreachable();
  const cookie = stored().cookie;
  await listening.start();
  const { digest, since } = await until('they are withheld', async () => stored().withheld);
  let cuts = 0;
  fake.interpose = ({ controls }, client) => {
    const control = controls.get(DIRSYNC);
    const isSecondAnswer = control !== undefined && readRequestCookie(control).toString('base64') !== cookie;
    if (!isSecondAnswer || cuts > 0 || log.requests.length === 0) return;
    cuts += 1;
    // What there was in between is what whoever looks at the log is told.
    expect(stored().withheld).toMatchObject({ digest, since });
    client.destroy();
  };
  log.requests.push({ id: 'yes', kind: 'accept-deletions', namingContext, digest, time: new Date().toISOString() });
  const deleted = () => log.events.filter(({ kind }) => kind === 'deleted').map(({ objectGUID }) => objectGUID);
  await until('they are told', async () => deleted().length > 0);
  expect(cuts).toBe(1);
  expect(deleted().sort()).toEqual(accounts.slice(-DELETED).sort());
  expect(stored()).toMatchObject({ served: ['yes'] });
  expect(stored().withheld).toBeUndefined();
});
