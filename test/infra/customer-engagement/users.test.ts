import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANN, BEN, code, id, LEAVER, request, SERVICE, STALE, TestOrganization, TOKEN } from './organization.ts';

let ce: TestOrganization;
beforeAll(async () => {
  ce = await TestOrganization.start();
});
afterAll(async () => {
  await ce[Symbol.asyncDispose]();
});

const defectKinds = async () => (await ce.control.defects()).map(({ kind }) => kind);

describe('reading systemusers', () => {
  test('a filter finds names without regard to case, quotes doubled', async () => {
    expect(await ce.find("domainname eq 'corp\\ALEE' or lastname eq 'O''Kafor'")).toEqual(['Ann Lee', "Ben O'Kafor"]);
    expect(await ce.find(`systemuserid eq ${BEN}`)).toEqual(["Ben O'Kafor"]);
    expect(await ce.find(`domainname eq 'CORP\\alee' and isdisabled eq true`)).toEqual([]);
  });

  test('a single read has an ETag, the asked columns and both keys', async () => {
    const reply = await ce.get(`systemusers(${ANN.toUpperCase()})?$select=fullname`);
    expect(reply).toMatchObject({
      status: 200,
      headers: { 'odata-version': '4.0', 'content-type': 'application/json; odata.metadata=minimal' },
    });
    const { etag } = reply.headers;
    expect(JSON.parse(reply.text)).toEqual({
      '@odata.context': `${ce.base}$metadata#systemusers(fullname)/$entity`,
      '@odata.etag': etag,
      fullname: 'Ann Lee',
      systemuserid: ANN,
      ownerid: ANN,
    });
    const again = await ce.get(`systemusers(${ANN})?$select=fullname`, { 'if-none-match': etag });
    expect(again).toMatchObject({ status: 304, text: '' });
    expect(await ce.get(`systemusers(${ANN})?$select=fullname`, { 'if-none-match': 'null' })).toMatchObject({ status: 200 });
  });

  test('without $select every readable column comes, the hidden ones never, and the caller is noted', async () => {
    await ce.control.clear();
    const user = JSON.parse((await ce.get(`systemusers(${ANN})`)).text);
    expect(user).toMatchObject({ domainname: 'CORP\\alee', isdisabled: false, applicationid: null });
    expect(user).not.toHaveProperty('activedirectoryguid');
    expect(await defectKinds()).toEqual(['columns-not-selected']);
  });

  test.each([
    'systemusers?$select=activedirectoryguid',
    `systemusers(${ANN})?$select=activedirectoryguid`,
    `systemusers?$select=fullname&$filter=activedirectoryguid%20eq%20${ANN}`,
    'systemusers?$select=fullname&$orderby=activedirectoryguid',
    'systemusers?$select=statecode',
    'systemusers?$select=userprincipalname',
  ])('%s is refused', async (resource) => {
    await ce.control.clear();
    const reply = await ce.get(resource);
    expect(reply.status).toBe(400);
    expect(JSON.parse(reply.text).error).toMatchObject({ code: '0x0', message: expect.stringMatching(/^Could not find a property named/) });
    expect(await defectKinds()).toEqual([resource.includes('activedirectoryguid') ? 'column-hidden' : 'column-unknown']);
  });

  test.each([
    ['systemusers?$select=fullname&$Filter=isdisabled%20eq%20false', 400],
    ['systemusers?$select=fullname&$skip=1', 400],
    ['systemusers?$select=fullname&x=1', 400],
    ['systemusers?$select=fullname&$top=-1', 400],
    ['systemusers?$select=fullname&$top=1&$top=2', 400],
    ['systemusers?$select=fullname&$count=yes', 400],
    ['systemusers?$select=fullname&$orderby=fullname%20up', 400],
    ['systemusers?$select=fullname&$filter=%E0%A4', 400],
    ['systemusers?$select=fullname&$expand=businessunitid', 501],
    ["systemusers('x')", 400],
    [`systemusers(guid'${ANN}')`, 400],
    [`systemusers(${id(99)})?$select=fullname`, 404],
    ['accounts', 404],
    ['SystemUsers', 404],
  ])('%s gives %d', async (resource, status) => {
    expect((await ce.get(resource)).status).toBe(status);
  });

  test('ordered, counted, cut', async () => {
    const names = async (query: string) => JSON.parse((await ce.get(`systemusers?$select=fullname&${query}`)).text);
    expect((await names('$orderby=fullname%20desc&$top=2')).value.map((user: { fullname: string }) => user.fullname)).toEqual([
      'SYSTEM',
      'Namesake Service',
    ]);
    expect((await names('$count=true'))['@odata.count']).toBe(6);
    expect(await ce.get('systemusers/$count?$filter=isdisabled%20eq%20true')).toMatchObject({ status: 200, text: '1' });
  });

  test('pages are followed to the end, each record once, whatever the order', async () => {
    for (const order of ['', '&$orderby=fullname%20desc', '&$orderby=firstname,isdisabled%20desc']) {
      const seen: string[] = [];
      let url: string | undefined = `${ce.base}systemusers?$select=fullname${order}`;
      while (url !== undefined) {
        const reply = await request(url, 'GET', { prefer: 'odata.maxpagesize=2' });
        expect(reply.headers['preference-applied']).toBe('odata.maxpagesize=2');
        const page = JSON.parse(reply.text);
        expect(page.value.length).toBeLessThanOrEqual(2);
        seen.push(...page.value.map((user: { systemuserid: string }) => user.systemuserid));
        url = page['@odata.nextLink'];
        if (url !== undefined) expect(url).toContain('$skiptoken=%3Ccookie%20pagenumber=%22');
      }
      expect(seen.length).toBe(6);
      expect(new Set(seen).size).toBe(6);
    }
  });

  test('a next link that was touched is refused, one without its preference is noted', async () => {
    await ce.control.clear();
    const { '@odata.nextLink': link } = JSON.parse((await ce.get('systemusers?$select=fullname', { prefer: 'odata.maxpagesize=2' })).text);
    expect((await request(`${link}&$top=1`, 'GET')).status).toBe(400);
    expect((await request(`${link.split('&')[0]}&$skiptoken=nonsense`, 'GET')).status).toBe(400);
    expect((await request(decodeURIComponent(link).replaceAll(/[ <>"]/g, encodeURIComponent), 'GET')).status).toBe(400);
    expect((await request(link, 'GET')).status).toBe(200);
    expect(await defectKinds()).toEqual(['next-link-altered', 'next-link-altered']);
  });
});

describe('who may come in, and where', () => {
  test.each([undefined, 'Bearer wrong', 'Basic d3Jvbmc6d3Jvbmc=', TOKEN])('%s is sent away with a web page', async (authorization) => {
    const reply = await ce.get('WhoAmI', { authorization });
    expect(reply).toMatchObject({
      status: 401,
      headers: { 'content-type': 'text/html', 'www-authenticate': expect.stringMatching(/^Bearer authorization_uri=/) },
    });
    expect(reply.text).toContain('<html>');
  });

  test('basic credentials', async () => {
    await using other = await TestOrganization.start({ token: undefined, basic: { user: 'CORP\\svc', password: 'pä:ss' } });
    const authorization = `Basic ${Buffer.from('CORP\\svc:pä:ss').toString('base64')}`;
    expect((await other.get('WhoAmI', { authorization })).status).toBe(200);
    expect((await other.get('WhoAmI')).headers['www-authenticate']).toMatch(/^Basic realm=/);
    expect((await other.control.requests()).map(({ who }) => who)).toEqual(['basic CORP\\svc', null]);
  });

  test('the functions', async () => {
    for (const name of ['WhoAmI', 'WhoAmI()'])
      expect(JSON.parse((await ce.get(name)).text)).toMatchObject({
        UserId: SERVICE,
        BusinessUnitId: expect.any(String),
        OrganizationId: expect.any(String),
      });
    expect(JSON.parse((await ce.get('RetrieveVersion()')).text).Version).toMatch(/^9\.1\./);
    const definition = await ce.get("EntityDefinitions(LogicalName='systemuser')?$select=IsOptimisticConcurrencyEnabled");
    expect(JSON.parse(definition.text).IsOptimisticConcurrencyEnabled).toBe(true);
  });

  test('other organizations and versions are not found', async () => {
    for (const [from, to] of [
      ['/contoso/', '/fabrikam/'],
      ['/v9.1/', '/v9.2/'],
      ['/data/', '/date/'],
    ] as const)
      expect(await request(`${ce.base.replace(from, to)}WhoAmI`, 'GET')).toMatchObject({
        status: 404,
        headers: { 'content-type': 'text/html' },
      });
    expect((await request(`${ce.base.replace('v9.1', 'v8.2')}WhoAmI`, 'GET')).status).toBe(200);
  });

  test.each([
    [{ 'odata-version': undefined }, 200, 'header-missing'],
    [{ 'odata-maxversion': undefined }, 200, 'header-missing'],
    [{ accept: undefined }, 200, 'header-missing'],
    [{ accept: 'text/html' }, 200, 'header-wrong'],
    [{ 'odata-version': '3.0' }, 400, 'header-wrong'],
    [{ mscrmcallerid: BEN }, 403, 'impersonation'],
  ])('headers %o give %d and are noted as %s', async (headers, status, kind) => {
    await ce.control.clear();
    expect((await ce.get('WhoAmI', headers)).status).toBe(status);
    expect(await defectKinds()).toEqual([kind]);
  });

  test('nobody deletes users', async () => {
    const reply = await request(`${ce.base}systemusers(${STALE})`, 'DELETE');
    expect(reply.status).toBe(405);
    expect((await ce.record(STALE)).fullname).toBe('Long Gone');
    expect((await request(`${ce.base}systemusers(${LEAVER})`, 'PUT', { 'content-type': 'application/json' }, '{}')).status).toBe(405);
  });

  test('a caller without prvReadUser reads nothing but who it is', async () => {
    await ce.control.setSettings({ deniedPrivileges: ['prvReadUser'] });
    const reply = await ce.get('systemusers?$select=fullname');
    expect(reply.status).toBe(403);
    expect(code(reply)).toBe('0x80040220');
    expect((await ce.get('WhoAmI')).status).toBe(200);
    await ce.control.setSettings({});
  });
});
