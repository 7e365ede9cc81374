import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../../infra/testbed/bed.ts';
import { DirectoryAdmin } from '../../../infra/testbed/ldap.ts';
import { dirSync, eventually, ldap } from './support.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ dcs: 2, rodc: true, secondForest: true });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/** Attributes of one entry, as the service account of that domain controller sees them. */
async function read(directory: Bed['directory'], dn: string, attribute: string): Promise<string | undefined> {
  const { stdout } = await ldap(directory, 'ldapsearch', directory.service, [
    '-LLL',
    '-o',
    'ldif-wrap=no',
    '-s',
    'base',
    '-b',
    dn,
    attribute,
  ]);
  return new RegExp(`^${attribute}: (.*)$`, 'm').exec(stdout)?.[1];
}

const isReadOnly = async (directory: Bed['directory']) =>
  await read(directory, (await read(directory, '', 'dsServiceName')) ?? '', 'msDS-isRODC');

describe('the read-only domain controller', () => {
  it('says that it is one, as the others say that they are not', async () => {
    expect(await isReadOnly(bed.rodc)).toBe('TRUE');
    expect(await Promise.all(bed.directories.map(isReadOnly))).toEqual(['FALSE', 'FALSE']);
    expect(bed.directories).not.toContain(bed.rodc);
  });

  it('lets the service accounts log on, and nobody else', async () => {
    for (const account of [bed.rodc.service, bed.rodc.lookup]) {
      await using admin = await DirectoryAdmin.connect(bed.rodc, account);
      expect(await admin.find('alee')).toBeDefined();
    }
    await expect(DirectoryAdmin.connect(bed.rodc)).rejects.toThrow();
  });

  it('follows the others by itself, and at once when it is told to', async () => {
    const [dc1 = bed.directory, dc2 = bed.directory] = bed.directories;
    await using one = await DirectoryAdmin.connect(dc1);
    await using two = await DirectoryAdmin.connect(dc2);
    await using follower = await DirectoryAdmin.connect(bed.rodc, bed.rodc.service);
    await two.create({ sAMAccountName: 'followed' });
    await eventually('the change is there', async () => (await follower.find('followed')) !== undefined, 30_000);

    await one.create({ sAMAccountName: 'pulled' });
    await bed.replication.replicate(bed.rodc, dc1);
    expect(await follower.find('pulled')).toBeDefined();

    await two.create({ sAMAccountName: 'settled' });
    await bed.replication.settled();
    expect(await follower.find('settled')).toBeDefined();
  });

  it('does not follow them while replication is paused, and does again', async () => {
    await using one = await DirectoryAdmin.connect(bed.directory);
    await bed.replication.pause();
    await one.create({ sAMAccountName: 'paused' });
    await using follower = await DirectoryAdmin.connect(bed.rodc, bed.rodc.service);
    // Longer than it takes to pull otherwise.
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(await follower.find('paused')).toBeUndefined();
    await bed.replication.resume();
    expect(await follower.find('paused')).toBeDefined();
    await one.create({ sAMAccountName: 'resumed' });
    await eventually('it follows by itself again', async () => (await follower.find('resumed')) !== undefined, 30_000);
  });
});

describe('the second forest', () => {
  it('has people and accounts of its own, one of them with a name that is also in the first', async () => {
    const { directory, secondForest } = bed;
    expect([secondForest.realm, secondForest.netbios]).toEqual(['PARTNER.EXAMPLE.TEST', 'PARTNER']);
    expect(secondForest.parkingAccounts[0]).toBe('PARTNER\\ns-park-01');
    await using ours = await DirectoryAdmin.connect(directory);
    await using theirs = await DirectoryAdmin.connect(secondForest);
    const [our, their] = [await ours.find('alee'), await theirs.find('alee')];
    expect(their?.dn).toBe('CN=Alex Lee,OU=People,DC=partner,DC=example,DC=test');
    expect(their?.objectGUID).not.toBe(our?.objectGUID);
  });

  it('lets its service account listen, and not that of the first', async () => {
    const { directory, secondForest } = bed;
    const { code, stdout } = await dirSync(secondForest, secondForest.service, '(sAMAccountName=icosta)', 'sAMAccountName');
    expect(code).toBe(0);
    expect(stdout).toContain('sAMAccountName: icosta');
    await expect(DirectoryAdmin.connect(secondForest, directory.service)).rejects.toThrow();
  });
});
