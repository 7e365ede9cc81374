import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import { readAll, Staff } from './contract.ts';
import { DirectoryPlace } from './place.ts';

let place: DirectoryPlace;

beforeAll(async () => {
  place = await DirectoryPlace.start({ users: 5 });
  await new Staff(place.writer, place.namingContext).create('other');
}, 120_000);

afterAll(() => place?.[Symbol.asyncDispose]());

const SOURCES: readonly [string, Partial<DirectorySettings>][] = [
  ['DirSync', { source: 'dirsync' }],
  ['uSNChanged', { source: 'usn' }],
];

type Write = (staff: Staff, cn: string) => Promise<unknown>;

const SECOND_WRITES: readonly [string, Write][] = [
  ['creation', (staff, cn) => staff.create(`${cn}2`)],
  ['deletion', (staff, cn) => place.writer.del(staff.dnOf(cn))],
  [
    'rename that something else was written after',
    async (staff, cn) => {
      await staff.set(staff.dnOf(cn), 'sAMAccountName', `${cn}2`);
      await otherWrites(staff, 40);
      await staff.set(staff.dnOf(cn), 'description', 'new');
    },
  ],
];

/** All of one object, so that none but the last number tells of them. */
async function otherWrites(staff: Staff, count: number): Promise<void> {
  for (let number = 0; number < count; number++) await staff.set(staff.dnOf('other'), 'description', `${performance.now()}`);
}

describe.each(SOURCES)('a database that was put back to an earlier state, read by %s', (source, settings) => {
  it.each(SECOND_WRITES)('is noticed also once its numbers are past where they were, by a %s', async (kind, write) => {
    const name = `${source}-${SECOND_WRITES.findIndex(([each]) => each === kind)}`;
    const staff = () => new Staff(place.writer, place.namingContext);
    await staff().create(name);
    await place.directory.save(name);
    await place.logOn();
    await otherWrites(staff(), 10);
    const position = await positionNow();
    {
      // As long as nothing was put back it goes on from there, whatever is written.
      await otherWrites(staff(), 5);
      await using session = await place.open(settings, position);
      expect(session.resume).toEqual({ position });
      expect(await session.givenTwice(position)).toBeUndefined();
    }
    await place.directory.rollBack(name);
    await place.logOn();
    // Times in the directory are whole seconds.
    await delay(3_000);
    await write(staff(), name);
    await otherWrites(staff(), 40);
    expect(BigInt((await positionNow()).highestCommittedUSN)).toBeGreaterThan(BigInt(position.highestCommittedUSN));
    await using session = await place.open(settings, position);
    // By its numbers alone it looks as if it had gone on.
    expect(session.resume).toEqual({ position });
    const twice = BigInt((await session.givenTwice(position)) ?? expect.unreachable());
    expect(twice).toBeLessThanOrEqual(BigInt(position.highestCommittedUSN));
  });

  async function positionNow() {
    await using session = await place.open(settings);
    return (await readAll(session.read(undefined))).position;
  }
});
