import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ManagedProcess, type ProcessPlan } from '../../../infra/testbed/process.ts';
import { eventually, lives, scratch } from './support.ts';

const MODULE = fileURLToPath(new URL('../../../infra/testbed/process.ts', import.meta.url));

/** A shell script that is ready when it has printed `ready`. */
async function scripted(script: string, plan: Partial<ProcessPlan> = {}): Promise<ManagedProcess> {
  const cwd = await scratch();
  const part = new ManagedProcess({
    name: 'part',
    command: 'sh',
    args: ['-c', script],
    cwd,
    log: join(cwd, 'part.log'),
    ready: async (output) => {
      if (!(await output()).includes('ready')) {
        throw new Error('it is silent');
      }
    },
    startWithin: 5_000,
    stopWithin: 5_000,
    ...plan,
  });
  onTestFinished(() => part.kill());
  return part;
}

describe('a managed process', () => {
  it('starts, stops and starts again', async () => {
    const part = await scripted('echo ready; exec sleep 60');
    await part.start();
    const first = part.pid;
    await part.stop();
    expect(part.pid).toBeUndefined();
    await part.start();
    expect(part.pid).not.toBe(first);
  });

  it('shows its last lines when it ends instead of starting', async () => {
    const part = await scripted('echo the port is taken >&2; exit 3');
    await expect(part.start()).rejects.toThrow(/part did not start: it ended with exit code 3\n.*\n {2}the port is taken/);
  });

  it('shows its last lines, without those of an earlier start, when it is not ready in time, and is gone then', async () => {
    const part = await scripted('if test -e second; then echo hanging; else touch second; echo ready; fi; exec sleep 60', {
      startWithin: 500,
    });
    await part.start();
    await part.kill();
    const error = await part.start().catch((reason: Error) => reason.message);
    expect(error).toMatch(/not ready after 500 ms \(it is silent\)\n.*\n {2}hanging$/);
    expect(part.pid).toBeUndefined();
  });

  it('says that a command is not there', async () => {
    const part = await scripted('', { command: 'no-such-command', args: [] });
    await expect(part.start()).rejects.toThrow(/no-such-command: not found/);
  });

  it('is killed when it does not heed SIGTERM', async () => {
    const part = await scripted('trap "" TERM; echo ready; while :; do sleep 0.1; done', { stopWithin: 200 });
    await part.start();
    const { pid } = part;
    await part.stop();
    expect(lives(pid ?? 0)).toBe(false);
  });

  it.each(['kill', 'stop'] as const)('is there no more after a %s that came before its process was spawned', async (end) => {
    const part = await scripted('sleep 0.2; echo ready; exec sleep 60');
    const started = expect(part.start()).rejects.toThrow(/part did not start: it ended with SIG(KILL|TERM)/);
    await part[end]();
    expect(part.pid).toBeUndefined();
    await started;
    await part.start();
    expect(lives(part.pid ?? 0)).toBe(true);
  });

  it('is one process also when it is started twice, and both starts wait until it is ready', async () => {
    const cwd = await scratch();
    const part = await scripted('echo $$ >> pids; sleep 0.2; touch is-ready; echo ready; exec sleep 60', { cwd });
    const ready = () => existsSync(join(cwd, 'is-ready'));
    expect(await Promise.all([part.start().then(ready), part.start().then(ready)])).toEqual([true, true]);
    await part.start();
    expect(await readFile(join(cwd, 'pids'), 'utf8')).toBe(`${part.pid}\n`);
  });

  it('is stopped also while it is paused', async () => {
    const part = await scripted('echo ready; exec sleep 60');
    await part.start();
    part.pause();
    await part.stop();
    expect(part.pid).toBeUndefined();
  });

  it('dies with its parent, even when that is killed', async () => {
    const cwd = await scratch();
    const plan = `{ name: 'part', command: 'sleep', args: ['60'], cwd: '${cwd}', log: '${join(cwd, 'log')}', ready: async () => {}, startWithin: 5000, stopWithin: 0 }`;
    const script = `import { ManagedProcess } from '${MODULE}'; const part = new ManagedProcess(${plan}); await part.start(); console.log(part.pid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(lives(pid)).toBe(true);
    parent.kill('SIGKILL');
    await eventually('the part is gone', () => !lives(pid));
  });
});
