import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import { contract } from './contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'changelog-'));
let places = 0;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

contract({
  name: 'SQLite',
  passesOnWithin: 2_000,
  kills: 6,
  runs: 40,
  place: async () => {
    const file = join(directory, String(++places), 'namesake.db');
    return {
      open: () => new SqliteLog(file),
      program: (work) => ({ engine: 'sqlite', file, ...work }),
      takeOver: async () => {
        rmSync(`${file}-listener.lock`);
        const log = new SqliteLog(file);
        const listener = await log.openListener(new AbortController().signal);
        return {
          [Symbol.asyncDispose]: async () => {
            await listener[Symbol.asyncDispose]();
            await log[Symbol.asyncDispose]();
          },
        };
      },
    };
  },
});
