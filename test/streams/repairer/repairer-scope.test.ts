import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Change } from '../../../streams/change.ts';
import { guid } from '../../support/memory-directory.ts';
import { MINUTE, passed, SECOND, started, type World } from './repair-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** What a listener makes of an account that leaves the scope, or comes back with this name. */
function tell(world: World, kind: 'left-scope' | 'entered-scope' | 'deleted', name?: string): void {
  const objectGUID = guid('account', 1);
  const before = kind === 'entered-scope' ? null : (world.log.known.identity(objectGUID) ?? null);
  const after = name === undefined ? null : { objectGUID, domain: 'CORP', sAMAccountName: name, enabled: true };
  const observed = { time: new Date().toISOString(), dc: 'dc1', via: 'dirsync', dn: '' } as const;
  const change: Change = { kind, objectGUID, changed: [], before, after, caseOnly: false, formerHolder: null, observed };
  world.log.append({ namingContext: 'DC=x', changes: [change], identities: new Map([[objectGUID, after]]), position: undefined });
}

/** A repair that cannot go on for as long as the test wants. */
async function waiting(): Promise<{ world: World; goOn: () => void }> {
  const world = await started({ users: 1 });
  world.ce.fate = () => 'transient';
  world.rename(1, 'ann');
  await passed(SECOND);
  expect(world.repair(1)).toMatchObject({ state: 'waiting', reason: 'unavailable' });
  const goOn = () => {
    world.ce.fate = () => 'ok';
  };
  return { world, goOn };
}

test.each([
  ['left-scope', 'account-left-scope'],
  ['deleted', 'account-deleted'],
] as const)('a repair whose account is told as %s is not needed any more: %s', async (kind, reason) => {
  const { world, goOn } = await waiting();
  tell(world, kind);
  goOn();
  await passed(2 * MINUTE);
  expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason });
  expect(world.ce.writes).toEqual([]);
});

test('also after the repairer was killed in between', async () => {
  const { world, goOn } = await waiting();
  tell(world, 'left-scope');
  await passed(SECOND);
  world.kill();
  goOn();
  world.start();
  await passed(2 * MINUTE);
  expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'account-left-scope' });
});

test('an account that was renamed and left before anybody looked needs no repair', async () => {
  const world = await started({ users: 1 });
  world.kill();
  world.rename(1, 'ann');
  tell(world, 'left-scope');
  world.start();
  await passed(2 * MINUTE);
  expect(world.repair(1)).toMatchObject({ state: 'unneeded', reason: 'account-left-scope' });
  expect(world.ce.writes).toEqual([]);
});

test('one that comes back with another name is repaired', async () => {
  const world = await started({ users: 1 });
  tell(world, 'left-scope');
  await passed(SECOND);
  tell(world, 'entered-scope', 'anna');
  world.directory.rename(guid('account', 1), 'anna');
  await passed(MINUTE);
  expect(world.shown(1)).toBe('CORP\\anna');
  expect(world.repair(1)).toMatchObject({ state: 'repaired' });
});
