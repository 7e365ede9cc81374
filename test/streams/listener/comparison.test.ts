import { lastValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DryRun } from '../../../streams/listener/dry-run.ts';
import type { ListenerReport } from '../../../streams/listener/listener.ts';
import { isTooMany } from '../../../streams/listener/withheld.ts';
import { COMPUTER, guid } from '../../support/memory-directory.ts';
import { expectExact, MINUTE, NEVER, passed, SECOND, SETTINGS, world } from './listener-world.ts';
import { twoDcs } from './two-dcs.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const request = (kind: 'compare' | 'accept-deletions', id: string, digest?: string) => {
  const asked = { id, kind, namingContext: 'DC=memory', time: new Date().toISOString() };
  return digest === undefined ? asked : { ...asked, digest };
};

async function started(accounts: number, settings = SETTINGS) {
  const w = world({ accounts, settings });
  w.source.pageSize = 50;
  w.start();
  await passed(0);
  const read = async () => {
    w.source.wakes.next();
    await passed(SECOND);
  };
  const lose = async (reason: string, lossy: boolean) => {
    w.source.resumeRefused = { reason, lossy };
    w.source.lose();
    await passed(SECOND);
    w.source.resumeRefused = undefined;
  };
  const kinds = () => w.log.events.map(({ kind }) => kind);
  const stored = () => w.log.positions.get(w.source.namingContext);
  return { ...w, read, lose, kinds, stored };
}

describe('a comparison', () => {
  test('SPEC rule 5: it is told once why, also when it is cut off and begun again, and then found what changed meanwhile', async () => {
    const w = await started(120);
    w.directory.rename(guid('account', 1), 'x');
    w.directory.delete(guid('account', 2));
    w.directory.create({ sAMAccountName: 'new' });
    let pages = 0;
    w.source.interference = {
      page: () => {
        if (++pages === 2) w.source.lose();
      },
    };
    await w.lose('restored', false);
    await passed(MINUTE);
    expect(w.log.notices).toMatchObject([{ kind: 'position-lost', dc: 'dc1', reason: 'restored' }]);
    expect(w.kinds().toSorted()).toEqual(['created', 'deleted', 'renamed']);
    expect(new Set(w.log.events.map(({ observed }) => observed.via))).toEqual(new Set(['comparison']));
    expectExact(w);
    expect(w.stored()?.comparing).toBeUndefined();
  });

  test('SPEC rule 4: who is not shown any more is deleted only where the directory may have forgotten that', async () => {
    const w = await started(3);
    w.directory.forget(guid('account', 1));
    await w.lose('the cookie is refused', false);
    expect(w.kinds()).toEqual([]);
    expect(w.reportsOf('set-aside')).toMatchObject([{ objectGUID: guid('account', 1), reason: expect.stringContaining('out of sight') }]);
    expect(w.log.known.identities.has(guid('account', 1))).toBe(true);
    expect(w.stored()?.setAside).toEqual({ [guid('account', 1)]: expect.stringContaining('out of sight') });
    await w.lose('away for longer than tombstones live', true);
    expect(w.kinds()).toEqual(['deleted']);
    expect(w.stored()?.setAside).toEqual({});
    expectExact(w);
  });

  test('whoever asks for one gets it once, within seconds, and no position is called lost for it', async () => {
    const w = await started(3);
    w.log.requests.push(request('compare', 'one'));
    await passed(SETTINGS.requestsEvery + SECOND);
    expect(w.source.reads.slice(1)).toEqual([undefined]);
    expect(w.stored()?.served).toEqual(['one']);
    await passed(10 * MINUTE);
    expect(w.source.reads.slice(2).every((from) => from !== undefined)).toBe(true);
    w.source.lose();
    await passed(MINUTE);
    expect(w.source.reads.slice(2).every((from) => from !== undefined)).toBe(true);
    expect(w.log.notices).toEqual([]);
  });

  test('one comes by itself from time to time', async () => {
    const w = await started(3, { ...SETTINGS, compareEvery: 60 * MINUTE });
    w.directory.create({ sAMAccountName: 'pc1', objectClass: COMPUTER });
    await passed(59 * MINUTE);
    expect(w.source.reads.filter((from) => from === undefined).length).toBe(1);
    await passed(2 * MINUTE);
    expect(w.source.reads.filter((from) => from === undefined).length).toBe(2);
    expect(w.kinds()).toEqual([]);
  });
});

describe('a comparison that nobody is told of', () => {
  /** What it would tell. */
  async function dry(w: Pick<ReturnType<typeof world>, 'source' | 'log'>): Promise<ListenerReport[]> {
    await using dryRun = await DryRun.open([w.source], await w.log.look(), SETTINGS, NEVER);
    const [session = expect.unreachable()] = dryRun.sessions;
    return await lastValueFrom(dryRun.compare(session, NEVER).pipe(toArray()));
  }

  test('knows of a loss that the listener has yet to notice: then who is not found is gone', async () => {
    const w = await started(3);
    w.directory.forget(guid('account', 1));
    const told = (reports: readonly ListenerReport[]) =>
      reports.flatMap((report) => (report.type === 'published' ? report.events.map(({ kind }) => kind) : []));
    expect(told(await dry(w))).toEqual([]);
    w.source.resumeRefused = { reason: 'rolled back', lossy: true };
    const reports = await dry(w);
    expect(told(reports)).toEqual(['deleted']);
    expect(reports).toContainEqual(expect.objectContaining({ type: 'position-lost', reason: 'rolled back' }));
    expect(w.log.notices).toEqual([]);
    expect(w.log.known.identities.has(guid('account', 1))).toBe(true);
  });

  test('says how many differ and wait for their domain controller', async () => {
    const w = await twoDcs();
    w.one.rename(guid('account', 1), 'x');
    await w.read();
    w.source.directory = w.two;
    const reports = await dry(w);
    expect(reports.at(-1)).toMatchObject({ type: 'read-progress', differences: 0, waiting: 1, done: true });
  });
});

describe('more deletions than anybody should be told of unasked', () => {
  async function massDeletion() {
    const w = await started(100);
    for (let i = 1; i <= 6; i++) w.directory.delete(guid('account', i));
    w.directory.rename(guid('account', 50), 'x');
    await w.read();
    return w;
  }

  test('SPEC rule 4: none is told, the position stays, others go on, and it is said loudly but not all the time', async () => {
    const w = await massDeletion();
    expect(w.kinds()).toEqual(['renamed']);
    expect(w.reportsOf('withheld')).toMatchObject([{ deletions: 6, known: 100 }]);
    const { cookie, withheld } = w.stored() ?? {};
    expect(cookie).toBe('100');
    expect(withheld).toMatchObject({ deletions: 6, digest: w.reportsOf('withheld')[0]?.digest });
    w.directory.rename(guid('account', 51), 'y');
    await passed(10 * MINUTE);
    expect(w.kinds()).toEqual(['renamed', 'renamed']);
    expect(w.reportsOf('withheld').length).toBe(1);
    w.source.lose();
    await passed(MINUTE);
    expect(w.stored()?.withheld).toEqual(withheld);
    expect(w.kinds()).toEqual(['renamed', 'renamed']);
  });

  test('once they are accepted they are told, and only those', async () => {
    const w = await massDeletion();
    w.log.requests.push(request('accept-deletions', 'wrong', 'of others'));
    await passed(MINUTE);
    expect(w.kinds()).toEqual(['renamed']);
    w.log.requests.push(request('accept-deletions', 'right', w.stored()?.withheld?.digest));
    await passed(10 * SECOND);
    expect(w.kinds()).toEqual(['renamed', ...Array(6).fill('deleted')]);
    expectExact(w);
    expect(w.stored()).toMatchObject({ cookie: String(w.directory.usn), served: ['right'] });
    expect(w.stored()?.withheld).toBeUndefined();
    for (let i = 1; i <= 6; i++) w.directory.restore(guid('account', i));
    await w.read();
    for (let i = 1; i <= 6; i++) w.directory.delete(guid('account', i));
    await w.read();
    expect(w.reportsOf('withheld').length).toBe(2);
  });

  test('when the directory takes enough of them back it goes on by itself', async () => {
    const w = await massDeletion();
    w.directory.restore(guid('account', 1));
    w.directory.set(guid('account', 1), { mail: 'a@b' });
    await w.read();
    await passed(10 * SECOND);
    expect(w.kinds().toSorted()).toEqual([...Array(5).fill('deleted'), 'profile-updated', 'renamed']);
    expectExact(w);
  });

  test('SPEC rule 4: a comparison that finds many gone asks as well, and does not read everything without pause', async () => {
    const w = await started(100);
    for (let i = 1; i <= 6; i++) w.directory.forget(guid('account', i));
    await w.lose('restored', true);
    expect(w.kinds()).toEqual([]);
    expect(w.reportsOf('withheld')).toMatchObject([{ deletions: 6 }]);
    const reads = w.source.reads.length;
    await passed(10 * MINUTE);
    expect(w.source.reads.length - reads).toBeLessThanOrEqual(3);
    w.log.requests.push(request('accept-deletions', 'yes', w.stored()?.withheld?.digest));
    await passed(10 * SECOND);
    expect(w.kinds()).toEqual(Array(6).fill('deleted'));
    expectExact(w);
  });

  test('while they wait for a person a lost connection is noticed at once, and what is accepted afterwards too', async () => {
    const w = await started(100);
    for (let i = 1; i <= 6; i++) w.directory.forget(guid('account', i));
    await w.lose('restored', true);
    const { opened } = w.source;
    w.source.lose();
    await passed(SECOND);
    expect(w.source.opened).toBe(opened + 1);
    w.log.requests.push(request('accept-deletions', 'yes', w.stored()?.withheld?.digest));
    await passed(10 * SECOND);
    expect(w.kinds()).toEqual(Array(6).fill('deleted'));
  });

  test('what is accepted during a read is heard after it', async () => {
    const w = await started(100);
    for (let i = 1; i <= 6; i++) w.directory.forget(guid('account', i));
    await w.lose('restored', true);
    w.source.interference = {
      page: async () => {
        w.source.interference = {};
        w.log.requests.push(request('accept-deletions', 'yes', w.stored()?.withheld?.digest));
        await new Promise((resolve) => setTimeout(resolve, 2 * SETTINGS.requestsEvery));
      },
    };
    w.source.lose();
    await passed(30 * SECOND);
    expect(w.kinds()).toEqual(Array(6).fill('deleted'));
  });

  test('the limit is a number, and a share of those known where that is less, but never below five', () => {
    const limit = { count: 50, percent: 5 };
    expect([isTooMany(5, 8, limit), isTooMany(6, 8, limit)]).toEqual([false, true]);
    expect([isTooMany(20, 400, limit), isTooMany(21, 400, limit)]).toEqual([false, true]);
    expect([isTooMany(50, 100_000, limit), isTooMany(51, 100_000, limit)]).toEqual([false, true]);
  });
});
