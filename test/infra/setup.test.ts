import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { outcomeOf, scratch } from './testbed/support.ts';

const SETUP = fileURLToPath(new URL('../../infra/setup.mjs', import.meta.url));

const setup = (args: readonly string[], env: Record<string, string> = {}) => outcomeOf(process.execPath, [SETUP, ...args], env);

it("runs the command with this project's own Node, quietly, and exits with its code", async () => {
  expect(await setup(['--', 'node', '-p', 'process.versions.node'])).toEqual({ code: 0, stdout: `${process.versions.node}\n`, stderr: '' });
  expect((await setup(['--', 'sh', '-c', 'exit 7'])).code).toBe(7);
  expect(await setup(['--', 'no-such-command'])).toMatchObject({ code: 127, stderr: expect.stringContaining('no-such-command') });
});

it('passes signals on and tells how the command ended', async () => {
  const child = spawn(
    process.execPath,
    [SETUP, '--', 'sh', '-c', 'trap "echo got it; exit 5" TERM; echo ready; while :; do sleep 0.1; done'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [first] = (await once(child.stdout, 'data')) as [Buffer];
  expect(first.toString()).toBe('ready\n');
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(((await once(child.stdout, 'data')) as [Buffer])[0].toString()).toBe('got it\n');
  expect((await ended)[0]).toBe(5);
});

it.each([[['--need', 'wings', '--', 'true']], [['--want', 'directory']], [['node']]])('refuses %j', async (args) => {
  expect(await setup(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('usage: node infra/setup.mjs') });
});

it('says what is missing when there is neither Java nor a way to get it, and goes on where the broker is only wanted', async () => {
  const bin = join(await scratch(), 'bin');
  await mkdir(bin);
  for (const command of ['sh', 'flock', 'cat']) {
    await symlink(join('/usr/bin', command), join(bin, command));
  }
  const bare = { PATH: bin, XDG_CACHE_HOME: await scratch() };
  const needed = await setup(['--need', 'broker', '--', 'sh', '-c', 'echo ran'], bare);
  expect(needed).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/needs Java 17.*\n.*Debian 12/s) });
  const wanted = await setup(['--want', 'broker', '--', 'sh', '-c', 'echo "$TESTBED_BROKER"'], bare);
  expect(wanted).toMatchObject({ code: 0, stdout: 'missing\n', stderr: expect.stringContaining('going on without a broker') });
});
