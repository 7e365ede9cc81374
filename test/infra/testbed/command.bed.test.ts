import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { eventually, lives, type Outcome, outcomeOf, scratch } from './support.ts';

const MAIN = fileURLToPath(new URL('../../../infra/testbed/main.ts', import.meta.url));

const testbed = (...args: string[]) => outcomeOf(process.execPath, [MAIN, ...args]);

it('brings all parts up, prints commands that work, and takes them down', async () => {
  const path = await scratch();
  onTestFinished(async () => {
    await testbed('down', '--path', path);
  });
  expect((await testbed('status', '--path', path)).code).toBe(1);

  const up = await testbed('up', '--users', '20', '--path', path);
  expect(up).toMatchObject({ code: 0, stderr: '' });
  const commands = [...up.stdout.matchAll(/^ {2}(?:look|rename|can log on\?) +(.*)$/gm)].map((match) => match[1] ?? '');
  expect(commands).toHaveLength(5);
  const outcomes: Outcome[] = [];
  for (const command of commands) {
    outcomes.push(await outcomeOf('sh', ['-c', command]));
  }
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0]);
  expect(outcomes[0]?.stdout).toContain('displayName: Ann Lee');
  expect(outcomes[2]?.stdout).toContain('broker 1 at');
  expect(outcomes[3]?.stdout).toContain('"fullname":"Ann Lee"');

  const status = await testbed('status', '--path', path);
  expect(status.code).toBe(0);
  expect(status.stdout.match(/ up /g)).toHaveLength(4);
  expect((await testbed('up', '--path', path)).stdout).toContain('already up');

  expect((await testbed('down', '--path', path)).stdout).toBe('stopped\n');
  expect((await testbed('status', '--path', path)).code).toBe(1);
});

it('does to the domain controllers what it is told', async () => {
  const path = await scratch();
  const told = (...args: string[]) => testbed(...args, '--path', path);
  onTestFinished(async () => {
    await told('down');
  });
  expect(await told('stop', 'dc1')).toMatchObject({ code: 1, stderr: 'nothing is up\n' });
  const up = await told('up', '--dcs', '2', '--brokers', '0', '--users', '3');
  expect(up).toMatchObject({ code: 0, stderr: '' });
  const look = /^dc2 .*?look +([^\n]*)$/ms.exec(up.stdout)?.[1] ?? '';
  expect((await outcomeOf('sh', ['-c', look])).stdout).toContain('displayName: Ann Lee');

  const states = async () => (await told('status')).stdout.match(/(?<=^dc\d +)\w+/gm);
  for (const [command, state] of [
    ['freeze', 'paused'],
    ['thaw', 'up'],
    ['kill', 'down'],
    ['start', 'up'],
    ['stop', 'down'],
    ['start', 'up'],
  ] as const) {
    expect(await told(command, 'dc2')).toMatchObject({ code: 0, stderr: '' });
    expect(await states()).toEqual(['up', state]);
  }
  for (const order of [
    ['save', 'dc1', 'now'],
    ['pause-replication'],
    ['roll-back', 'dc1', 'now'],
    ['replicate', 'dc1', 'dc2'],
    ['resume-replication'],
  ]) {
    expect(await told(...order)).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^.+\n$/) });
  }
  expect(await states()).toEqual(['up', 'up']);
  for (const [order, complaint] of [
    [['roll-back', 'dc1', 'then'], 'nothing of dc1 was saved as then\n'],
    [['stop', 'dc3'], 'there is no dc3 here, only dc1, dc2, customer-engagement\n'],
    [['save', 'customer-engagement', 'now'], 'there is no customer-engagement here, only dc1, dc2\n'],
  ] as const) {
    expect(await told(...order)).toEqual({ code: 1, stdout: '', stderr: complaint });
  }
});

it('leaves nothing behind when the supervisor is killed, and says so', async () => {
  const path = await scratch();
  onTestFinished(async () => {
    await testbed('down', '--path', path);
  });
  expect((await testbed('up', '--brokers', '0', '--path', path)).code).toBe(0);
  const standing = JSON.parse(await readFile(join(path, 'standing.json'), 'utf8')) as {
    supervisor: { pid: number };
    parts: { pid: number }[];
  };
  process.kill(standing.supervisor.pid, 'SIGKILL');
  await eventually('all parts are gone', () => !standing.parts.some(({ pid }) => lives(pid)));
  const status = await testbed('status', '--path', path);
  expect(status.code).toBe(1);
  expect(status.stdout.match(/ down /g)).toHaveLength(3);
});

it.each([
  [[], 'a command is expected'],
  [['fly'], 'fly: no such command'],
  [['up', '--brokers', '2'], '--brokers 2: 0, 1 or 3 is expected'],
  [['up', '--dcs', '3'], '--dcs 3: 1 or 2 is expected'],
  [['replicate', 'dc1'], 'replicate TO FROM is expected'],
  [['stop', 'dc1', 'dc2'], 'dc2: one command is expected'],
  [['up', '--users', 'many'], '--users many: a number'],
  [['up', '--nothing'], "Unknown option '--nothing'"],
])('refuses %j with exit code 2', async (args, message) => {
  const { code, stderr } = await testbed(...args);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain('usage: npm run testbed');
});
