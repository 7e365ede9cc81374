import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FaultRule } from '../../../infra/customer-engagement/control-client.ts';
import { ANN, BEN, request, SERVICE, TestOrganization } from './organization.ts';

let ce: TestOrganization;
beforeEach(async () => {
  ce = await TestOrganization.start();
});
afterEach(async () => {
  await ce[Symbol.asyncDispose]();
});

const PARK = { domainname: 'CORP\\park1' };
const nameOf = async (user: string) => (await ce.record(user)).domainname;
const inject = async (fault: FaultRule['fault'], match: FaultRule['match'] = { method: 'PATCH' }) =>
  await ce.control.setFaults([{ match, fault }]);

describe('injected faults', () => {
  test('a status, with code, text and Retry-After, before and after the write', async () => {
    await inject({ kind: 'status', status: 503, code: '0x8004A001', message: 'The server is busy.', retryAfter: 7 });
    const reply = await ce.patch(ANN, PARK);
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '7' } });
    expect(JSON.parse(reply.text).error).toEqual({ code: '0x8004a001', message: 'The server is busy.' });
    expect(await nameOf(ANN)).toBe('CORP\\alee');
    await inject({ kind: 'status', status: 500, when: 'after' });
    expect((await ce.patch(ANN, PARK)).status).toBe(500);
    expect(await nameOf(ANN)).toBe('CORP\\park1');
  });

  test('a web page instead of JSON, and a redirect to one', async () => {
    await inject({ kind: 'html', status: 200 }, {});
    expect(await ce.get('WhoAmI')).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    await inject({ kind: 'html', status: 302, location: 'https://sts.example.test/adfs/ls/' }, {});
    expect(await ce.get('WhoAmI')).toMatchObject({ status: 302, headers: { location: 'https://sts.example.test/adfs/ls/' } });
  });

  test('a connection dropped before anything was written, and after', async () => {
    await inject({ kind: 'drop-before' });
    await expect(ce.patch(ANN, PARK)).rejects.toThrow(/hang up|ECONNRESET/);
    expect(await nameOf(ANN)).toBe('CORP\\alee');
    await inject({ kind: 'drop-after-write' });
    await expect(ce.patch(ANN, PARK)).rejects.toThrow(/hang up|ECONNRESET/);
    expect(await nameOf(ANN)).toBe('CORP\\park1');
  });

  test('an answer cut in the middle', async () => {
    await inject({ kind: 'truncate' }, {});
    await expect(ce.get('WhoAmI')).rejects.toThrow(/aborted|ECONNRESET/);
    await expect(ce.patch(ANN, PARK)).rejects.toThrow();
    expect(await nameOf(ANN)).toBe('CORP\\park1');
  });

  test('no answer at all', async () => {
    await inject({ kind: 'hang', when: 'after' });
    const aborted = fetchPatch(AbortSignal.timeout(300));
    await expect(aborted).rejects.toThrow(/timeout/);
    expect(await nameOf(ANN)).toBe('CORP\\park1');
    expect(await ce.control.requests()).toMatchObject([{ method: 'PATCH', status: null, faults: ['hang'] }]);
  });

  test('latency adds up and goes together with another fault', async () => {
    await ce.control.setFaults([
      { match: {}, fault: { kind: 'latency', ms: 60 } },
      { match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 60, when: 'after' } },
      { match: { method: 'PATCH' }, fault: { kind: 'status', status: 500, when: 'after' } },
      { match: { method: 'PATCH' }, fault: { kind: 'drop-before' } },
    ]);
    expect((await ce.patch(ANN, PARK)).status).toBe(500);
    const [entry] = await ce.control.requests();
    expect(entry?.duration).toBeGreaterThanOrEqual(119);
    expect(entry?.faults).toEqual(['latency', 'latency', 'status']);
  });

  test('only the requests that are meant: by path, by number, a few times', async () => {
    const status = { kind: 'status', status: 503 } as const;
    await ce.control.setFaults([{ match: { path: `systemusers\\(${BEN}\\)`, nth: 2 }, fault: status }]);
    const read = async (user: string) => (await ce.get(`systemusers(${user})?$select=fullname`)).status;
    expect([await read(ANN), await read(BEN), await read(BEN), await read(BEN)]).toEqual([200, 200, 503, 200]);
    expect(await ce.control.faults()).toMatchObject([{ matched: 3, fired: 1 }]);
    await ce.control.setFaults([{ match: { times: 2 }, fault: status }]);
    expect([await read(ANN), await read(ANN), await read(ANN)]).toEqual([503, 503, 200]);
    await ce.control.setFaults([{ match: {}, fault: status }]);
    await ce.control.clearFaults();
    expect(await read(ANN)).toBe(200);
  });

  test('wrong rules are refused with the place that is wrong', async () => {
    await expect(inject({ kind: 'status', status: 99 })).rejects.toThrow(/400 .*status/);
    await expect(inject({ kind: 'drop-before' }, { path: '(' })).rejects.toThrow(/is no regular expression/);
  });

  async function fetchPatch(signal: AbortSignal): Promise<Response> {
    const headers = { authorization: `Bearer a-token-of-the-tests`, 'content-type': 'application/json', 'if-match': '*' };
    return await fetch(`${ce.base}systemusers(${ANN})`, { method: 'PATCH', headers, body: JSON.stringify(PARK), signal });
  }
});

describe('the control port', () => {
  test('tells who can log on, and why not', async () => {
    const reasons = async (name: string) => (await ce.control.logon(name)).reason;
    expect(await ce.control.logon('alee')).toEqual({ canLogOn: true, reason: expect.stringContaining('CORP\\alee') });
    for (const spelled of ['CORP\\alee', 'corp\\ALEE', '00000000-0000-4000-8000-000000001002'])
      expect((await ce.control.logon(spelled)).canLogOn).toBe(true);
    expect(await reasons('nobody')).toContain('no account nobody');
    expect(await reasons('OTHER\\alee')).toContain('no account');
    expect(await reasons('park1')).toContain('No user record holds');
    expect(await reasons('leaver')).toContain('is disabled');
    expect(await reasons('off')).toContain('is disabled');
    await ce.patch(ANN, PARK);
    expect(await reasons('alee')).toContain('No user record holds');
    expect((await ce.control.logon('park1')).canLogOn).toBe(true);
  });

  test('two writes to one record at once are noted, two to different ones not', async () => {
    await inject({ kind: 'latency', ms: 100, when: 'after' });
    await Promise.all([ce.patch(ANN, PARK), ce.patch(BEN, { domainname: 'CORP\\park2' })]);
    expect(await ce.control.defects()).toEqual([]);
    await Promise.all([ce.patch(ANN, { domainname: 'CORP\\alee' }), ce.patch(ANN, { domainname: 'CORP\\alee' })]);
    expect((await ce.control.defects()).map(({ kind }) => kind)).toContain('concurrent-writes');
  });

  test('every request is in the log file when its answer arrives', async () => {
    await ce.get('WhoAmI');
    await ce.patch(ANN, PARK, {}, '?$select=domainname');
    await ce.get('WhoAmI', { authorization: 'Bearer stolen' });
    const text = await readFile(`${ce.path}/requests.jsonl`, 'utf8');
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { number: 1, method: 'GET', path: '/contoso/api/data/v9.1/WhoAmI', status: 200, who: 'bearer', body: null },
      { number: 2, method: 'PATCH', status: 204, ifMatch: '*', body: JSON.stringify(PARK), code: null },
      { number: 3, status: 401, who: null },
    ]);
    expect(text).not.toContain('stolen');
    expect(lines).toEqual(await ce.control.requests());
    await ce.control.clear();
    expect(await ce.control.requests()).toEqual([]);
  });

  test('adds records, but no two for one account', async () => {
    const ulla = { systemuserid: '00000000-0000-4000-8000-000000000050', fullname: 'Ulla', domainname: 'CORP\\ulla' };
    await ce.control.addRecords([{ ...ulla, heldAccount: 'CORP\\park2' }]);
    expect(await ce.control.logon('park2')).toMatchObject({ canLogOn: false, reason: expect.stringContaining('shows CORP\\ulla') });
    await expect(ce.control.addRecords([{ ...ulla, systemuserid: SERVICE.replace('1', '9'), domainname: 'CORP\\park2' }])).rejects.toThrow(
      /409 .*both hold/,
    );
    await expect(ce.control.addRecords([{ ...ulla, statecode: 0 }])).rejects.toThrow(/no such column/);
  });

  test('is not reached through the port of the API, and refuses nonsense', async () => {
    expect((await request(`${new URL(ce.base).origin}/records`, 'GET')).status).toBe(404);
    await expect(ce.control.setLag(-1)).rejects.toThrow(/400/);
  });
});
