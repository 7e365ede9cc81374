import { expect, test } from 'vitest';
import { describeStatus } from '../../src/cli/status.ts';
import type { LogStatus } from '../../streams/change-log.ts';
import { begun } from '../../streams/position.ts';

const MINUTE = 60_000;

/** What is told of one listener whose position was stored so many milliseconds ago. */
function told(age: number, more: Partial<LogStatus['positions'][number]> = {}): string {
  const position = { ...begun('DC=corp', 'dc1'), time: new Date(Date.now() - age).toISOString(), ...more };
  const status: LogStatus = {
    positions: [position],
    sequence: 0,
    identities: 0,
    lastEvent: undefined,
    repairs: [],
    links: 0,
    requests: [],
  };
  return describeStatus(status, 'log', MINUTE);
}

const NOTHING_READ = 'nothing has been read since';

test('a listener that stores its position as often as it should is at work', () => {
  expect(told(MINUTE)).toContain('DC=corp on dc1, stood there 60 s ago');
  expect(told(MINUTE)).not.toContain(NOTHING_READ);
});

test('of one that does not it is said what that means', () => {
  expect(told(4 * MINUTE)).toContain(NOTHING_READ);
});

test('who was set aside is told, and which domain controllers were not taken', () => {
  const setAside = { '0a1b2c3d-0000-4000-8000-000000000001': 'it has no sAMAccountName' };
  const lines = told(0, { setAside, passedOver: [{ dc: 'dc0', reason: 'it is read-only' }] });
  expect(lines).toContain('set aside 0a1b2c3d-0000-4000-8000-000000000001: it has no sAMAccountName');
  expect(lines).toContain('not on dc0, when it connected: it is read-only');
});

test('but not where it compares everything, or waits for a person', () => {
  expect(told(4 * MINUTE, { comparing: { reason: 'restored', lossy: false } })).not.toContain(NOTHING_READ);
  const withheld = { deletions: 60, known: 100, since: new Date().toISOString(), digest: 'x' };
  expect(told(4 * MINUTE, { withheld })).not.toContain(NOTHING_READ);
});
