import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { COMPUTER, guid, MemoryDirectory } from '../../support/memory-directory.ts';
import type { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { MINUTE, passed, SECOND, SETTINGS, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const account = (number: number) => guid('account', number);

/** Ten accounts, of which the first five are in scope, and a listener that has read them. */
async function started() {
  const w = world({ accounts: 10 });
  const inside = new Set([1, 2, 3, 4, 5].map(account));
  w.source.scope = { text: 'the first', has: (objectGUID) => inside.has(objectGUID) };
  w.start();
  await passed(SECOND);
  const read = async () => {
    w.source.wakes.next();
    await passed(2 * SECOND);
  };
  /** As when somebody is put into a group or taken out of one. */
  const put = async (numbers: readonly number[], isIn: boolean) => {
    for (const number of numbers) isIn ? inside.add(account(number)) : inside.delete(account(number));
    w.source.stirred = true;
    await read();
  };
  const told = () => w.log.events.map(({ kind, objectGUID }) => `${kind} ${Number(objectGUID.slice(-12))}`);
  const known = () => [...w.log.known.identities.keys()].map((objectGUID) => Number(objectGUID.slice(-12))).sort((a, b) => a - b);
  const restart = async (scope: MemoryDirectorySource['scope']) => {
    w.source.scope = scope;
    w.source.lose();
    await passed(5 * SECOND);
  };
  return { ...w, inside, read, put, told, known, restart };
}

/** SPEC rule 3, over accounts that come and go. */
function expectChains({ log }: Awaited<ReturnType<typeof started>>): void {
  const last = new Map<string, unknown>();
  for (const { objectGUID, before, after } of log.events) {
    if (last.has(objectGUID)) expect(before).toEqual(last.get(objectGUID));
    last.set(objectGUID, after);
  }
}

describe('with a scope', () => {
  test('nobody else is known, and nothing is told of them or read of them', async () => {
    const w = await started();
    expect(w.known()).toEqual([1, 2, 3, 4, 5]);
    w.source.objectsRead.length = 0;
    w.directory.rename(account(7), 'x');
    w.directory.delete(account(8));
    w.directory.restore(account(8));
    w.directory.create({ sAMAccountName: 'outside' });
    w.directory.rename(account(2), 'y');
    await w.read();
    expect(w.told()).toEqual(['renamed 2']);
    expect(new Set(w.source.objectsRead)).toEqual(new Set([account(2)]));
    expect(w.known()).toEqual([1, 2, 3, 4, 5]);
  });

  test('an account is created, deleted and restored in it as ever', async () => {
    const w = await started();
    w.inside.add(account(11));
    w.directory.create({ sAMAccountName: 'new' });
    w.directory.delete(account(2));
    await w.read();
    w.directory.restore(account(2));
    await w.read();
    expect(w.told()).toEqual(['created 11', 'deleted 2', 'restored 2']);
    expectChains(w);
  });

  test('one that was there before comes in, one leaves, and both go on from there', async () => {
    const w = await started();
    await w.put([7], true);
    await w.put([3], false);
    expect(w.told()).toEqual(['entered-scope 7', 'left-scope 3']);
    expect(w.log.events).toMatchObject([
      { before: null, after: { sAMAccountName: 'user7' }, changed: [], observed: { via: 'dirsync', origin: null } },
      { before: { sAMAccountName: 'user3' }, after: null, changed: [], observed: { dn: expect.stringContaining(account(3)) } },
    ]);
    w.directory.rename(account(3), 'unseen');
    w.directory.rename(account(7), 'seen');
    await w.read();
    await w.put([3], true);
    expect(w.told().slice(2)).toEqual(['renamed 7', 'entered-scope 3']);
    expect(w.log.events.at(-1)?.after).toMatchObject({ sAMAccountName: 'unseen' });
    expectChains(w);
  });

  test('what was done to an account on its way out is not told, only that it left; one that was deleted is deleted', async () => {
    const w = await started();
    w.directory.rename(account(1), 'x');
    await w.put([1], false);
    w.directory.delete(account(2));
    await w.put([2], false);
    expect(w.told()).toEqual(['left-scope 1', 'deleted 2']);
    expectChains(w);
  });

  test('one that was made outside and came in later entered; in one read it was created', async () => {
    const w = await started();
    w.directory.create({ sAMAccountName: 'early' });
    await w.read();
    w.directory.create({ sAMAccountName: 'late' });
    await w.put([11, 12], true);
    expect(w.told().toSorted()).toEqual(['created 12', 'entered-scope 11']);
  });

  test('one that was brought back outside long ago enters, and is not told as restored', async () => {
    const w = await started();
    w.directory.delete(account(7));
    w.directory.restore(account(7));
    await w.read();
    await w.put([7], true);
    expect(w.told()).toEqual(['entered-scope 7']);
  });

  test('computers stay out whatever group they are in', async () => {
    const w = await started();
    w.directory.create({ sAMAccountName: 'pc$', objectClass: COMPUTER });
    await w.put([11], true);
    expect(w.told()).toEqual([]);
    expect(w.reportsOf('set-aside')).toEqual([]);
  });

  test('whoever comes or leaves without any sign is found in time', async () => {
    const w = await started();
    w.inside.add(account(9));
    w.inside.delete(account(1));
    await passed(MINUTE);
    expect(w.told()).toEqual([]);
    await passed(5 * MINUTE);
    expect(w.told()).toEqual(['left-scope 1', 'entered-scope 9']);
  });

  test('whoever comes or leaves while everything is read is found at its end', async () => {
    const w = await started();
    w.source.interference = {
      page: (number) => {
        if (number !== 3) return;
        w.inside.add(account(1)).add(account(7));
        w.inside.delete(account(2));
      },
    };
    w.log.requests.push({ id: 'now', kind: 'compare', namingContext: 'DC=memory', time: new Date().toISOString() });
    await passed(10 * SECOND);
    expect(w.told()).toEqual(['left-scope 2', 'entered-scope 7']);
  });

  test('a directory in which groups change all the time is not asked all the time', async () => {
    const w = await started();
    const looks = w.source.looks;
    for (let i = 0; i < 100; i++) {
      w.source.stirred = true;
      w.source.wakes.next();
      await passed(100);
    }
    expect(w.source.looks - looks).toBeGreaterThanOrEqual(30);
    expect(w.source.looks - looks).toBeLessThanOrEqual(42);
    // What was put off is done although nothing else happens.
    w.inside.add(account(9));
    w.source.stirred = true;
    w.source.wakes.next();
    await passed(300);
    expect(w.told()).toEqual(['entered-scope 9']);
  });
});

describe('another scope', () => {
  test('is told, and leads to a comparison that tells who left and who came', async () => {
    const w = await started();
    w.directory.rename(account(5), 'x');
    w.directory.create({ sAMAccountName: 'new' });
    w.directory.delete(account(4));
    await w.restart({ text: 'the last', has: (objectGUID) => objectGUID >= account(5) });
    expect(w.told().toSorted()).toEqual(
      [
        'left-scope 1',
        'left-scope 2',
        'left-scope 3',
        'deleted 4',
        'renamed 5',
        ...[6, 7, 8, 9, 10].map((n) => `entered-scope ${n}`),
        'created 11',
      ].toSorted(),
    );
    expect(new Set(w.log.events.map(({ observed }) => observed.via))).toEqual(new Set(['comparison']));
    expect(w.log.notices).toMatchObject([{ kind: 'position-lost', reason: 'the scope was changed' }]);
    expect(w.reportsOf('connected').at(-1)?.fullRead).toBe('the scope was changed');
    expect(w.log.positions.get(w.source.namingContext)).toMatchObject({ scope: 'the last', held: {} });
    expectChains(w);
    // And it is over.
    const { reads } = w.source;
    await w.read();
    expect(reads.at(-1)).toBeDefined();
  });

  test('is compared for until that is done, also when it is cut off; everybody is a scope like any other', async () => {
    const w = await started();
    let pages = 0;
    w.source.interference = { page: () => (++pages === 3 ? w.source.lose() : undefined) };
    await w.restart(undefined);
    await passed(MINUTE);
    expect(w.told().toSorted()).toEqual([6, 7, 8, 9, 10].map((n) => `entered-scope ${n}`).toSorted());
    expect(w.known()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe('another domain controller', () => {
  test('that has not heard how an account came in does not make it leave', async () => {
    const w = await started();
    const other = new MemoryDirectory({ number: 2 });
    other.replicateFrom(w.directory);
    w.directory.rename(account(1), 'x');
    await w.put([7], true);
    w.source.directory = other;
    w.inside.delete(account(7));
    w.source.lose();
    await passed(MINUTE);
    expect(w.told()).toEqual(['renamed 1', 'entered-scope 7']);
    other.replicateFrom(w.directory);
    await passed(2 * MINUTE);
    expect(w.told()).toEqual(['renamed 1', 'entered-scope 7', 'left-scope 7']);
    expect(w.log.positions.get(w.source.namingContext)?.held).toEqual({});
  });

  test('whose lag is over the limit is believed', async () => {
    const w = await started();
    const other = new MemoryDirectory({ number: 2 });
    other.replicateFrom(w.directory);
    w.directory.rename(account(1), 'x');
    await w.read();
    w.source.directory = other;
    w.inside.delete(account(7));
    w.inside.delete(account(2));
    w.source.lose();
    await passed(MINUTE);
    expect(w.told()).toEqual(['renamed 1']);
    await passed(SETTINGS.maxLag + MINUTE);
    expect(w.told()).toContain('left-scope 2');
  });
});
