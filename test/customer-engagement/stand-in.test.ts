import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Seed } from '../../infra/customer-engagement/control-client.ts';
import { basic, bearer } from '../../src/customer-engagement/authentication.ts';
import type { SystemUser } from '../../streams/customer-engagement.ts';
import { CALLER, type StandIn, standIn } from './stand-in.ts';
import { failing } from './support.ts';

const id = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const user = (number: number, domainname: string, columns: Record<string, string | number | boolean> = {}): Seed => ({
  systemuserid: id(number),
  fullname: `Person ${number}`,
  domainname,
  ...columns,
});

const ACCOUNTS = { 1: 'alee', 2: 'bkim', 3: "o'brien", 4: 'svc-namesake', 90: 'ns-park-01', 91: 'ns-park-02' };

const OWN: Seed = { systemuserid: CALLER, fullname: 'Namesake', domainname: 'CORP\\svc-namesake' };

const SEED: Seed[] = [
  user(1, 'CORP\\alee'),
  user(2, 'CORP\\bkim', { isdisabled: true }),
  user(3, "CORP\\o'brien"),
  user(5, 'CORP\\gone+away & 100%'),
  user(6, '', { fullname: 'SYSTEM', isdisabled: true }),
  user(7, 'CORP\\support', { accessmode: 3 }),
  user(8, 'CORP\\app', { applicationid: id(99) }),
  user(9, 'CORP\\delegated', { accessmode: 5 }),
  OWN,
];

describe.each(['8.2', '9.0', '9.1'] as const)('against a strict server that speaks %s', (dialect) => {
  let at: StandIn;
  beforeAll(async () => {
    at = await standIn(dialect, ACCOUNTS, SEED);
  });
  afterAll(() => at[Symbol.asyncDispose]());
  beforeEach(async () => {
    at.setAccounts(ACCOUNTS);
    await at.control.clearFaults();
    await at.control.setSettings({});
    await at.control.clear();
  });

  test('who the service is', async () => {
    expect(await at.ce.whoAmI()).toBe(CALLER);
    expect(await at.control.defects()).toEqual([]);
  });

  test('records are found by id and by names of all kinds, in one request', async () => {
    const found = await at.ce.find({ systemuserids: [id(2)], domainNames: ["corp\\O'Brien", 'CORP\\gone+away & 100%', 'CORP\\nobody'] });
    expect(found.map(({ systemuserid }) => systemuserid).toSorted()).toEqual([id(2), id(3), id(5)]);
    expect(found.find(({ systemuserid }) => systemuserid === id(2))).toEqual({
      systemuserid: id(2),
      domainname: 'CORP\\bkim',
      fullname: 'Person 2',
      isdisabled: true,
      special: false,
      firstname: '',
      lastname: '',
      internalemailaddress: '',
      employeeid: '',
      businessunitid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      modifiedon: expect.stringMatching(/^\d{4}-.*:\d\dZ$/),
      mark: '',
    });
    expect(await at.control.requests()).toHaveLength(1);
    expect(await at.control.defects()).toEqual([]);
  });

  test('all records, and which are special', async () => {
    const users: SystemUser[] = [];
    for await (const page of at.ce.all({})) users.push(...page);
    expect(users).toHaveLength(SEED.length);
    const now =
      users
        .map(({ modifiedon }) => modifiedon)
        .toSorted()
        .at(-1) ?? '';
    const news: SystemUser[] = [];
    for await (const page of at.ce.all({ since: now })) news.push(...page);
    expect(news).toEqual(users.filter(({ modifiedon }) => modifiedon === now));
    for await (const page of at.ce.all({ since: '2999-01-01T00:00:00Z' })) expect(page).toEqual([]);
    expect(users.filter(({ special }) => special).map(({ systemuserid }) => systemuserid)).toEqual([6, 7, 8, 9].map(id));
    expect(await at.control.defects()).toEqual([]);
  });

  test('a renamed person is repaired by two writes, and one is refused', async () => {
    at.setAccounts({ ...ACCOUNTS, 1: 'alee2' });
    expect(await failing(at.ce.setDomainName(id(1), 'CORP\\alee2'))).toMatchObject({ failure: 'held' });
    expect(await at.ce.setDomainName(id(1), 'CORP\\ns-park-01')).toMatchObject({ domainname: 'CORP\\ns-park-01' });
    expect(await failing(at.ce.setDomainName(id(3), 'CORP\\ns-park-01'))).toMatchObject({ failure: 'held' });
    expect(await at.ce.setDomainName(id(1), 'CORP\\alee2')).toMatchObject({ domainname: 'CORP\\alee2' });
    expect(await at.control.logon('CORP\\alee2')).toMatchObject({ canLogOn: true });
    at.setAccounts(ACCOUNTS);
    await at.ce.setDomainName(id(1), 'CORP\\ns-park-01');
    await at.ce.setDomainName(id(1), 'CORP\\alee');
    expect(await at.control.defects()).toEqual([]);
  });

  test.each(['objectNotFoundInAD', 'cannotFindDomainAccount', 'invalidDomainName', 'lookupAccountName'] as const)(
    'a name that the server does not know yet (%s)',
    async (unresolvableName) => {
      for (const faultStatus of [400, 500] as const) {
        await at.control.setSettings({ unresolvableName, faultStatus });
        expect(await failing(at.ce.setDomainName(id(3), 'CORP\\not-yet'))).toMatchObject({
          failure: 'not-in-directory',
          status: faultStatus,
        });
      }
    },
  );

  test('what is never possible', async () => {
    for (const number of [6, 7, 8, 9])
      expect((await failing(at.ce.setDomainName(id(number), 'CORP\\ns-park-01'))).failure).toBe('impossible');
    expect((await failing(at.ce.setDomainName(CALLER, 'CORP\\ns-park-01'))).failure).toBe('impossible');
    expect((await failing(at.ce.setDomainName(id(77), 'CORP\\ns-park-01'))).failure).toBe('missing');
  });

  test('a missing privilege', async () => {
    await at.control.setSettings({ deniedPrivileges: ['prvReadUser', 'prvWriteUser'] });
    expect((await failing(at.ce.setDomainName(id(3), 'CORP\\ns-park-01'))).failure).toBe('privilege');
    expect((await failing(at.ce.find({ domainNames: ['CORP\\x'] }))).failure).toBe('privilege');
  });

  test('an answer that is lost after the write', async () => {
    for (const kind of ['drop-after-write', 'truncate'] as const) {
      await at.control.setFaults([{ match: { method: 'PATCH', times: 1 }, fault: { kind } }]);
      expect((await failing(at.ce.setDomainName(id(3), 'CORP\\ns-park-02'))).failure).toBe('unknown-outcome');
      expect(await at.ce.find({ systemuserids: [id(3)], domainNames: [] })).toMatchObject([{ domainname: 'CORP\\ns-park-02' }]);
      await at.ce.setDomainName(id(3), "CORP\\o'brien");
    }
  });

  test.each([
    [{ kind: 'drop-before' }, 'transient', 'unknown-outcome'],
    [{ kind: 'html', status: 200 }, 'credentials', 'unknown-outcome'],
    [{ kind: 'html', status: 302, location: 'https://adfs.example.test/adfs/ls' }, 'credentials', 'unknown-outcome'],
    [{ kind: 'html', status: 503, retryAfter: 3 }, 'transient', 'unknown-outcome'],
    [{ kind: 'status', status: 500 }, 'transient', 'unknown-outcome'],
    [{ kind: 'status', status: 429, code: 0x80072322, message: 'Number of requests exceeded' }, 'transient', 'transient'],
    [{ kind: 'hang' }, 'transient', 'unknown-outcome'],
    [{ kind: 'truncate' }, 'transient', 'unknown-outcome'],
  ] as const)('a fault on the way: %j', async (fault, ofRead, ofWrite) => {
    await at.control.setFaults([{ fault }]);
    const ce = at.client({ deadline: 300 });
    expect((await failing(ce.whoAmI())).failure).toBe(ofRead);
    expect((await failing(ce.setDomainName(id(3), "CORP\\o'brien"))).failure).toBe(ofWrite);
    await ce.close();
  });

  test('Basic, and a wrong token', async () => {
    const known = at.client({ auth: basic('CORP\\svc-namesake', () => 'pass:wörd') });
    expect(await known.whoAmI()).toBe(CALLER);
    await known.close();
    const stranger = at.client({ auth: bearer(() => 'another') });
    expect((await failing(stranger.whoAmI())).message).toMatch(/the server offers Bearer, Basic/);
    expect((await failing(stranger.setDomainName(id(3), 'CORP\\x'))).failure).toBe('credentials');
    await stranger.close();
  });

  test.each([{ url: '/fabrikam' }, { url: '' }, { apiVersion: 'v9.1', on: '8.2' }] as const)('nothing there: %j', async (wrong) => {
    if ('on' in wrong && wrong.on !== dialect) return;
    const ce = at.client('url' in wrong ? { url: `${at.origin}${wrong.url}` } : { apiVersion: wrong.apiVersion });
    expect(await failing(ce.whoAmI())).toMatchObject({
      failure: 'transient',
      message: expect.stringContaining('check url and apiVersion'),
    });
    expect((await failing(ce.setDomainName(id(3), 'CORP\\x'))).failure).toBe('unknown-outcome');
    await ce.close();
  });
});

test('more records than fit on a page', async () => {
  const seed = [OWN, ...Array.from({ length: 10_006 }, (_, index) => user(index + 1, `CORP\\person${index + 1}`))];
  await using at = await standIn('9.1', { 1: 'person1' }, seed);
  const sizes: number[] = [];
  const ids = new Set<string>();
  for await (const page of at.ce.all({})) {
    sizes.push(page.length);
    for (const { systemuserid } of page) ids.add(systemuserid);
  }
  expect(sizes).toEqual([5000, 5000, 7]);
  expect(ids.size).toBe(seed.length);
  expect(await at.control.defects()).toEqual([]);
});
