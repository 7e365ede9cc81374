import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { readAll } from './contract.ts';
import { FakeListening } from './fake-listening.ts';
import { NEVER, settingsFor } from './scripted-dc.ts';

const MINUTE = 60_000;

let fake: FakeListening;
let ann: string;
/** Of nobody's business: no write of it is reported. */
let other: string;

beforeEach(async () => {
  fake = await FakeListening.start();
  ann = fake.directory.addUser({ sAMAccountName: 'ann' });
  other = fake.directory.add(fake.dn('Other'), { objectClass: ['top', 'group'] });
});
afterEach(() => fake[Symbol.asyncDispose]());

const open = (stored?: Position, more: Partial<DirectorySettings> = {}): Promise<DirectorySession> =>
  ldapDirectorySource(settingsFor(fake.server, { warn: (warning) => fake.warnings.push(warning), ...more })).open(() => stored, NEVER);

async function positionNow(more: Partial<DirectorySettings> = {}): Promise<Position> {
  await using session = await open(undefined, more);
  return (await readAll(session.read(undefined))).position;
}

async function givenTwice(position: Position): Promise<string | undefined> {
  await using session = await open(position);
  return await session.givenTwice(position);
}

/** Writes that take this many numbers and concern nobody. */
function otherWrites(count: number): void {
  for (let number = 0; number < count; number++) fake.directory.modify(other, { description: `${fake.directory.highestCommittedUSN}` });
}

/** The numbers of four writes that were shown are given to others an hour later, and some more. */
async function putBack(second: () => void): Promise<Position> {
  const { directory } = fake;
  const back = directory.save();
  otherWrites(4);
  const position = await positionNow();
  back();
  directory.clock = () => Date.now() + 60 * MINUTE;
  second();
  otherWrites(10);
  return position;
}

describe('a database that was put back, and has written past where it had been', () => {
  it.each<[string, () => void]>([
    ['a rename', () => fake.directory.modify(ann, { sAMAccountName: 'anna' })],
    ['a deletion', () => fake.directory.delete(ann)],
    [
      'a rename of an account that was written again since',
      () => {
        fake.directory.modify(ann, { sAMAccountName: 'anna' });
        otherWrites(5);
        fake.directory.modify(ann, { description: 'new' });
      },
    ],
  ])('is noticed by %s', async (_, second) => {
    const position = await putBack(second);
    expect(Number(await givenTwice(position))).toBeLessThanOrEqual(Number(position.highestCommittedUSN));
  });

  it('is no other than one that goes on', async () => {
    const position = await positionNow();
    fake.directory.clock = () => Date.now() + 60 * MINUTE;
    fake.directory.modify(ann, { sAMAccountName: 'anna' });
    otherWrites(10);
    expect(await givenTwice(position)).toBeUndefined();
  });

  it('by the same write of the same attribute with the same number', async () => {
    const { directory } = fake;
    directory.modify(ann, { displayName: 'Old' });
    await using listening = await fake.listener();
    const back = directory.save();
    await listening.events(async () => directory.modify(ann, { displayName: 'Ann' }));
    await listening.stop();
    back();
    directory.clock = () => Date.now() + 60 * MINUTE;
    directory.modify(ann, { displayName: null });
    otherWrites(10);
    await listening.start();
    expect(listening.log.notices).toMatchObject([{ reason: expect.stringContaining('was rolled back') }]);
    const events = listening.log.events.filter(({ objectGUID }) => objectGUID === ann);
    expect(events.map(({ after }) => after?.displayName)).toEqual(['Ann', undefined]);
  });

  it('is noticed by a listener, which compares everything', async () => {
    await using listening = await fake.listener();
    await listening.stop();
    const back = fake.directory.save();
    otherWrites(4);
    // As a listener leaves it that has read them.
    const position = await positionNow();
    listening.log.positions.set(position.namingContext, position);
    back();
    fake.directory.clock = () => Date.now() + 60 * MINUTE;
    fake.directory.modify(ann, { sAMAccountName: 'anna' });
    otherWrites(10);
    await listening.start();
    expect(listening.log.notices).toMatchObject([
      { reason: expect.stringMatching(/rolled back: it has given the number \d+ to a second write/) },
    ]);
    expect(listening.log.events.filter(({ objectGUID }) => objectGUID === ann)).toMatchObject([
      { kind: 'renamed', after: { sAMAccountName: 'anna' }, observed: { via: 'comparison' } },
    ]);
  });
});

describe('a domain controller that does not tell about its last numbers is taken all the same', () => {
  const isAboutThem = (filter: unknown) => JSON.stringify(filter ?? '').includes('lessOrEqual');

  it('where it is late', async () => {
    const position = await positionNow();
    fake.interpose = async ({ filter }) => {
      if (isAboutThem(filter)) await new Promise((resolve) => setTimeout(resolve, 1_500));
    };
    await using session = await open(position, { deadline: 500 });
    expect(await session.givenTwice(position)).toBeUndefined();
    expect(fake.warnings).toEqual([expect.stringContaining('the look at the last numbers took too long')]);
    fake.directory.modify(ann, { sAMAccountName: 'anna' });
    expect((await readAll(session.read(position))).observations).toMatchObject([{ objectGUID: ann, seen: { sAMAccountName: 'anna' } }]);
  });

  it('where it refuses', async () => {
    const position = await positionNow();
    fake.dc.refuse = ({ filter }) => (isAboutThem(filter) ? { code: 53, diagnostic: 'not indexed' } : undefined);
    await using session = await open(position);
    expect(await session.givenTwice(position)).toBeUndefined();
    expect(fake.warnings).toEqual([expect.stringContaining('not indexed')]);
    expect((await readAll(session.read(position))).observations).toEqual([]);
  });

  it.each(['99999999999999.0Z', '00000000000000.0Z', '20260231000000.0Z', 'soon'])('where its clock says %s', async (time) => {
    fake.dc.rootDse = { currentTime: [time] };
    const position = await positionNow();
    expect(position.shown).toEqual({});
    expect(await givenTwice(position)).toBeUndefined();
  });
});

it('a clock that is put back does not look like a database that was', async () => {
  const { directory } = fake;
  directory.clock = () => Date.now() + 10 * MINUTE;
  await using listening = await fake.listener();
  await listening.events(async () => directory.modify(ann, { displayName: 'Ann' }));
  directory.clock = Date.now;
  await listening.events(async () => directory.modify(ann, { mail: 'ann@example.test' }));
  await listening.stop();
  directory.clock = () => Date.now() + 20 * MINUTE;
  await listening.start();
  expect(listening.log.notices).toEqual([]);
});
