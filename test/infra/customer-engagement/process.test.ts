import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../../infra/customer-engagement/control-client.ts';
import { ANN, BEN, id, request, writeConfig } from './organization.ts';

const PROGRAM = fileURLToPath(new URL('../../../infra/customer-engagement/main.ts', import.meta.url));

let path: string;
const children = new Set<ChildProcess>();

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'ce-process-'));
});
afterEach(async () => {
  await Promise.all([...children].map((child) => end(child, 'SIGKILL')));
  children.clear();
  await rm(path, { recursive: true });
});

async function run(config: unknown): Promise<ChildProcess> {
  const file = join(path, 'config.json');
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  const child = spawn(process.execPath, [PROGRAM, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  return child;
}

async function ready(config: unknown): Promise<{ child: ChildProcess; base: string; control: ControlClient }> {
  const child = await run(config);
  if (child.stdout === null) throw new Error('no output');
  for await (const chunk of child.stdout) {
    const [, json] = /^ready (\{.*\})\n$/.exec(String(chunk)) ?? [];
    if (json === undefined) continue;
    const { port, controlPort } = JSON.parse(json);
    return {
      child,
      base: `http://127.0.0.1:${port}/contoso/api/data/v9.1/`,
      control: new ControlClient(`http://127.0.0.1:${controlPort}`),
    };
  }
  throw new Error('it ended before it was ready');
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, 'exit');
  }
  return child.exitCode;
}

async function patch(base: string, user: string, domainname: string): Promise<number> {
  const headers = { 'content-type': 'application/json', 'if-match': '*' };
  return (await request(`${base}systemusers(${user})`, 'PATCH', headers, JSON.stringify({ domainname }))).status;
}

test('what was acknowledged survives SIGKILL, in the middle of writing too', async () => {
  const config = await writeConfig(path);
  for (let round = 0; round < 3; round += 1) {
    const first = await ready(config);
    let acknowledged = '';
    let sent = '';
    const writing = (async () => {
      for (let count = 0; ; count += 1) {
        sent = count % 2 === 0 ? 'CORP\\park1' : 'CORP\\park2';
        const answer = patch(first.base, ANN, sent);
        if (count === 30) first.child.kill('SIGKILL');
        if ((await answer) === 204) acknowledged = sent;
      }
    })();
    await expect(writing).rejects.toThrow();
    await once(first.child, 'exit').catch(() => undefined);
    const second = await ready(config);
    const shown = (await second.control.records()).find(({ systemuserid }) => systemuserid === ANN)?.domainname;
    expect([acknowledged, sent]).toContain(shown);
    expect(await patch(second.base, ANN, 'CORP\\alee')).toBe(204);
    await end(second.child, 'SIGKILL');
  }
}, 30_000);

test('a torn last line is what nobody was told about', async () => {
  const config = await writeConfig(path);
  const first = await ready(config);
  expect(await patch(first.base, ANN, 'CORP\\park1')).toBe(204);
  await end(first.child, 'SIGKILL');
  await appendFile(join(path, 'records.jsonl'), '{"id":"00000000-0000-4000-8000-000000000002","vers');
  const second = await ready(config);
  const version = async () => (await second.control.records()).find(({ systemuserid }) => systemuserid === ANN)?.versionnumber ?? 0;
  const before = await version();
  expect(await patch(second.base, ANN, 'CORP\\alee')).toBe(204);
  expect(await version()).toBeGreaterThan(before);
  expect((await readFile(join(path, 'requests.jsonl'), 'utf8')).trimEnd().split('\n').length).toBe(2);
});

test('SIGTERM ends it cleanly, a hanging request notwithstanding; seeds do not overwrite what was written', async () => {
  const config = await writeConfig(path);
  const first = await ready(config);
  expect(await patch(first.base, BEN, 'CORP\\park2')).toBe(204);
  await first.control.setFaults([{ match: {}, fault: { kind: 'hang' } }]);
  const hanging = expect(request(`${first.base}WhoAmI`, 'GET')).rejects.toThrow();
  await expect.poll(async () => (await first.control.requests()).length).toBe(2);
  expect(await end(first.child, 'SIGTERM')).toBe(0);
  await hanging;
  const second = await ready(config);
  expect((await second.control.records()).find(({ systemuserid }) => systemuserid === BEN)?.domainname).toBe('CORP\\park2');
});

test.each<[string, (config: object) => unknown, RegExp]>([
  ['no JSON', () => '{', /cannot be read/],
  ['no caller', (config) => ({ ...config, caller: 'me' }), /at caller/],
  ['a caller without a record', (config) => ({ ...config, caller: id(99) }), /caller: no record/],
  ['no credentials', (config) => ({ ...config, token: undefined }), /token or basic is needed/],
  ['an open control port', (config) => ({ ...config, control: { host: '0.0.0.0', port: 0 } }), /loopback/],
  ['a setting that is not one', (config) => ({ ...config, dialekt: '9.0' }), /dialekt/],
  ['a directory that is not there', (config) => ({ ...config, directory: { file: '/nowhere', netbios: 'CORP' } }), /cannot be read/],
])('%s is said, with exit code 2', async (_, change, message) => {
  const child = await run(change(await writeConfig(path)));
  const errors = child.stderr === null ? '' : await text(child.stderr);
  expect(errors).toMatch(message);
  expect(await end(child, 'SIGKILL')).toBe(2);
});
