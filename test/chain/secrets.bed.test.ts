import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { run } from '../../infra/testbed/run.ts';
import { namesake } from '../support/chain-cli.ts';
import { topicRecords } from '../support/chain-history.ts';
import { ENGINES, type Engine, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const TOPICS = ['identity-change', 'identity-state', 'ce-repair', 'ce-link'];

/** Something that was written, and where. */
type Writing = readonly [where: string, content: Buffer];

describe.each(ENGINES)('everything that a run wrote, on %s (rule 10)', (engine) => {
  it('holds no password and no token, and the directory cookie only where the position is kept', async () => {
    await using stage = await Stage.prepare(bed, engine, { env: { NAMESAKE_LOGGING_LEVEL: 'debug' } });
    await aRunWithTroubles(stage, `user0000${1 + ENGINES.indexOf(engine)}`);
    const cookies = await cookiesOf(stage);
    expect(cookies.length).toBeGreaterThan(0);
    const outputs = [...(await commandOutputs(stage)), ...(await filesBelow(dirname(stage.product.configFile), /\.(log|yaml)$/))];
    const stores = [...(await filesBelow(bed.path, new RegExp(`${engine}-.*\\.db`))), ...(await topicsOf(stage))];
    expect(stores.length).toBeGreaterThan(0);

    for (const [name, secret] of secrets()) {
      for (const form of formsOf(secret)) expect(holders([...outputs, ...stores], form), name).toEqual([]);
    }
    for (const cookie of cookies) {
      for (const form of [Buffer.from(cookie), Buffer.from(cookie, 'base64')]) {
        expect(holders([...outputs, ...(await topicsOf(stage)), ...tablesBesidesPosition(stage)], form), 'cookie').toEqual([]);
      }
    }
  });
});

/** Events and repairs, refused credentials on both sides, answers that echo nonsense, a restart. */
async function aRunWithTroubles(stage: Stage, person: string): Promise<void> {
  const impostor = await stage.another({ command: 'repair' });
  await stage.start();
  await stage.control.setFaults([
    { match: { method: 'PATCH', times: 1 }, fault: { kind: 'drop-after-write' } },
    { match: { method: 'PATCH', nth: 2 }, fault: { kind: 'html', status: 503 } },
  ]);
  await stage.rename(person, `${person}-secret`);
  await stage.canLogOn(`${person}-secret`);
  await stage.product.stop();
  await stage.start();
  await stage.product.stop();
  const wrongToken = join(bed.path, `${stage.topicPrefix}wrong-token`);
  await writeFile(wrongToken, WRONG_TOKEN);
  await run('sed', ['-i', `s|tokenFile: .*|tokenFile: ${wrongToken}|`, impostor.configFile]);
  void impostor.start().catch(() => {});
  await stage.says(/trying again in/, { product: impostor });
  await impostor.kill();
}

const WRONG_TOKEN = 'a-token-that-is-wrong';

function secrets(): [name: string, secret: string][] {
  const { directory, crm } = bed;
  return [
    ['password of the service', directory.service.password],
    ['password of the administrator', directory.admin.password],
    ['password of the look-ups', directory.lookup.password],
    ['token', crm.token],
    ['wrong token', WRONG_TOKEN],
  ];
}

/** As it is, as UTF-16 (how Windows has it), and in base64 wherever it may begin. */
function formsOf(secret: string): Buffer[] {
  const inBase64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), Buffer.from(secret)]).toString('base64');
    return Buffer.from(text.slice(4, -4));
  });
  return [Buffer.from(secret), Buffer.from(secret, 'utf16le'), ...inBase64];
}

function holders(writings: readonly Writing[], form: Buffer): string[] {
  return writings.filter(([, content]) => content.includes(form)).map(([where]) => where);
}

async function commandOutputs(stage: Stage): Promise<Writing[]> {
  const commands = [['status'], ['status', '--json'], ['config']];
  return await Promise.all(
    commands.map(async (args): Promise<Writing> => {
      const { stdout, stderr } = await namesake([...args, '--config', stage.product.configFile]);
      return [`namesake ${args.join(' ')}`, Buffer.from(stdout + stderr)];
    }),
  );
}

async function filesBelow(path: string, pattern: RegExp): Promise<Writing[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && pattern.test(join(entry.parentPath, entry.name)));
  return await Promise.all(
    files.map(async (entry): Promise<Writing> => {
      const file = join(entry.parentPath, entry.name);
      return [file, await readFile(file)];
    }),
  );
}

async function topicsOf(stage: Stage): Promise<Writing[]> {
  if (stage.engine === 'sqlite') return [];
  const bootstrap = bed.broker.bootstrap.join(',');
  return await Promise.all(
    TOPICS.map(
      async (topic): Promise<Writing> => [topic, Buffer.from(JSON.stringify(await topicRecords(bootstrap, stage.topicPrefix + topic)))],
    ),
  );
}

/** Every cookie that the position topic or table has. */
async function cookiesOf(stage: Stage): Promise<string[]> {
  const values = await until('a position is stored', async () => {
    if (stage.engine === 'kafka') {
      const records = await topicRecords(bed.broker.bootstrap.join(','), `${stage.topicPrefix}identity-position`);
      return records.map(({ payload }) => payload ?? '');
    }
    using database = new DatabaseSync(stage.logFile, { readOnly: true });
    return database
      .prepare('SELECT value FROM position')
      .all()
      .map(({ value }) => String(value));
  });
  return values.flatMap((value) => /"cookie":"([^"]+)"/.exec(value)?.[1] ?? []);
}

/** What the local database has besides the table of positions, row by row. */
function tablesBesidesPosition(stage: Stage): Writing[] {
  const file = databaseOf(stage, stage.engine);
  using database = new DatabaseSync(file, { readOnly: true });
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'position'").all();
  return tables.map(({ name }): Writing => {
    const rows = database.prepare(`SELECT * FROM ${name}`).all();
    return [`table ${name} of ${file}`, Buffer.from(JSON.stringify(rows).replaceAll('\\"', '"'))];
  });
}

function databaseOf(stage: Stage, engine: Engine): string {
  return engine === 'sqlite' ? stage.logFile : join(dirname(stage.product.configFile), 'cache.db');
}
