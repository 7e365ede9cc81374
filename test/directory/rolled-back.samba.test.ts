import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DirectorySettings } from '../../src/directory/source.ts';
import { readAll, Staff } from './contract.ts';
import { DirectoryPlace } from './place.ts';

let place: DirectoryPlace;

beforeAll(async () => {
  place = await DirectoryPlace.start({ users: 5 });
}, 120_000);

afterAll(() => place?.[Symbol.asyncDispose]());

const SOURCES: readonly [string, Partial<DirectorySettings>][] = [
  ['DirSync', { source: 'dirsync' }],
  ['uSNChanged', { source: 'usn' }],
];

describe.each(SOURCES)('a database that was put back to an earlier state, read by %s', (name, settings) => {
  it('is noticed also once other writes have taken its numbers past where they were', async () => {
    await place.directory.save(name);
    await place.logOn();
    const { position } = await writtenAndRead('lost', 5);
    {
      // As long as nothing was put back it goes on from there, whatever is written.
      await writtenAndRead('more', 5);
      await using session = await place.open(settings, position);
      expect(session.resume).toEqual({ position });
    }
    await place.directory.rollBack(name);
    await place.logOn();
    // Times in the directory are whole seconds.
    await delay(3_000);
    const { position: later } = await writtenAndRead('other', 30);
    expect(BigInt(later.highestCommittedUSN)).toBeGreaterThan(BigInt(position.highestCommittedUSN));
    await using session = await place.open(settings, position);
    expect(session.resume).toMatchObject({
      position: undefined,
      reason: expect.stringMatching(/was rolled back: it has given the number \d+ to a second write/),
      lossy: true,
    });
  });

  async function writtenAndRead(prefix: string, accounts: number) {
    const staff = new Staff(place.writer, place.namingContext);
    for (let number = 0; number < accounts; number++) await staff.create(`${name}-${prefix}-${number}`);
    await using session = await place.open(settings);
    return await readAll(session.read(undefined));
  }
});
