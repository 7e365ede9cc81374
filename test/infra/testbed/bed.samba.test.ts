import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startBed } from '../../../infra/testbed/bed.ts';
import { DirectoryAdmin } from '../../../infra/testbed/ldap.ts';
import { eventually, lives, scratch } from './support.ts';

const MODULE = fileURLToPath(new URL('../../../infra/testbed/bed.ts', import.meta.url));

it('starts from nothing, and the second time from the cache', async () => {
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = await scratch();
  try {
    await using first = await startBed({ users: 3 });
    await using second = await startBed({ users: 3 });
    expect(second.directory.people).toEqual(first.directory.people);
    expect(second.directory.admin.password).toBe(first.directory.admin.password);
    await using admin = await DirectoryAdmin.connect(second.directory);
    expect(await admin.find('user00003')).toBeDefined();
    expect(await admin.find('user00004')).toBeUndefined();
  } finally {
    if (before === undefined) {
      delete process.env.XDG_CACHE_HOME;
    } else {
      process.env.XDG_CACHE_HOME = before;
    }
  }
});

it('runs two beds side by side, each with data of its own', async () => {
  const [first, second] = await Promise.all([startBed(), startBed()]);
  await using _first = first;
  await using _second = second;
  expect(second.address).not.toBe(first.address);
  await using one = await DirectoryAdmin.connect(first.directory);
  await using other = await DirectoryAdmin.connect(second.directory);
  await one.rename((await one.find('alee'))?.objectGUID ?? '', 'ann.lee');
  expect(await other.find('ann.lee')).toBeUndefined();
  expect(await other.find('alee')).toBeDefined();
});

it('keeps its data in a directory that was given to it, and shows the log of a part that does not start', async () => {
  const path = await scratch();
  let person: string;
  {
    await using bed = await startBed({ path });
    await using admin = await DirectoryAdmin.connect(bed.directory);
    person = (await admin.create({ sAMAccountName: 'newcomer' })).objectGUID;
  }
  {
    await using bed = await startBed({ path });
    await using admin = await DirectoryAdmin.connect(bed.directory);
    expect((await admin.find('newcomer'))?.objectGUID).toBe(person);
  }
  await truncate(join(path, 'directory/domain/private/sam.ldb'), 100);
  const failure = await startBed({ path }).catch((error: Error) => error.message);
  expect(failure).toMatch(/^dc1 did not start: .*\nlast lines of .*samba\.log:\n.*failed to start/s);
  await expect(startBed({ path, users: 1 })).rejects.toThrow(/made by another recipe/);
});

it('leaves nothing behind when its process is killed', async () => {
  const path = await scratch();
  const script = `import { startBed } from '${MODULE}'; const bed = await startBed({ path: '${path}', customerEngagement: true }); console.log(JSON.stringify(bed.parts));`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pids = (JSON.parse(line.toString()) as { pid: number }[]).map(({ pid }) => pid);
  expect(pids).toHaveLength(2);
  expect(pids.every(lives)).toBe(true);
  parent.kill('SIGKILL');
  await eventually('all parts are gone', () => !pids.some(lives));
  expect(await readFile(join(path, 'directory/samba.log'), 'utf8')).toContain('samba version');
});
