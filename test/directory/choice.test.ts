import { describe, expect, it } from 'vitest';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import type { Position } from '../../streams/position.ts';
import { guidTextOf, NEVER, nothingStored, type Script, scripted, settingsFor } from './scripted-dc.ts';

describe('the choice of a domain controller', () => {
  const other = Buffer.alloc(16, 7);
  const otherDc: Script = { invocationId: other, rootDse: { dnsHostName: ['dc2.corp.example.test'] } };

  async function position(server: Parameters<typeof settingsFor>[0]): Promise<Position> {
    await using session = await ldapDirectorySource(settingsFor(server)).open(nothingStored, NEVER);
    const page = await session.read(undefined).next();
    if (page.position === undefined) throw new Error('no position');
    return page.position;
  }

  it('takes the first that answers when nothing is stored', async () => {
    await using one = await scripted({});
    await using two = await scripted(otherDc);
    const urls = ['ldap://127.0.0.1:1', ...settingsFor(two.server).urls, ...settingsFor(one.server).urls];
    await using session = await ldapDirectorySource(settingsFor(one.server, { urls })).open(nothingStored, NEVER);
    expect(session).toMatchObject({ dc: 'dc2.corp.example.test', resume: { reason: 'first start' } });
    expect(one.server.clients).toEqual([]);
  });

  it('takes the one of the stored position, and leaves the others', async () => {
    await using one = await scripted({});
    await using two = await scripted(otherDc);
    const stored = await position(two.server);
    const urls = [...settingsFor(one.server).urls, ...settingsFor(two.server).urls];
    await using session = await ldapDirectorySource(settingsFor(one.server, { urls })).open(() => stored, NEVER);
    expect(session).toMatchObject({ dc: 'dc2.corp.example.test', resume: { position: stored } });
    await expect.poll(() => one.server.clients.every((client) => client.closed)).toBe(true);
  });

  it('waits for the one of the stored position while it cannot be asked', async () => {
    await using one = await scripted({});
    await using two = await scripted(otherDc);
    const stored = await position(two.server);
    const urls = [...settingsFor(one.server).urls, 'ldap://127.0.0.1:1'];
    const opening = ldapDirectorySource(settingsFor(one.server, { urls })).open(() => stored, NEVER);
    await expect(opening).rejects.toMatchObject({ failure: 'unavailable', message: expect.stringContaining('dc2.corp.example.test') });
    await expect.poll(() => one.server.clients.every((client) => client.closed)).toBe(true);
  });

  it('takes the first when all answered and none is the one', async () => {
    await using one = await scripted({});
    await using two = await scripted(otherDc);
    const stored = await position(two.server);
    const urls = settingsFor(one.server).urls;
    await using session = await ldapDirectorySource(settingsFor(one.server, { urls })).open(() => stored, NEVER);
    expect(session).toMatchObject({
      dc: 'dc1.corp.example.test',
      resume: { position: undefined, reason: expect.stringContaining('knows nothing of dc2') },
    });
  });

  it('does not wait for another when the one of that name was restored', async () => {
    await using one = await scripted({});
    const stored = { ...(await position(one.server)), invocationId: guidTextOf(9) };
    const urls = [...settingsFor(one.server).urls, 'ldap://127.0.0.1:1'];
    await using session = await ldapDirectorySource(settingsFor(one.server, { urls })).open(() => stored, NEVER);
    expect(session.resume).toMatchObject({ position: undefined, reason: expect.stringContaining('restored') });
  });

  it('refuses domain controllers of different domains', async () => {
    await using one = await scripted({});
    await using two = await scripted({ ...otherDc, rootDse: { defaultNamingContext: ['DC=other'] } });
    const stored = { ...(await position(one.server)), invocationId: guidTextOf(9), dc: 'dc9' };
    const urls = [...settingsFor(one.server).urls, ...settingsFor(two.server).urls];
    const opening = ldapDirectorySource(settingsFor(one.server, { urls })).open(() => stored, NEVER);
    await expect(opening).rejects.toMatchObject({ failure: 'configuration', message: expect.stringContaining('DC=other') });
  });
});
