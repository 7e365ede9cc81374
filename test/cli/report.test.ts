import { expect, test } from 'vitest';
import { reportOf } from '../../src/cli/commands/report.ts';
import { describeAsJson, describeStatus } from '../../src/cli/status.ts';
import type { Repair } from '../../streams/repair.ts';
import { repair } from '../changelog/model.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ago = (milliseconds: number) => new Date(Date.now() - milliseconds).toISOString();

const OVER = repair('contoso', 1, { state: 'repaired', at: ago(2 * HOUR) });
const STUCK = repair('contoso', 2, {
  state: 'waiting',
  reason: 'not-in-directory-yet',
  parkingAccount: 'CORP\\park',
  times: { observed: ago(HOUR), intended: ago(HOUR), parked: ago(50 * MINUTE) },
  at: ago(MINUTE),
});
const LEFT = repair('contoso', 3, {
  state: 'needs-person',
  reason: 'account-deleted',
  parkingAccount: 'CORP\\park2',
  times: { observed: ago(HOUR), parked: ago(20 * MINUTE) },
});

test('tells how many are parked now, since when, and how long anyone was', () => {
  const stays = [
    { from: Date.now() - 3 * HOUR, until: Date.now() - 2 * HOUR },
    { from: Date.now() - 10_000, until: Date.now() - 9_000 },
    { from: Date.now() - 50 * MINUTE, until: undefined },
  ];
  const whole = reportOf([OVER, STUCK, LEFT], stays);
  expect(whole.parkedNow).toEqual({ people: 2, since: STUCK.times.parked });
  expect(whole.parked).toMatchObject({ times: 3, longest: HOUR });
  const lately = reportOf([OVER, STUCK, LEFT], stays, Date.now() - HOUR);
  expect(lately.repaired).toBe(0);
  // Whoever is there still counts, whenever that began.
  expect(lately.parkedNow.people).toBe(2);
  expect(lately.parked?.times).toBe(2);
  expect(lately.parked?.longest).toBeGreaterThanOrEqual(50 * MINUTE);
  expect(lately.parked?.longest).toBeLessThan(51 * MINUTE);
});

test('nobody was parked', () => {
  expect(reportOf([OVER], [])).toMatchObject({ repaired: 1, parkedNow: { people: 0, since: null }, parked: null });
});

test('status tells it too', () => {
  const statusOf = (repairs: readonly Repair[]) => {
    const nothing = { positions: [], sequence: 0, identities: 0, lastEvent: undefined, links: 0, requests: [] };
    return { ...nothing, repairs };
  };
  expect(describeStatus(statusOf([OVER, STUCK, LEFT]), 'log', MINUTE)).toContain(
    `Parked      2 people, the longest since ${STUCK.times.parked} (50 min ago)`,
  );
  expect(describeStatus(statusOf([OVER]), 'log', MINUTE)).not.toContain('Parked');
  expect(JSON.parse(describeAsJson(statusOf([OVER, STUCK])))).toMatchObject({ parked: { people: 1, since: STUCK.times.parked } });
});
