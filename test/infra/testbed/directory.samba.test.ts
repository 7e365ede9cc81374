import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../../infra/testbed/bed.ts';
import { COMMANDS } from '../../../infra/testbed/commands.ts';
import { DirectoryAdmin } from '../../../infra/testbed/ldap.ts';
import { dirSync, ldap, ticketFor } from './support.ts';

const SECRETS = ['unicodePwd', 'supplementalCredentials', 'ntPwdHistory', 'dBCSPwd'];

let bed: Bed;
let admin: DirectoryAdmin;

beforeAll(async () => {
  bed = await startBed({ users: 20 });
  admin = await DirectoryAdmin.connect(bed.directory);
});

afterAll(async () => {
  await admin?.[Symbol.asyncDispose]();
  await bed?.[Symbol.asyncDispose]();
});

describe('the content', () => {
  it('has the people, parking accounts and bulk users', async () => {
    const { directory } = bed;
    expect(directory.people[0]).toMatchObject({ sAMAccountName: 'alee', displayName: 'Ann Lee', mail: 'ann.lee@corp.example.test' });
    expect(directory.parkingAccounts).toHaveLength(8);
    expect(await admin.find('ns-park-08')).toBeDefined();
    expect(await admin.find('user00020')).toBeDefined();
    const { stdout } = await dirSync(
      directory,
      directory.service,
      '(sAMAccountName=ns-park-*)',
      'sn',
      'givenName',
      'mail',
      'userAccountControl',
    );
    expect(stdout).not.toMatch(/^(sn|givenName|mail):/m);
    expect(stdout.match(/^userAccountControl: 66048$/gm)).toHaveLength(8);
  });

  it('lets a person log on with the password from a file that only its owner may read', async () => {
    const ann = await bed.directory.account('alee');
    await using _ = await DirectoryAdmin.connect(bed.directory, ann);
    expect((await stat(ann.passwordFile)).mode & 0o777).toBe(0o600);
  });
});

describe('the rights of the service account', () => {
  it('suffice to see deletes by DirSync', async () => {
    const { objectGUID, dn } = await admin.create({ sAMAccountName: 'leaver' });
    await admin.delete(objectGUID);
    const seen = (await dirSync(bed.directory, bed.directory.service, '(sAMAccountName=leaver)', 'isDeleted', 'sAMAccountName')).stdout;
    expect(seen).toMatch(/^isDeleted: TRUE$/m);
    expect(seen).not.toContain(dn);
  });

  it('are not those of every account', async () => {
    const { code, stderr } = await dirSync(bed.directory, bed.directory.lookup, '(objectClass=user)', 'sAMAccountName');
    expect(code).toBe(50);
    expect(stderr).toContain('Insufficient access');
  });

  it('do not show secrets', async () => {
    const { stdout, stderr } = await dirSync(bed.directory, bed.directory.service, '(sAMAccountName=alee)', 'sAMAccountName', ...SECRETS);
    expect(`${stdout}${stderr}`).not.toMatch(new RegExp(`^(${SECRETS.join('|')})::? `, 'm'));
  });

  it.each([
    ['change a person', 'changetype: modify\nreplace: displayName\ndisplayName: Nobody\n'],
    ['delete a person', 'changetype: delete\n'],
  ])('do not suffice to %s', async (_, change) => {
    const { code } = await ldap(bed.directory, 'ldapmodify', bed.directory.service, [], `dn: ${bed.directory.people[1]?.dn}\n${change}`);
    expect(code).toBe(50);
  });

  it('do not suffice to create an account', async () => {
    const entry = `dn: CN=intruder,OU=Staff,${bed.directory.namingContext}\nobjectClass: user\nsAMAccountName: intruder\n`;
    expect((await ldap(bed.directory, 'ldapmodify', bed.directory.service, ['-a'], entry)).code).toBe(50);
  });
});

describe('the LDAP client for changes', () => {
  it('renames, disables, moves, deletes and reanimates', async () => {
    const { objectGUID } = await admin.create({ sAMAccountName: 'changing', cn: 'Changing, O', attributes: { givenName: 'O' } });
    await admin.rename(objectGUID, 'changed');
    await admin.disable(objectGUID);
    await admin.move(objectGUID, 'OU=People');
    expect(await admin.get(objectGUID)).toMatchObject({
      sAMAccountName: 'changed',
      dn: expect.stringMatching(/^CN=Changing\\, O,OU=People,/),
    });
    await admin.delete(objectGUID);
    expect(await admin.find('changed')).toBeUndefined();
    await admin.reanimate(objectGUID, 'Changed', 'OU=Staff');
    expect(await admin.find('changed')).toMatchObject({ objectGUID });
    await admin.enable(objectGUID);
  });

  it('reanimates by name for whoever tells it on the command line', async () => {
    const { objectGUID } = await admin.create({ sAMAccountName: 'lazarus' });
    await admin.delete(objectGUID);
    expect(await COMMANDS.reanimate?.run(bed, ['dc1', 'lazarus'])).toBe('lazarus is back on dc1');
    expect(await admin.find('lazarus')).toMatchObject({ objectGUID, dn: expect.stringMatching(/^CN=lazarus,OU=Staff,/) });
    await expect(COMMANDS.reanimate?.run(bed, ['dc1', 'lazarus'])).rejects.toThrow('remembers no deleted account lazarus');
  });
});

describe('the KDC', () => {
  it('gives the service account a ticket', async () => {
    expect(await ticketFor(bed.directory, bed.directory.service)).toBeGreaterThan(500);
  });
});

describe('the process', () => {
  it('keeps its data over stop, kill and start', async () => {
    const { objectGUID } = await admin.create({ sAMAccountName: 'stayer' });
    await bed.directory.stop();
    await bed.directory.start();
    await admin[Symbol.asyncDispose]();
    admin = await DirectoryAdmin.connect(bed.directory);
    await admin.rename(objectGUID, 'stayed');
    await bed.directory.kill();
    await bed.directory.start();
    await admin[Symbol.asyncDispose]();
    admin = await DirectoryAdmin.connect(bed.directory);
    expect(await admin.find('stayed')).toMatchObject({ objectGUID });
  });

  it('answers nothing while it is paused', async () => {
    bed.directory.pause();
    const waiting = admin.find('alee');
    const first = await Promise.race([waiting.then(() => 'answered'), new Promise((resolve) => setTimeout(resolve, 300, 'silent'))]);
    bed.directory.resume();
    expect(first).toBe('silent');
    expect(await waiting).toBeDefined();
  });
});
