import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlink } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../../infra/testbed/bed.ts';
import type { Directory } from '../../../infra/testbed/directory.ts';
import { DirectoryAdmin } from '../../../infra/testbed/ldap.ts';
import { dirSync, eventually, lives, scratch, ticketFor } from './support.ts';

const MODULE = fileURLToPath(new URL('../../../infra/testbed/bed.ts', import.meta.url));

let bed: Bed;
let dc1: Directory;
let dc2: Directory;

beforeAll(async () => {
  bed = await startBed({ dcs: 2, users: 3 });
  const [first, second] = bed.directories;
  if (second === undefined) throw new Error('there is no second domain controller');
  [dc1, dc2] = [first, second];
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** Who is found under this name, on each of the two. */
async function seen(name: string): Promise<(string | undefined)[]> {
  await using one = await DirectoryAdmin.connect(dc1);
  await using two = await DirectoryAdmin.connect(dc2);
  return [(await one.find(name))?.objectGUID, (await two.find(name))?.objectGUID];
}

async function create(on: Directory, sAMAccountName: string): Promise<string> {
  await using admin = await DirectoryAdmin.connect(on);
  return (await admin.create({ sAMAccountName })).objectGUID;
}

describe('two domain controllers', () => {
  it('have the same people from the beginning, at different addresses', async () => {
    expect(dc1.address).not.toBe(dc2.address);
    for (const name of ['alee', 'ns-park-08', 'user00003', 'svc-namesake']) {
      const [one, two] = await seen(name);
      expect(one).toBeDefined();
      expect(two).toBe(one);
    }
  });

  it('tell each other what is written on either, by themselves', async () => {
    const [one, two] = [await create(dc1, 'written.on.dc1'), await create(dc2, 'written.on.dc2')];
    await eventually('both changes are on both', async () => {
      const found = await Promise.all(['written.on.dc1', 'written.on.dc2'].map(seen));
      return (
        JSON.stringify(found) ===
        JSON.stringify([
          [one, one],
          [two, two],
        ])
      );
    });
  });

  it('both let the service account see deletes by DirSync, and nobody without that right', async () => {
    await using admin = await DirectoryAdmin.connect(dc1);
    await admin.delete(await create(dc1, 'leaver'));
    await bed.replication.settled();
    const shown = await dirSync(dc2, dc2.service, '(sAMAccountName=leaver)', 'isDeleted', 'sAMAccountName');
    expect(shown.stdout).toMatch(/^isDeleted: TRUE$/m);
    expect((await dirSync(dc2, dc2.lookup, '(objectClass=user)', 'sAMAccountName')).code).toBe(50);
  });

  it('settle also what was deleted and reanimated', async () => {
    const person = await create(dc2, 'returner');
    {
      await using admin = await DirectoryAdmin.connect(dc2);
      await admin.delete(person);
      await admin.reanimate(person, 'Returner');
    }
    await bed.replication.settled();
    expect(await seen('returner')).toEqual([person, person]);
  });
});

describe('paused replication', () => {
  it('lags in both directions until it is resumed, but for what is pulled by hand', async () => {
    await bed.replication.settled();
    await bed.replication.pause();
    const [one, two] = [await create(dc1, 'paused.on.dc1'), await create(dc2, 'paused.on.dc2')];
    await expect(bed.replication.settled()).rejects.toThrow(/^dc\d lacks changes of dc\d, and its replication is paused$/);
    // Longer than notifications take otherwise, and over a restart.
    await dc2.stop();
    await dc2.start();
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await seen('paused.on.dc1')).toEqual([one, undefined]);
    expect(await seen('paused.on.dc2')).toEqual([undefined, two]);

    await bed.replication.replicate(dc2, dc1);
    expect(await seen('paused.on.dc1')).toEqual([one, one]);
    expect(await seen('paused.on.dc2')).toEqual([undefined, two]);

    await bed.replication.resume();
    expect(await seen('paused.on.dc2')).toEqual([two, two]);
    const later = await create(dc2, 'after.the.pause');
    await eventually('it replicates by itself again', async () => (await seen('after.the.pause'))[0] === later);
  });
});

describe('a domain controller of two', () => {
  it('is missed by nobody who has the other, and has what it missed when it is back', async () => {
    await dc1.kill();
    const person = await create(dc2, 'while.dc1.was.away');
    expect(await ticketFor(dc2, dc2.service)).toBeGreaterThan(500);
    await expect(bed.replication.settled()).rejects.toThrow('dc1 is not running');
    await dc1.start();
    await bed.replication.settled();
    expect(await seen('while.dc1.was.away')).toEqual([person, person]);
  });

  it('can be rolled back behind its own past, and only it', async () => {
    await bed.replication.settled();
    await dc1.save('before');
    const person = await create(dc1, 'forgotten');
    await bed.replication.settled();
    const usn = async () => {
      await using admin = await DirectoryAdmin.connect(dc1);
      return await admin.highestCommittedUSN();
    };
    const reached = await usn();
    await bed.replication.pause();
    await dc1.rollBack('before');
    expect(await usn()).toBeLessThan(reached);
    expect((await seen('forgotten'))[1]).toBe(person);
    await expect(dc1.rollBack('never')).rejects.toThrow('nothing of dc1 was saved as never');
    await expect(dc1.save('../dc1')).rejects.toThrow('../dc1 cannot be the name of a copy');
  });
});

it('leaves nothing behind when its process is killed', async () => {
  const path = await scratch();
  const script = `import { startBed } from '${MODULE}'; const bed = await startBed({ dcs: 2, users: 3, path: '${path}' }); console.log(JSON.stringify(bed.parts));`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const parts = JSON.parse(line.toString()) as { name: string; pid: number }[];
  expect(parts.map(({ name }) => name)).toEqual(['dc1', 'dc2']);
  // The server itself, not something around it that would leave it behind.
  for (const { pid } of parts) {
    expect(await readlink(`/proc/${pid}/exe`)).toMatch(/\/samba$/);
  }
  parent.kill('SIGKILL');
  await eventually('all parts are gone', () => !parts.some(({ pid }) => lives(pid)));
});
