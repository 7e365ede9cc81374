import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

let bed: Bed;
let one: Bed['directory'];
let two: Bed['directory'];

beforeAll(async () => {
  bed = await startBed({ dcs: 2, brokers: 1, customerEngagement: true });
  const [first, second] = bed.directories;
  one = first;
  two = second ?? expect.unreachable();
}, 240_000);

afterAll(() => bed?.[Symbol.asyncDispose]());

function onBoth(): { directories: unknown[] } {
  const { bindDn, passwordFile } = one.service;
  const urls = [one.url, two.url];
  return { directories: [{ urls, bindDn, passwordFile, caFile: one.caFile, probeEvery: '500ms', failBackAfter: '1s' }] };
}

const person = (index: number) => bed.directory.people[index] ?? expect.unreachable();

it('from one domain controller to the next and back, the history shows nothing of it and nobody waits for a repair (rules 1, 3)', async () => {
  await using stage = await Stage.prepare(bed, 'kafka', { settings: onBoth() });
  await using onTwo = await DirectoryAdmin.connect(two);
  await stage.start();
  const [ann, ben, carla] = [person(0), person(1), person(2)];

  // The second one has heard of nothing when it is needed.
  await bed.replication.pause();
  await stage.rename(ann.sAMAccountName, 'ann.first');
  await stage.says(/repaired .*ann\.first/);
  await stage.rename('ann.first', 'ann.second');
  await stage.says(/repaired .*ann\.second/);
  one.pause();
  // Another change of hers brings her old name along.
  await onTwo.set(ann.objectGUID, { mail: 'ann@elsewhere.example.test' });
  await onTwo.rename(ben.objectGUID, 'ben.there');
  await stage.says(/going to another domain controller/, { within: 40_000 });
  await stage.says(/renamed .*ben\.there/);
  // The stand-in asks the first one, which is gone back to only when it knows all that was read meanwhile.
  one.resume();
  await bed.replication.resume();
  await stage.says(/repaired .*ben\.there/, { within: 60_000 });
  await stage.says(/is well again, and preferred/, { within: 60_000 });
  await onTwo.rename(carla.objectGUID, 'carla.after');
  await stage.says(/repaired .*carla\.after/);

  const { events } = await stage.history();
  const renamed = events.filter(({ kind }) => kind === 'renamed');
  expect(renamed.map(({ before, after }) => [before?.sAMAccountName, after?.sAMAccountName])).toEqual([
    [ann.sAMAccountName, 'ann.first'],
    ['ann.first', 'ann.second'],
    [ben.sAMAccountName, 'ben.there'],
    [carla.sAMAccountName, 'carla.after'],
  ]);
  expect(events.length).toBe(renamed.length + 1);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  expect(events.find(({ kind }) => kind === 'profile-updated')?.after).toMatchObject({
    sAMAccountName: 'ann.second',
    mail: 'ann@elsewhere.example.test',
  });
  expect(new Set(events.map(({ observed }) => observed.dc.toLowerCase()))).toEqual(new Set([one.hostName, two.hostName]));
  await until('everybody can log on', async () => {
    const logons = await Promise.all(['ann.second', 'ben.there', 'carla.after'].map((name) => stage.control.logon(name)));
    return logons.every(({ canLogOn }) => canLogOn);
  });
});
