import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Candidate } from '../../src/directory/candidates.ts';
import { wellAgain } from '../../src/directory/fail-back.ts';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import { Standing } from '../../src/directory/standing.ts';
import { DirectoryError, type DirectorySession } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { NEVER } from './scripted-dc.ts';
import { invocationId, ScriptedDc, settingsOf, storedPosition, vectorOf } from './scripted-dcs.ts';

const MINUTE = 60_000;
const EVERY = 30_000;
const TRIAL = 2 * MINUTE;

const candidate = (host: string, rank: number): Candidate => ({
  endpoint: { url: `ldaps://${host}`, host, port: 636, security: 'tls' },
  rank,
});
const [dc1, dc2] = [candidate('dc1', 0), candidate('dc2', 1)];
const down = new DirectoryError('unavailable', 'down');

describe('going back', () => {
  let standing: Standing;
  /** What probes find; each by its host. */
  let troubles: Map<string, DirectoryError>;
  let probes: string[];
  let mayLeave: boolean;

  beforeEach(() => {
    mayLeave = true;
    vi.useFakeTimers();
    standing = new Standing(TRIAL);
    troubles = new Map();
    probes = [];
  });
  afterEach(() => vi.useRealTimers());

  /** The clock goes on until a better one is well, or for so long. @returns the host and the milliseconds that it took */
  async function waiting(preferred: readonly Candidate[], atMost = 4 * 60 * MINUTE): Promise<[string | undefined, number]> {
    const end = new AbortController();
    const probe = ({ endpoint: { host } }: Candidate) => {
      probes.push(host);
      const trouble = troubles.get(host);
      return trouble === undefined ? Promise.resolve(host) : Promise.reject(trouble);
    };
    const begun = performance.now();
    let result: string | undefined;
    let isOver = false;
    const waited = wellAgain({ preferred, probe, mayLeave: () => mayLeave, standing, every: EVERY }, end.signal).then((host) => {
      result = host;
      isOver = true;
    });
    while (!isOver && performance.now() - begun < atMost) await vi.advanceTimersByTimeAsync(EVERY);
    const milliseconds = performance.now() - begun;
    end.abort();
    await waited;
    return [result, milliseconds];
  }

  it('takes as long as the trial, from the first probe that finds it well', async () => {
    expect(await waiting([dc1])).toEqual(['dc1', EVERY + TRIAL]);
  });

  it('begins the trial anew after each probe that finds trouble', async () => {
    const trouble = setTimeout(() => troubles.set('dc1', down), 1.5 * MINUTE + 1);
    const end = setTimeout(() => troubles.clear(), 3 * MINUTE + 1);
    expect(await waiting([dc1])).toEqual(['dc1', 3 * MINUTE + EVERY + TRIAL]);
    clearTimeout(trouble);
    clearTimeout(end);
  });

  it('is to the most preferred one that is well', async () => {
    troubles.set('dc1', down);
    expect(await waiting([dc1, dc2])).toEqual(['dc2', EVERY + TRIAL]);
    expect(standing.failure(dc1)).toBe(down);
    expect(standing.failure(dc2)).toBeUndefined();
  });

  it('waits until the one in use can be left', async () => {
    setTimeout(() => {
      mayLeave = true;
    }, 10 * MINUTE);
    mayLeave = false;
    expect(await waiting([dc1])).toEqual(['dc1', 10 * MINUTE]);
  });

  it('takes twice as long each time that it was too early, up to an hour, and as long as at first once it was not', async () => {
    const took: number[] = [];
    for (let round = 0; round < 7; round++) {
      took.push((await waiting([dc1]))[1] - EVERY);
      await vi.advanceTimersByTimeAsync(MINUTE);
      standing.failed(dc1, down);
      standing.failed(dc1, down); // a probe finds the same; that counts once
    }
    expect(took.map((each) => each / MINUTE)).toEqual([2, 4, 8, 16, 32, 60, 60]);
    await waiting([dc1]);
    await vi.advanceTimersByTimeAsync(11 * MINUTE);
    standing.failed(dc1, down);
    expect((await waiting([dc1]))[1]).toBe(EVERY + TRIAL);
  });

  it('stops probing for a quarter of an hour after a refused password, which no other one is asked to take', async () => {
    troubles.set('dc1', new DirectoryError('credentials', 'wrong password'));
    expect(await waiting([dc1, dc2], 16 * MINUTE)).toEqual([undefined, 16 * MINUTE]);
    expect(probes).toEqual(['dc1', 'dc1']);
    expect(standing.failure(dc1)).toBeUndefined();
    // Also when another session begins meanwhile.
    probes.length = 0;
    await waiting([dc1], 5 * MINUTE);
    expect(probes).toEqual([]);
  });

  it('begins the trial anew after that', async () => {
    setTimeout(() => troubles.set('dc2', new DirectoryError('credentials', 'wrong password')), MINUTE + 1);
    setTimeout(() => troubles.set('dc2', down), 2 * MINUTE);
    // The third probe is refused; those of the next quarter of an hour are left out.
    expect(await waiting([dc1, dc2])).toEqual(['dc1', 3 * EVERY + 15 * MINUTE + TRIAL]);
  });
});

describe('the order', () => {
  const order = (standing: Standing, ...candidates: Candidate[]) => standing.order(candidates).map(({ endpoint }) => endpoint.host);
  const equal = candidate('equal', 1);

  it('is by rank, and among equals as given, but for the one in use', () => {
    const standing = new Standing(TRIAL);
    expect(order(standing, dc2, equal, dc1)).toEqual(['dc1', 'dc2', 'equal']);
    standing.taken(equal);
    expect(order(standing, dc2, equal, dc1)).toEqual(['dc1', 'equal', 'dc2']);
  });

  it('has those that failed at its end, the last one last, until they are well', () => {
    const standing = new Standing(TRIAL);
    standing.failed(dc1, down);
    expect(order(standing, dc1, dc2, equal)).toEqual(['dc2', 'equal', 'dc1']);
    standing.failed(dc2, down);
    standing.failed(equal, down);
    standing.failed(dc1, down);
    expect(order(standing, dc1, dc2, equal)).toEqual(['dc2', 'equal', 'dc1']);
    standing.well(equal);
    expect(order(standing, dc1, dc2, equal)).toEqual(['equal', 'dc2', 'dc1']);
  });
});

describe('a session on a domain controller that is not the best', () => {
  const FAST = { probeEvery: 20, failBackAfter: 100 };
  const source = (dcs: readonly ScriptedDc[], more = {}) =>
    ldapDirectorySource(
      settingsOf(
        dcs.map(({ url }) => url),
        { ...FAST, ...more },
      ),
    );
  const readBefore = () => storedPosition();
  const endOf = (session: DirectorySession) =>
    new Promise<unknown>((resolve) => session.wakes.subscribe({ error: resolve, complete: () => resolve(undefined) }));

  it('ends once a better one is well again, which is taken then', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    const both = source([one, two]);
    one.refuse();
    {
      await using session = await both.open(readBefore, NEVER);
      expect(session.dc).toBe(two.name);
      const end = endOf(session);
      one.recover();
      const recovered = performance.now();
      expect(await end).toMatchObject({ failure: 'preferred', message: `${one.name} is well again, and preferred to ${two.name}` });
      expect(performance.now() - recovered).toBeGreaterThanOrEqual(FAST.failBackAfter);
      await expect(session.read(undefined).next()).rejects.toMatchObject({ failure: 'preferred' });
      expect(both.failed(new DirectoryError('preferred', 'well again'))).toBe(true);
    }
    await using session = await both.open(readBefore, NEVER);
    expect(session).toMatchObject({ dc: one.name, passedOver: [] });
    await expect.poll(() => [one.connections, two.connections]).toEqual([2, 0]);
  });

  it('probes with one connection at a time, closed at once, and none to the one in use', async () => {
    await using one = await ScriptedDc.start(1, { ntds: { options: ['4'] } });
    await using two = await ScriptedDc.start(2);
    await using _session = await source([one, two]).open(readBefore, NEVER);
    let most = 0;
    await expect
      .poll(
        () => {
          most = Math.max(most, one.connections);
          return one.logons;
        },
        { interval: 1 },
      )
      .toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(1);
    expect([two.connections, two.logons]).toEqual([2, 2]);
  });

  it('stops probing when it ends', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    one.hang();
    const session = await source([one, two], { deadline: 500 }).open(readBefore, NEVER);
    await expect.poll(() => one.logons).toBeGreaterThan(1);
    await session[Symbol.asyncDispose]();
    await expect.poll(() => one.connections).toBe(0);
    const { logons } = one;
    await new Promise((resolve) => setTimeout(resolve, 5 * FAST.probeEvery));
    expect(one.logons).toBe(logons);
  });

  it('probes nobody when it is on the best one', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    await using _session = await source([one, two]).open(readBefore, NEVER);
    await new Promise((resolve) => setTimeout(resolve, 5 * FAST.probeEvery));
    expect(two.server.clients).toEqual([]);
  });

  it('does not go back to one that has not caught up', async () => {
    const third = (usn: number) => ({ replUpToDateVector: [vectorOf([{ n: 3, usn, at: Date.now() }])] });
    const head = third(3_999);
    await using one = await ScriptedDc.start(1, { head });
    await using two = await ScriptedDc.start(2, { head: third(4_000) });
    const both = source([one, two]);
    one.refuse();
    await using session = await both.open(readBefore, NEVER);
    const end = endOf(session);
    one.recover();
    const { logons } = one;
    await expect.poll(() => one.logons, { timeout: 10_000 }).toBeGreaterThan(logons + 10);
    expect(await Promise.race([end, 'still open'])).toBe('still open');
    Object.assign(head, third(4_000));
    expect(await end).toMatchObject({ failure: 'preferred' });
  });

  it.each<[string, Position | undefined]>([
    ['for the first time', undefined],
    ['to compare', storedPosition({ comparing: { reason: 'the position is lost', lossy: false } })],
  ])('does not end while everything is read %s', async (_, position) => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    let stored = position;
    one.refuse();
    await using session = await source([one, two]).open(() => stored, NEVER);
    const end = endOf(session);
    one.recover();
    const { logons } = one;
    await expect.poll(() => one.logons, { timeout: 10_000 }).toBeGreaterThan(logons + 10);
    expect(await Promise.race([end, 'still open'])).toBe('still open');
    stored = storedPosition();
    expect(await end).toMatchObject({ failure: 'preferred' });
  });

  it('does not end for another address of the same domain controller', async () => {
    await using proxied = await ScriptedDc.start(2);
    await using two = await ScriptedDc.start(2);
    const both = source([proxied, two]);
    proxied.refuse();
    await using session = await both.open(readBefore, NEVER);
    const end = endOf(session);
    proxied.recover();
    const { logons } = proxied;
    await expect.poll(() => proxied.logons, { timeout: 10_000 }).toBeGreaterThan(logons + 10);
    expect(await Promise.race([end, 'still open'])).toBe('still open');
  });

  it('that was taken although it is behind ends as soon as any other is well', async () => {
    const behind = { replUpToDateVector: [vectorOf([{ n: 9, usn: 10, at: 60 * MINUTE }])] };
    const head = { ...behind };
    await using one = await ScriptedDc.start(1, { head: behind });
    await using two = await ScriptedDc.start(2, { head });
    const stored = storedPosition({ seen: { [invocationId(9).text]: '11' } });
    await using session = await source([one, two]).open(() => stored, NEVER);
    expect(session.dc).toBe(one.name);
    const caughtUp = [
      { n: 9, usn: 11, at: Date.now() },
      { n: 1, usn: 4_000, at: Date.now() },
    ];
    head.replUpToDateVector = [vectorOf(caughtUp)];
    expect(await endOf(session)).toMatchObject({ failure: 'preferred' });
  });
});
