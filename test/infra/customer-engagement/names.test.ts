import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FileDirectory } from '../../../infra/customer-engagement/directory-file.ts';
import { Names } from '../../../infra/customer-engagement/names.ts';
import { account } from './organization.ts';

let path: string;
let names: Names;

async function directory(...accountNames: string[]): Promise<void> {
  await writeFile(join(path, 'directory.json'), JSON.stringify(accountNames.map((name, index) => account(index, name))));
}

const found = async (name: string) => (await names.resolve(name))?.sAMAccountName;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  path = await mkdtemp(join(tmpdir(), 'ce-names-'));
  names = new Names(new FileDirectory(join(path, 'directory.json')), 'CORP');
  await directory('alee', 'park1');
  await names.resolveAll(['CORP\\alee']);
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(path, { recursive: true });
});

test('without lag a new name is known at once and the old one gone', async () => {
  await directory('alee2', 'park1');
  expect(await found('CORP\\alee2')).toBe('alee2');
  expect(await found('CORP\\alee')).toBeUndefined();
});

test('with lag the old name stays and the new one is unknown until the lag is over', async () => {
  names.lag = 1000;
  await directory('alee2', 'park1');
  expect(await found('CORP\\alee2')).toBeUndefined();
  expect(await found('corp\\ALEE')).toBe('alee');
  vi.advanceTimersByTime(999);
  expect(await found('CORP\\alee2')).toBeUndefined();
  expect(await found('CORP\\alee')).toBe('alee');
  vi.advanceTimersByTime(1);
  expect(await found('CORP\\alee2')).toBe('alee2');
  expect(await found('CORP\\alee')).toBeUndefined();
});

test('with lag a name that was not there stays unknown when it comes', async () => {
  names.lag = 1000;
  expect(await found('CORP\\late')).toBeUndefined();
  await directory('alee', 'park1', 'late');
  expect(await found('CORP\\late')).toBeUndefined();
  vi.advanceTimersByTime(1000);
  expect(await found('CORP\\late')).toBe('late');
});

test('with lag an account never seen before is found, and renamed back and forth lags each time', async () => {
  names.lag = 1000;
  expect(await found('CORP\\park1')).toBe('park1');
  vi.advanceTimersByTime(5000);
  await directory('alee', 'park2');
  expect(await found('CORP\\park2')).toBeUndefined();
  vi.advanceTimersByTime(1000);
  expect(await found('CORP\\park2')).toBe('park2');
  await directory('alee', 'park1');
  vi.advanceTimersByTime(1000);
  expect(await found('CORP\\park1')).toBeUndefined();
  vi.advanceTimersByTime(1000);
  expect(await found('CORP\\park1')).toBe('park1');
});
