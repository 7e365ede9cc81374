import { describe, expect, test } from 'vitest';
import { BUSINESS_UNIT, collect, failing, ID, json, pair, record, TOKEN } from './support.ts';

const OTHER = '00000000-0000-4000-8000-000000000000';
const COMMON = { accept: 'application/json', 'odata-version': '4.0', 'odata-maxversion': '4.0', authorization: `Bearer ${TOKEN}` };

describe('whoAmI', () => {
  test('asks the function and gives the id in lower case', async () => {
    await using at = await pair((response) => json(response, 200, { BusinessUnitId: ID, UserId: ID.toUpperCase(), OrganizationId: ID }));
    expect(await at.ce.whoAmI()).toBe(ID);
    const [request] = at.server.received;
    expect(request).toMatchObject({ method: 'GET', url: '/contoso/api/data/v9.1/WhoAmI', body: '' });
    expect(request?.headers).toMatchObject({ ...COMMON, 'if-none-match': 'null' });
  });

  test.each(['v8.2', 'v9.0', 'v9.1'] as const)('speaks %s', async (apiVersion) => {
    await using at = await pair((response) => json(response, 200, { UserId: ID }), { apiVersion });
    await at.ce.whoAmI();
    expect(at.server.received[0]?.url).toBe(`/contoso/api/data/${apiVersion}/WhoAmI`);
  });

  test('an organization at the root of its host (IFD) has no path', async () => {
    await using at = await pair((response) => json(response, 200, { UserId: ID }));
    await using other = await pair((response) => json(response, 200, { UserId: ID }), { url: `${at.server.origin}/` });
    await other.ce.whoAmI();
    expect(at.server.received[0]?.url).toBe('/api/data/v9.1/WhoAmI');
  });
});

describe('find', () => {
  test('is one GET for an id and several names', async () => {
    await using at = await pair((response) =>
      json(response, 200, { value: [record(), record({ systemuserid: OTHER, domainname: null, fullname: null })] }),
    );
    const found = await at.ce.find({ systemuserids: [ID], domainNames: ["CORP\\o'brien", 'CORP\\a+b&c%d'] });
    const profile = {
      firstname: 'Ann',
      lastname: 'Lee',
      internalemailaddress: 'ann.lee@example.test',
      employeeid: '',
      businessunitid: BUSINESS_UNIT,
      modifiedon: '2026-11-26T08:00:00Z',
      mark: '',
    };
    expect(found).toEqual([
      { ...profile, systemuserid: ID, domainname: 'CORP\\alee', fullname: 'Ann Lee', isdisabled: false, special: false },
      { ...profile, systemuserid: OTHER, domainname: '', fullname: '', isdisabled: false, special: false },
    ]);
    expect(at.server.received).toHaveLength(1);
    const url = new URL(at.server.received[0]?.url ?? '', at.server.origin);
    expect(url.pathname).toBe('/contoso/api/data/v9.1/systemusers');
    expect(url.searchParams.get('$filter')).toBe(
      `systemuserid eq ${ID} or domainname eq 'CORP\\o''brien' or domainname eq 'CORP\\a+b&c%d'`,
    );
    expect(url.searchParams.get('$select')).toBe(
      'systemuserid,domainname,fullname,isdisabled,applicationid,isintegrationuser,setupuser,accessmode,firstname,lastname,internalemailaddress,employeeid,_businessunitid_value,modifiedon',
    );
    expect(at.server.received[0]?.headers).toMatchObject({ ...COMMON, 'if-none-match': 'null' });
  });

  test('reads the column that marks records too, whatever its type', async () => {
    await using at = await pair(
      (response) => json(response, 200, { value: [record({ new_sync: false }), record({ systemuserid: OTHER, new_sync: null })] }),
      {
        markColumn: 'new_sync',
      },
    );
    const found = await at.ce.find({ systemuserids: [ID], domainNames: [] });
    expect(found.map(({ mark }) => mark)).toEqual(['false', '']);
    expect(at.server.received[0]?.url).toContain('modifiedon,new_sync&');
  });

  test('gives a record once that several requests found', async () => {
    await using at = await pair((response) => json(response, 200, { value: [record()] }));
    expect(await at.ce.find({ domainNames: Array.from({ length: 100 }, (_, index) => `CORP\\name-${index}`) })).toHaveLength(1);
    expect(at.server.received.length).toBeGreaterThan(1);
  });

  test('asks nothing when there is nothing to look for', async () => {
    await using at = await pair((response) => json(response, 200, { value: [] }));
    expect(await at.ce.find({ domainNames: [] })).toEqual([]);
    expect(at.server.received).toEqual([]);
  });

  test('refuses an id that would change the filter', async () => {
    await using at = await pair((response) => json(response, 200, { value: [] }));
    expect((await failing(at.ce.find({ systemuserids: [`${ID} or true`], domainNames: [] }))).failure).toBe('refused');
    expect((await failing(at.ce.setDomainName('../contacts', 'CORP\\x'))).failure).toBe('refused');
    expect(at.server.received).toEqual([]);
  });

  test.each([
    ['application users', { applicationid: ID }],
    ['the integration user', { isintegrationuser: true }],
    ['the set-up user', { setupuser: true }],
    ['support users', { accessmode: 3 }],
    ['delegated administrators', { accessmode: 5 }],
    ['SYSTEM', { fullname: 'SYSTEM' }],
    ['INTEGRATION', { fullname: 'INTEGRATION' }],
  ])('marks %s as special', async (_, columns) => {
    await using at = await pair((response) => json(response, 200, { value: [record(columns)] }));
    expect(await at.ce.find({ systemuserids: [ID], domainNames: [] })).toMatchObject([{ special: true }]);
  });

  test.each([0, 1, 2, 4, null])('access mode %s alone is nothing special', async (accessmode) => {
    await using at = await pair((response) => json(response, 200, { value: [record({ accessmode, setupuser: null })] }));
    expect(await at.ce.find({ systemuserids: [ID], domainNames: [] })).toMatchObject([{ special: false }]);
  });
});

describe('all', () => {
  test('follows the pages as they are given, and asks for the page size each time', async () => {
    // As Customer Engagement encodes its cookie: decoding it, or encoding it again, gives another one.
    const cookie = '%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%22%20/%3E';
    await using at = await pair((response, request, count) => {
      const next = `http://${request.headers.host}/Contoso/api/data/v9.1/systemusers?$select=fullname&$skiptoken=${cookie}`;
      json(response, 200, { value: [record({ fullname: `page ${count}` })], ...(count === 1 ? { '@odata.nextLink': next } : {}) });
    });
    const pages = await collect(at.ce.all({}));
    expect(pages.map((page) => page.map((user) => user.fullname))).toEqual([['page 1'], ['page 2']]);
    expect(at.server.received[1]?.url).toBe(`/Contoso/api/data/v9.1/systemusers?$select=fullname&$skiptoken=${cookie}`);
    for (const { headers } of at.server.received) expect(headers).toMatchObject({ ...COMMON, prefer: 'odata.maxpagesize=5000' });
  });

  test('a record that cannot be understood is set aside and told of (SPEC rule 9); in a search it may be the one that is looked for', async () => {
    const warnings: string[] = [];
    const rows = [record(), record({ systemuserid: OTHER, isdisabled: null }), record({ accessmode: 'odd' }), 'nothing'];
    const warn = (warning: string) => warnings.push(warning);
    await using at = await pair((response) => json(response, 200, { value: rows }), { warn });
    expect((await collect(at.ce.all({}))).flat()).toMatchObject([{ systemuserid: ID }, { systemuserid: OTHER, isdisabled: false }]);
    expect(warnings).toEqual([expect.stringContaining('accessmode'), expect.stringContaining('contoso: set aside')]);
    const search = at.ce.find({ domainNames: ['CORP\\alee'] });
    expect(await failing(search)).toMatchObject({ failure: 'transient', message: expect.stringContaining('accessmode') });
  });

  test('asks for what was modified since', async () => {
    await using at = await pair((response) => json(response, 200, { value: [] }));
    await collect(at.ce.all({ since: '2026-11-26T08:00:00Z' }));
    const url = new URL(at.server.received[0]?.url ?? '', at.server.origin);
    expect(url.searchParams.get('$filter')).toBe('modifiedon ge 2026-11-26T08:00:00Z');
  });

  test('takes the next page only when it is asked for', async () => {
    await using at = await pair((response, request) => {
      json(response, 200, { value: [], '@odata.nextLink': `http://${request.headers.host}/contoso/api/data/v9.1/systemusers?p=2` });
    });
    for await (const _ of at.ce.all({})) break;
    expect(at.server.received).toHaveLength(1);
  });

  test('refuses to go round in circles', async () => {
    await using at = await pair((response, request, count) => {
      const next = `http://${request.headers.host}/contoso/api/data/v9.1/systemusers?p=${count % 2}`;
      json(response, 200, { value: [record()], '@odata.nextLink': next });
    });
    expect(await failing(collect(at.ce.all({})))).toMatchObject({ failure: 'transient' });
    expect(at.server.received).toHaveLength(3);
  });

  test.each([
    ['another host', 'http://127.0.0.2:PORT/contoso/api/data/v9.1/systemusers?p=2'],
    ['another port', 'http://127.0.0.1:1/contoso/api/data/v9.1/systemusers?p=2'],
    ['another scheme', 'https://127.0.0.1:PORT/contoso/api/data/v9.1/systemusers?p=2'],
    ['another organization', 'http://127.0.0.1:PORT/fabrikam/api/data/v9.1/systemusers?p=2'],
    ['another organization by dots', 'http://127.0.0.1:PORT/contoso/api/data/v9.1/../../../../fabrikam/systemusers'],
    ['another organization by encoded dots', 'http://127.0.0.1:PORT/contoso/api/data/v9.1/%2e%2e/systemusers'],
    ['a host behind a user name', 'http://127.0.0.1:PORT@127.0.0.2/contoso/api/data/v9.1/systemusers'],
    ['a host behind a backslash', 'http:\\\\127.0.0.2\\contoso/api/data/v9.1/systemusers'],
    ['a user name', 'http://u:p@127.0.0.1:PORT/contoso/api/data/v9.1/systemusers'],
    ['a part of a page', 'http://127.0.0.1:PORT/contoso/api/data/v9.1/systemusers#x'],
    ['a line break', 'http://127.0.0.1:PORT/contoso/api/data/v9.1/systemusers?\r\nx: y'],
    ['nothing that is an address', '/contoso/api/data/v9.1/systemusers?p=2'],
  ])('sends nothing to %s', async (_, link) => {
    await using at = await pair((response, request) => {
      json(response, 200, { value: [record()], '@odata.nextLink': link.replace('PORT', request.headers.host?.split(':')[1] ?? '') });
    });
    expect(await failing(collect(at.ce.all({})))).toMatchObject({ failure: 'transient' });
    expect(at.server.received).toHaveLength(1);
  });
});

describe('setColumns', () => {
  test('is one PATCH of these columns, only of a record that exists', async () => {
    await using at = await pair((response) => {
      response.writeHead(204).end();
    });
    await at.ce.setColumns(ID, { firstname: 'Ann', internalemailaddress: '' });
    expect(at.server.received).toHaveLength(1);
    const [request] = at.server.received;
    expect(request).toMatchObject({
      method: 'PATCH',
      url: `/contoso/api/data/v9.1/systemusers(${ID})`,
      body: '{"firstname":"Ann","internalemailaddress":null}',
    });
    expect(request?.headers).toMatchObject({ ...COMMON, 'if-match': '*', 'content-type': 'application/json; charset=utf-8' });
  });

  test('a refusal, and an answer that does not come', async () => {
    await using refusing = await pair((response) =>
      json(response, 403, { error: { code: '0x80040220', message: 'is missing prvWriteUser' } }),
    );
    expect((await failing(refusing.ce.setColumns(ID, { firstname: 'Ann' }))).failure).toBe('privilege');
    await using silent = await pair((response) => {
      response.destroy();
    });
    expect((await failing(silent.ce.setColumns(ID, { firstname: 'Ann' }))).failure).toBe('unknown-outcome');
  });
});

describe('setDomainName', () => {
  test('is one PATCH of nothing but the name, only of a record that exists, and gives what the answer shows', async () => {
    await using at = await pair((response) =>
      json(response, 200, { systemuserid: ID, domainname: 'CORP\\Alee' }, { 'preference-applied': 'return=representation' }),
    );
    expect(await at.ce.setDomainName(ID, 'CORP\\alee')).toEqual({ domainname: 'CORP\\Alee', person: undefined });
    expect(at.server.received).toHaveLength(1);
    const [request] = at.server.received;
    expect(request).toMatchObject({
      method: 'PATCH',
      url: `/contoso/api/data/v9.1/systemusers(${ID})?$select=domainname,firstname,lastname,internalemailaddress`,
      body: '{"domainname":"CORP\\\\alee"}',
    });
    expect(request?.headers).toMatchObject({
      ...COMMON,
      'if-match': '*',
      prefer: 'return=representation',
      'content-type': 'application/json; charset=utf-8',
    });
    expect(request?.headers).not.toHaveProperty('if-none-match');
  });

  test('takes first and last name along in the same request', async () => {
    await using at = await pair((response) => json(response, 200, { systemuserid: ID, domainname: 'CORP\\alee' }));
    await at.ce.setDomainName(ID, 'CORP\\alee', { names: { firstname: 'Ånn "A"', lastname: 'Lee' } });
    await at.ce.setDomainName(ID, 'CORP\\alee', { names: { lastname: 'Lee' } });
    expect(at.server.received.map(({ body }) => JSON.parse(body))).toEqual([
      { domainname: 'CORP\\alee', firstname: 'Ånn "A"', lastname: 'Lee' },
      { domainname: 'CORP\\alee', lastname: 'Lee' },
    ]);
  });

  test('reads once where the server shows nothing (204)', async () => {
    await using at = await pair((response, request) => {
      if (request.method === 'PATCH') response.writeHead(204).end();
      else json(response, 200, record({ domainname: 'CORP\\lee' }));
    });
    const person = { firstname: 'Ann', lastname: 'Lee', internalemailaddress: 'ann.lee@example.test' };
    expect(await at.ce.setDomainName(ID, 'CORP\\lee')).toEqual({ domainname: 'CORP\\lee', person });
    expect(at.server.received.map(({ method }) => method)).toEqual(['PATCH', 'GET']);
    expect(at.server.received[1]?.url).toBe(
      `/contoso/api/data/v9.1/systemusers(${ID})?$select=domainname,firstname,lastname,internalemailaddress`,
    );
  });

  test('leaves the outcome open when that reading fails', async () => {
    await using at = await pair((response, request) => {
      if (request.method === 'PATCH') response.writeHead(204).end();
      else response.writeHead(503, { 'retry-after': '7' }).end();
    });
    expect(await failing(at.ce.setDomainName(ID, 'CORP\\lee'))).toMatchObject({
      failure: 'unknown-outcome',
      status: 503,
      retryAfter: 7000,
    });
    expect(at.server.received).toHaveLength(2);
  });

  test('leaves the outcome open when the answer is about another record', async () => {
    await using at = await pair((response) => json(response, 200, record({ systemuserid: OTHER, domainname: 'CORP\\lee' })));
    expect((await failing(at.ce.setDomainName(ID, 'CORP\\lee'))).failure).toBe('unknown-outcome');
  });
});
