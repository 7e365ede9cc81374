import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Authority } from '../../infra/testbed/authority.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import { Random } from '../support/chain-random.ts';
import { changeAccounts, deleteOne, restoreOne } from './account-changes.ts';
import { DAMAGES, type Stage } from './damage.ts';
import { FuzzWorld } from './fuzz-world.ts';

/** FUZZ_SEED=n begins with what a failed run names, FUZZ_ROUNDS=n takes as many rounds. */
const SEED = 'FUZZ_SEED';
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 20);
const DAMAGES_OF_A_ROUND = 25;
const TIMEOUT = 60_000 + 10_000 * ROUNDS;
/** The read is most of what there is to get wrong. */
const STAGES: readonly Stage[] = ['logon', 'rootDse', 'opening', 'registration', 'wake', 'read', 'read', 'read', 'object'];
/** Asked only of a connection that is new. */
const OF_OPENING: readonly Stage[] = ['logon', 'rootDse', 'opening', 'registration'];
/** The longest wait that SPEC names, and what is under way when it begins; in milliseconds. */
const LONGEST_WAIT = 16 * 60_000;

let directory: string;
let tls: Parameters<typeof FuzzWorld.start>[0];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'namesake-fuzz-'));
  const authority = await Authority.open(directory);
  const { keyFile, certFile } = await authority.issue('dc', ['127.0.0.1']);
  tls = { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8'), caFile: authority.caFile };
});

afterAll(() => rm(directory, { recursive: true }));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Each with a seed of its own, which is told when it fails. */
async function rounds(body: (world: FuzzWorld, random: Random) => Promise<void>): Promise<void> {
  const { seed } = new Random(undefined, SEED);
  for (let round = 0; round < ROUNDS; round += 1) {
    const random = new Random(seed + round, SEED);
    vi.spyOn(Math, 'random').mockImplementation(() => random.next());
    await random.telling(async () => {
      await using world = await FuzzWorld.start(random.chance(0.2) ? tls : undefined, random.pick(['dirsync', 'dirsync', 'scope', 'usn']));
      for (const sAMAccountName of ['ann', 'ben', 'carla', 'dag']) world.directory.addUser({ sAMAccountName });
      for (let left = random.below(10); left > 0; left -= 1) changeAccounts(world.directory, random);
      world.truth.begin();
      await body(world, random);
    });
  }
}

function inWords(report: ListenerReport): string {
  return report.type === 'waiting' ? `waiting ${report.milliseconds} ms, ${report.error.message.slice(0, 200)}` : report.type;
}

/** Makes sure that the stage is come to. */
async function provoke(world: FuzzWorld, stage: Stage, random: Random): Promise<void> {
  if (OF_OPENING.includes(stage)) world.disconnect();
  if (random.chance(0.1)) {
    world.disconnect();
    world.directory.renew(`d0000000-0000-4000-8000-${String(random.below(1e9)).padStart(12, '0')}`);
    changeAccounts(world.directory, random);
  }
  changeAccounts(world.directory, random);
  if (stage !== 'object') return;
  // What comes back, and is not known any more, has to be read whole.
  const { trouble } = world;
  deleteOne(world.directory, random);
  await world.passes(world.heal(), LONGEST_WAIT);
  world.trouble = trouble;
  restoreOne(world.directory, random);
}

describe('a domain controller that is out of order', () => {
  it('is survived: nothing untrue is told, and all that is true as soon as it is in order (SPEC rules 1, 3, 4, 9)', {
    timeout: TIMEOUT,
  }, async () => {
    let struck = 0;
    await rounds(async (world, random) => {
      for (let count = 0; count < DAMAGES_OF_A_ROUND; count += 1) {
        const stage = random.pick(STAGES);
        const damage = random.pick(DAMAGES.filter(({ stages }) => stages === undefined || stages.includes(stage)));
        const trouble = { damage, stage, random: new Random(random.below(2 ** 31)), struck: 0 };
        world.trouble = trouble;
        world.listen();
        await provoke(world, stage, random);
        const often = 1 + random.below(3);
        if (await world.passes(() => trouble.struck >= often, 40_000)) changeAccounts(world.directory, random);
        await world.passes(() => false, random.below(3_000));
        struck += trouble.struck > 0 ? 1 : 0;
        const isKnown = world.heal();
        if (random.chance(0.3)) continue; // on to the next one, in the middle of whatever this one left
        const before = world.reports.length;
        const isWell = await world.passes(isKnown, LONGEST_WAIT);
        const reports = world.reports.slice(before);
        const story = `${damage.name} (${stage}): ${reports.map(inWords).join('; ')}: ${JSON.stringify(world.truth.differences())}`;
        expect(isWell, story).toBe(true);
        // What was under way can still fail, and then the position can be one of no use.
        expect(reports.filter(({ type }) => type === 'waiting').length, story).toBeLessThanOrEqual(2);
      }
      expect(await world.passes(world.heal(), LONGEST_WAIT)).toBe(true);
    });
    expect(struck).toBeGreaterThan(ROUNDS * DAMAGES_OF_A_ROUND * 0.7);
  });

  it('may send any bytes whatever: the listener neither breaks down nor gives up', { timeout: TIMEOUT }, async () => {
    await rounds(async (world, random) => {
      const noise = new Random(random.below(2 ** 31));
      // Nobody can tell a changed letter from a changed name.
      world.believes = false;
      for (let count = 0; count < 20; count += 1) {
        const rate = random.pick([0.01, 0.1, 0.5]);
        world.noise = (bytes) => {
          const changed = Buffer.from(bytes);
          if (!noise.chance(rate)) return changed;
          for (let left = 1 + noise.below(3); left > 0; left -= 1) changed[noise.below(changed.length)] = noise.below(256);
          return changed;
        };
        world.listen();
        changeAccounts(world.directory, random);
        await world.passes(() => false, 60_000);
      }
      world.heal();
      world.disconnect();
      const before = world.reports.length;
      expect(await world.passes(() => world.reports.slice(before).some(({ type }) => type === 'connected'), LONGEST_WAIT)).toBe(true);
    });
  });
});
