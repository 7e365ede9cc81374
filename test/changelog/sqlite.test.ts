import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import { LogError } from '../../streams/change-log.ts';
import { contract } from './contract.ts';
import { create } from './expectations.ts';
import { DOMAIN, guid, Model, position, request } from './model.ts';

const NEVER = new AbortController().signal;

const directory = mkdtempSync(join(tmpdir(), 'changelog-'));
let places = 0;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

contract({
  name: 'SQLite',
  passesOnWithin: 5_000,
  kills: 6,
  runs: 40,
  place: async () => {
    const file = join(directory, String(++places), 'namesake.db');
    return {
      open: () => new SqliteLog(file),
      look: () => new SqliteLog(file, { create: false }),
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

describe('a look at a log on SQLite', () => {
  /** A log in which one account is known. */
  async function prepare(): Promise<string> {
    const file = join(directory, String(++places), 'namesake.db');
    await using log = new SqliteLog(file);
    await using listener = await log.openListener(NEVER);
    await listener.append(new Model().batch([create(1)], 'first'));
    return file;
  }

  const status = async (file: string) => {
    await using look = new SqliteLog(file, { create: false });
    return await look.status();
  };

  it('writes nothing', async () => {
    const file = await prepare();
    using other = new DatabaseSync(file);
    const version = () => other.prepare('PRAGMA data_version').get()?.data_version;
    const [before, bytes] = [version(), readFileSync(file)];
    expect(await status(file)).toMatchObject({ sequence: 1, identities: 1, positions: [position('first')] });
    expect(version()).toBe(before);
    expect(readFileSync(file).equals(bytes)).toBe(true);
    await using look = new SqliteLog(file, { create: false });
    await expect(look.openListener(NEVER)).rejects.toBeInstanceOf(LogError);
  });

  it('leaves nothing beside the file, which could keep the next writer out', async () => {
    const file = await prepare();
    const before = readdirSync(dirname(file));
    expect(await status(file)).toMatchObject({ sequence: 1, identities: 1 });
    expect(readdirSync(dirname(file))).toEqual(before);
  });

  it('can ask the listener for something, and leaves nothing beside the file either', async () => {
    const file = await prepare();
    const before = readdirSync(dirname(file));
    {
      await using look = new SqliteLog(file, { create: false });
      await look.request(request('a'));
      await using accounts = await look.look();
      expect([accounts.count(DOMAIN), accounts.origins(guid(1))]).toEqual([1, {}]);
    }
    expect(readdirSync(dirname(file))).toEqual(before);
    await using log = new SqliteLog(file);
    await using listener = await log.openListener(NEVER);
    expect(await listener.requests()).toEqual([request('a')]);
  });

  it('does not wait for whoever writes', async () => {
    const file = await prepare();
    using writer = new DatabaseSync(file);
    writer.exec('BEGIN IMMEDIATE; DELETE FROM identity;');
    const begun = performance.now();
    expect(await status(file)).toMatchObject({ sequence: 1, identities: 1 });
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  it('finds nothing in a file that is not there or empty, and makes none', async () => {
    const nothing = { sequence: 0, identities: 0, positions: [], repairs: [], links: 0 };
    const missing = join(directory, 'none', 'namesake.db');
    expect(await status(missing)).toMatchObject(nothing);
    await using log = new SqliteLog(missing, { create: false });
    await using accounts = await log.look();
    expect([accounts.count(DOMAIN), accounts.identity(guid(1))]).toEqual([0, undefined]);
    await expect(log.request(request('a'))).rejects.toThrow(/there is no .*namesake\.db/);
    expect(existsSync(missing)).toBe(false);
    const empty = join(directory, 'empty.db');
    writeFileSync(empty, '');
    expect(await status(empty)).toMatchObject(nothing);
    expect(readFileSync(empty)).toHaveLength(0);
  });

  it.each([
    ["UPDATE meta SET value = '0' WHERE key = 'schema'", /written by another version of Namesake \(its schema is 0, this one's 3\)/],
    ["DELETE FROM meta WHERE key = 'schema'", /written by another version of Namesake/],
    ['DROP TABLE meta', /cannot open .* as a log/],
  ])('refuses what it cannot understand: %s', async (deed, message) => {
    const file = await prepare();
    {
      using other = new DatabaseSync(file);
      other.exec(deed);
    }
    expect(() => new SqliteLog(file, { create: false })).toThrow(message);
    expect(() => new SqliteLog(file, { create: false })).toThrow(LogError);
  });
});
