import { describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { DirectoryError } from '../../streams/directory-source.ts';
import type { Position } from '../../streams/position.ts';
import { bindResponse, searchDone } from '../support/ldap-server.ts';
import { NC, NEVER, nothingStored, type Script } from './scripted-dc.ts';
import { invocationId, ScriptedDc, settingsOf, storedPosition, vectorOf } from './scripted-dcs.ts';

/** Nobody listens there. */
const CLOSED = 'ldap://127.0.0.1:1';
const HOUR = 3_600_000;

const source = (dcs: readonly (ScriptedDc | string)[], more: Partial<DirectorySettings> = {}) =>
  ldapDirectorySource(
    settingsOf(
      dcs.map((dc) => (typeof dc === 'string' ? dc : dc.url)),
      more,
    ),
  );

describe('the choice of a domain controller', () => {
  it('takes the first that is well, and does not ask the others', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    await using session = await source([two, one]).open(nothingStored, NEVER);
    expect(session).toMatchObject({ dc: two.name, passedOver: [], resume: { reason: 'first start' } });
    expect(one.server.clients).toEqual([]);
    expect(two.connections).toBe(2);
  });

  it('does not wait for the one of the stored position', async () => {
    await using two = await ScriptedDc.start(2);
    await using session = await source([CLOSED, two]).open(() => storedPosition(), NEVER);
    expect(session.dc).toBe(two.name);
  });

  it.each<[string, Script, RegExp]>([
    ['read-only, says msDS-isRODC', { ntds: { 'msDS-isRODC': ['TRUE'] } }, /read-only/],
    ['read-only, says its category', { ntds: { objectCategory: [`CN=NTDS-DSA-RO,CN=Schema,CN=Configuration,${NC}`] } }, /read-only/],
    ['read-only, says its class', { ntds: { objectClass: ['top', 'applicationSettings', 'nTDSDSARO'] } }, /read-only/],
    ['not allowed to replicate out', { ntds: { options: ['5'] } }, /outbound replication is disabled/],
    ['not yet synchronized', { rootDse: { isSynchronized: ['FALSE'] } }, /first synchronization/],
    ['no domain controller', { rootDse: { supportedControl: [] } }, /no Active Directory domain controller/],
    ['short of rights', { notification: ({ id }, client) => void client.send(searchDone(id, 50, 'no')) }, /refused .LDAP result 50/],
    ['full', { notification: ({ id }, client) => void client.send(searchDone(id, 51)) }, /refused .LDAP result 51/],
  ])('passes over one that is %s, and closes it', async (_, script, reason) => {
    await using one = await ScriptedDc.start(1, script);
    await using two = await ScriptedDc.start(2);
    await using session = await source([one, two]).open(nothingStored, NEVER);
    expect(session).toMatchObject({ dc: two.name, passedOver: [{ reason: expect.stringMatching(reason) }] });
    expect([one.name, one.url]).toContain(session.passedOver[0]?.dc);
    await expect.poll(() => one.connections).toBe(0);
  });

  it.each<[string, Script]>([
    ['one that takes no replication in', { ntds: { options: ['3'] } }],
    ['one that says that it is writable', { ntds: { 'msDS-isRODC': ['FALSE'], objectCategory: ['CN=NTDS-DSA,CN=Schema'] } }],
  ])('takes %s', async (_, script) => {
    await using one = await ScriptedDc.start(1, script);
    await using session = await source([one]).open(nothingStored, NEVER);
    expect(session.passedOver).toEqual([]);
  });

  it('passes over one that hangs within the deadline', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    one.hang();
    const begun = performance.now();
    await using session = await source([one, two], { deadline: 700 }).open(nothingStored, NEVER);
    expect(performance.now() - begun).toBeLessThan(2 * 700);
    expect(session).toMatchObject({ dc: two.name, passedOver: [{ dc: one.url, reason: expect.stringContaining('700 ms') }] });
  });

  it('gives no more than one deadline to one that answers everything late', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    one.slow(200);
    const begun = performance.now();
    await using session = await source([one, two], { deadline: 700 }).open(nothingStored, NEVER);
    expect(performance.now() - begun).toBeLessThan(2 * 700);
    expect(session).toMatchObject({ dc: two.name, passedOver: [{ dc: one.url, reason: expect.stringContaining('within 700 ms') }] });
  });

  it('lists every one with its reason when none can be taken', async () => {
    await using one = await ScriptedDc.start(1, { ntds: { options: ['4'] } });
    await using two = await ScriptedDc.start(2, { ntds: { 'msDS-isRODC': ['TRUE'] } });
    const opening = source([two, one, CLOSED]).open(nothingStored, NEVER);
    await expect(opening).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringMatching(
        /^dc2\.\S+: it is a read-only .*; dc1\.\S+: its outbound .*; ldap:\/\/127\.0\.0\.1:1: connect ECONNREFUSED/,
      ),
    });
    await expect.poll(() => one.connections + two.connections).toBe(0);
  });

  it('fails as the first does where waiting does not help', async () => {
    await using one = await ScriptedDc.start(1, { ntds: { 'msDS-isRODC': ['TRUE'] } });
    await using two = await ScriptedDc.start(2, { notification: ({ id }, client) => void client.send(searchDone(id, 50)) });
    await expect(source([one, two]).open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'configuration' });
    await expect(source([two, one]).open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'rights' });
  });

  it('ends with a refused password, which is not tried on another one', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    one.refuse(49);
    const dcs = source([CLOSED, one, two]);
    await expect(dcs.open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'credentials' });
    expect(two.logons).toBe(0);
    // It may be that one alone which does not know the password.
    await using session = await dcs.open(nothingStored, NEVER);
    expect(session.dc).toBe(two.name);
    expect(one.logons).toBe(1);
  });

  it('takes a password that cannot be read for a wrong setting, unless it could be read before', async () => {
    await using one = await ScriptedDc.start(1);
    let isThere = false;
    const password = () => {
      if (!isThere) throw new Error('ENOENT');
      return 'secret';
    };
    const dcs = source([one], { password });
    await expect(dcs.open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'configuration' });
    isThere = true;
    await (await dcs.open(nothingStored, NEVER))[Symbol.asyncDispose]();
    isThere = false;
    await expect(dcs.open(nothingStored, NEVER)).rejects.toMatchObject({
      failure: 'unavailable',
      message: expect.stringContaining('ENOENT'),
    });
  });

  it('knows whether a refused password has been replaced since', async () => {
    await using one = await ScriptedDc.start(1);
    one.refuse(49);
    let password = 'old';
    const dcs = source([one], { password: () => password });
    await expect(dcs.open(nothingStored, NEVER)).rejects.toMatchObject({ failure: 'credentials' });
    expect(await dcs.hasOtherPassword()).toBe(false);
    password = 'new';
    expect(await dcs.hasOtherPassword()).toBe(true);
  });

  it('ends when it is given up', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    one.hang();
    const abort = new AbortController();
    const opening = source([one, two]).open(nothingStored, abort.signal);
    await expect.poll(() => one.logons).toBe(1);
    abort.abort();
    await expect(opening).rejects.toMatchObject({ failure: 'unavailable', message: 'Opening the directory was given up' });
    expect(two.server.clients).toEqual([]);
    await expect.poll(() => one.connections).toBe(0);
  });

  it('gives no deadline of its own to what comes after the logon', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    const deadline = 1_500;
    one.answer(({ id, operation }, client) => {
      if (operation === 0x60) setTimeout(() => client.send(bindResponse(id)), 0.7 * deadline);
    });
    const begun = performance.now();
    await using session = await source([one, two], { deadline }).open(nothingStored, NEVER);
    expect(performance.now() - begun).toBeLessThan(1.5 * deadline);
    expect(session.dc).toBe(two.name);
  });

  describe('that is behind', () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5);
    const currentTime = ['20260102030405.0Z'];
    /** dc1 was read up to 4000. */
    const stored = storedPosition({ seen: { [invocationId(1).text]: '4000' } });
    const lagging = (n: number, usn: number, ago: number, unit?: 'seconds' | 'ticks') =>
      ScriptedDc.start(n, { rootDse: { currentTime }, head: { replUpToDateVector: [vectorOf([{ n: 1, usn, at: now - ago }], unit)] } });

    it.each(['seconds', 'ticks'] as const)('passes it over, with times in %s', async (unit) => {
      await using two = await lagging(2, 3_999, 2 * HOUR, unit);
      await using three = await lagging(3, 3_999, HOUR / 2, unit);
      await using session = await source([two, three]).open(() => stored, NEVER);
      expect(session).toMatchObject({
        dc: three.name,
        passedOver: [{ dc: two.name, reason: 'it is behind: it last heard 2 h ago of what is written on dc1.corp.example.test' }],
      });
    });

    it('takes it when it has seen everything, however long ago', async () => {
      await using two = await lagging(2, 4_000, 48 * HOUR);
      await using session = await source([two]).open(() => stored, NEVER);
      expect(session.passedOver).toEqual([]);
    });

    it('takes it when a setting allows it', async () => {
      await using two = await lagging(2, 3_999, 2 * HOUR);
      await using session = await source([two], { maxLag: 3 * HOUR }).open(() => stored, NEVER);
      expect(session.passedOver).toEqual([]);
    });

    it('takes it when what it lacks is of a domain that had the same name before', async () => {
      await using two = await lagging(2, 3_999, 2 * HOUR);
      const before = storedPosition({ ...stored, domainSid: 'S-1-5-21-9-9-9' });
      await using session = await source([two]).open(() => before, NEVER);
      expect(session).toMatchObject({ passedOver: [], resume: { rebuilt: true } });
    });

    it('looks at what was read of every domain controller', async () => {
      const elsewhere = storedPosition({ seen: { [invocationId(1).text]: '3000', [invocationId(9).text]: '70' } });
      await using two = await lagging(2, 3_999, 0);
      await using three = await ScriptedDc.start(3);
      await using session = await source([two, three]).open(() => elsewhere, NEVER);
      expect(session).toMatchObject({ dc: three.name, passedOver: [{ reason: expect.stringContaining('has never heard of') }] });
    });

    it('takes the one that is least behind when no other is left, and says so', async () => {
      await using one = await ScriptedDc.start(1, { ntds: { options: ['4'] } });
      await using two = await lagging(2, 3_999, 4 * HOUR);
      await using three = await lagging(3, 3_999, 2 * HOUR);
      await using session = await source([one, two, three]).open(() => stored, NEVER);
      expect(session).toMatchObject({
        dc: three.name,
        passedOver: [
          { dc: one.name, reason: expect.stringContaining('outbound') },
          { dc: two.name, reason: expect.stringContaining('4 h') },
          { dc: three.name, reason: expect.stringMatching(/^taken although it is behind: .* 2 h ago/) },
        ],
      });
      await expect.poll(() => [one.connections, two.connections, three.connections]).toEqual([0, 0, 2]);
    });
  });

  describe('of another domain', () => {
    const other: Script = { rootDse: { defaultNamingContext: ['DC=other'] } };

    it('is refused as a wrong setting when none is known to be right', async () => {
      await using one = await ScriptedDc.start(1, { ntds: { options: ['4'] } });
      await using two = await ScriptedDc.start(2, other);
      await expect(source([one, two]).open(nothingStored, NEVER)).rejects.toMatchObject({
        failure: 'configuration',
        message: expect.stringContaining('DC=other'),
      });
    });

    it('is passed over once the right one is known', async () => {
      await using one = await ScriptedDc.start(1);
      await using two = await ScriptedDc.start(2, other);
      const both = source([one, two]);
      await (await both.open(nothingStored, NEVER))[Symbol.asyncDispose]();
      one.refuse();
      await expect(both.open(nothingStored, NEVER)).rejects.toMatchObject({
        failure: 'unavailable',
        message: expect.stringContaining(`it is of DC=other, not of ${NC}`),
      });
      one.recover();
      await using session = await both.open(nothingStored, NEVER);
      expect(session.dc).toBe(one.name);
    });
  });
});

describe('a session that failed', () => {
  const lost = new DirectoryError('unavailable', 'cut off');
  const take = async (from: ReturnType<typeof source>, find: () => Position | undefined = nothingStored) => {
    await using session = await from.open(find, NEVER);
    return session;
  };

  it('puts its domain controller last, and tells whether there is another one', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    const both = source([one, two]);
    expect(await take(both)).toMatchObject({ dc: one.name });
    expect(both.failed(lost)).toBe(true);
    expect(await take(both)).toMatchObject({ dc: two.name, passedOver: [{ dc: one.url, reason: 'cut off' }] });
    expect(both.failed(lost)).toBe(false);
    expect(await take(both)).toMatchObject({ dc: one.name, passedOver: [] });
    // The other one has failed and was not seen well since.
    expect(both.failed(lost)).toBe(false);
  });

  it('does not count one that could not be taken as another one', async () => {
    await using one = await ScriptedDc.start(1);
    const both = source([CLOSED, one]);
    expect(await take(both)).toMatchObject({ dc: one.name });
    expect(both.failed(lost)).toBe(false);
  });

  it('has no other one to try when none could be taken, nor when the password or the position was refused', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    const both = source([one, two]);
    expect(both.failed(lost)).toBe(false);
    for (const failure of ['credentials', 'position'] as const) {
      expect(await take(both)).toMatchObject({ dc: one.name });
      expect(both.failed(new DirectoryError(failure, 'refused'))).toBe(false);
    }
  });

  it('for a better one is opened anew at once, and nothing is held against its domain controller', async () => {
    await using one = await ScriptedDc.start(1);
    await using two = await ScriptedDc.start(2);
    const both = source([one, two]);
    await take(both);
    expect(both.failed(new DirectoryError('preferred', 'another one'))).toBe(true);
    expect(await take(both)).toMatchObject({ dc: one.name });
  });
});
