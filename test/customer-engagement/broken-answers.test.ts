import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { CustomerEngagement, CustomerEngagementFailure } from '../../streams/customer-engagement.ts';
import type { Script } from '../support/http-server.ts';
import { clientOf, collect, failing, html, ID, json, pair, record } from './support.ts';

const read = (ce: CustomerEngagement, signal?: AbortSignal) => ce.find({ systemuserids: [ID], domainNames: [] }, signal);
const write = (ce: CustomerEngagement, signal?: AbortSignal) => ce.setDomainName(ID, 'CORP\\lee', { signal });

const JSON_TYPE = { 'content-type': 'application/json' };
const WHOLE = JSON.stringify({ ...record(), value: [record()] });

function raw(response: ServerResponse, headers: Record<string, string>, body: string | Buffer): void {
  response.writeHead(200, headers).end(body);
}

const cases: [string, CustomerEngagementFailure, CustomerEngagementFailure, Script][] = [
  ['a sign-in page', 'credentials', 'unknown-outcome', (response) => html(response, 200)],
  ['a web page with 403', 'credentials', 'credentials', (response) => html(response, 403)],
  ['a web page with 404', 'transient', 'unknown-outcome', (response) => html(response, 404)],
  ['a web page with 500', 'transient', 'unknown-outcome', (response) => html(response, 500)],
  ['a web page with 503', 'transient', 'unknown-outcome', (response) => html(response, 503)],
  ['JSON that is cut off', 'transient', 'unknown-outcome', (response) => raw(response, JSON_TYPE, WHOLE.slice(0, -5))],
  [
    'JSON that is not UTF-8',
    'transient',
    'unknown-outcome',
    (response) => raw(response, JSON_TYPE, Buffer.from(WHOLE.replace('Ann', 'Änn'), 'latin1')),
  ],
  ['nothing', 'transient', 'unknown-outcome', (response) => raw(response, JSON_TYPE, '')],
  ['no content type', 'transient', 'unknown-outcome', (response) => raw(response, {}, WHOLE)],
  ['another content type', 'transient', 'unknown-outcome', (response) => raw(response, { 'content-type': 'text/plain' }, WHOLE)],
  [
    'two content types',
    'credentials',
    'unknown-outcome',
    (response) =>
      void response
        .writeHead(
          200,
          [
            ['content-type', 'text/html'],
            ['content-type', 'application/json'],
          ].flat(),
        )
        .end(WHOLE),
  ],
  ['another success', 'transient', 'unknown-outcome', (response) => json(response, 202, { ...record(), value: [record()] })],
  [
    'a value that is missing',
    'transient',
    'unknown-outcome',
    (response) => json(response, 200, { value: [record({ domainname: undefined })] }),
  ],
  [
    'a value of another type',
    'transient',
    'unknown-outcome',
    (response) => json(response, 200, { domainname: 7, value: [record({ domainname: 7 })] }),
  ],
  ['JSON of something else', 'transient', 'unknown-outcome', (response) => json(response, 200, ['x'])],
  ['an error without its parts', 'transient', 'unknown-outcome', (response) => json(response, 400, { error: 'no' })],
  [
    'less than it announced',
    'transient',
    'unknown-outcome',
    (response) => {
      response.writeHead(200, { ...JSON_TYPE, 'content-length': String(WHOLE.length) });
      response.write(WHOLE.slice(0, 20), () => response.destroy());
    },
  ],
  [
    'a chunked body without an end',
    'transient',
    'unknown-outcome',
    (response) => {
      response.writeHead(200, JSON_TYPE);
      response.write(WHOLE, () => response.destroy());
    },
  ],
  ['no answer but a closed connection', 'transient', 'unknown-outcome', (response) => void response.destroy()],
  ['something that is not HTTP', 'transient', 'unknown-outcome', (response) => void response.socket?.end('SSH-2.0-x\r\n')],
];

describe('what is answered instead of data', () => {
  test.each(cases)('%s: a read is %s, a write is %s', async (_, ofRead, ofWrite, script) => {
    await using at = await pair(script);
    expect((await failing(read(at.ce))).failure).toBe(ofRead);
    expect((await failing(write(at.ce))).failure).toBe(ofWrite);
    expect(at.server.received.map(({ method }) => method)).toEqual(['GET', 'PATCH']);
  });

  test('too few columns', async () => {
    for (const column of Object.keys(record()).filter((name) => !['@odata.etag', 'ownerid'].includes(name))) {
      await using at = await pair((response) => json(response, 200, { value: [record({ [column]: undefined })] }));
      expect(await failing(read(at.ce))).toMatchObject({ failure: 'transient', message: expect.stringContaining(column) });
    }
  });

  test('more than fits', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 'x');
    let sent = 0;
    await using at = await pair((response) => {
      response.writeHead(200, JSON_TYPE);
      const more = () => {
        while (!response.destroyed && sent < 500) {
          sent++;
          if (!response.write(megabyte)) return;
        }
      };
      response.on('drain', more);
      more();
    });
    expect(await failing(read(at.ce))).toMatchObject({ failure: 'transient', message: expect.stringContaining('too large') });
    expect(sent).toBeLessThan(100);
  });

  test('a page that is not found in pages', async () => {
    await using at = await pair((response, request) =>
      json(response, 200, { value: [], '@odata.nextLink': `http://${request.headers.host}/contoso/api/data/v9.1/systemusers?p=2` }),
    );
    expect((await failing(read(at.ce))).failure).toBe('transient');
  });
});

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    await using elsewhere = await pair((response) => json(response, 200, { UserId: ID }));
    await using at = await pair((response) => void response.writeHead(status, { location: `${elsewhere.server.origin}/x?secret=1` }).end());
    expect(await failing(at.ce.whoAmI())).toMatchObject({ failure: 'credentials', status, message: expect.stringContaining('redirect') });
    expect(await failing(write(at.ce))).toMatchObject({ failure: 'unknown-outcome', status });
    expect(at.server.received).toHaveLength(2);
    expect(elsewhere.server.received).toHaveLength(0);
  });
});

describe('an answer that is late', () => {
  const late: [string, Script][] = [
    ['no headers', () => undefined],
    ['headers and no body', (response) => void response.writeHead(200, JSON_TYPE).flushHeaders()],
    [
      'a body that drips',
      (response) => {
        response.writeHead(200, JSON_TYPE);
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ];
  test.each(late)('%s', async (_, script) => {
    await using at = await pair(script, { deadline: 200 });
    expect(await failing(read(at.ce))).toMatchObject({ failure: 'transient', message: expect.stringContaining('within 0.2 s') });
    expect((await failing(write(at.ce))).failure).toBe('unknown-outcome');
  });

  test('a request that waited for a connection until the deadline was never sent', async () => {
    await using at = await pair(() => undefined, { deadline: 300, connections: 1 });
    const failures = await Promise.all([write(at.ce), write(at.ce)].map(failing));
    expect(failures.map(({ failure }) => failure)).toEqual(['unknown-outcome', 'transient']);
    expect(at.server.received).toHaveLength(1);
  });
});

describe('stopped by the caller', () => {
  test('before: nothing is sent', async () => {
    await using at = await pair((response) => json(response, 200, record()));
    expect((await failing(write(at.ce, AbortSignal.abort()))).failure).toBe('transient');
    expect(at.server.received).toHaveLength(0);
  });

  test('while waiting for a connection: it is not sent later either', async () => {
    const stop = new AbortController();
    const release = Promise.withResolvers<void>();
    await using at = await pair(
      async (response) => {
        await release.promise;
        json(response, 200, { UserId: ID });
      },
      { connections: 1 },
    );
    const first = at.ce.whoAmI();
    const waiting = failing(write(at.ce, stop.signal));
    // Credentials are ready within this turn, and then the request stands in the queue.
    await new Promise(setImmediate);
    stop.abort();
    expect((await waiting).failure).toBe('transient');
    release.resolve();
    await first;
    await at.ce.whoAmI();
    expect(at.server.received.map(({ method }) => method)).toEqual(['GET', 'GET']);
  });

  test('under way: a write has an open outcome', async () => {
    const stop = new AbortController();
    await using at = await pair(() => stop.abort());
    expect((await failing(write(at.ce, stop.signal))).failure).toBe('unknown-outcome');
  });

  test('by closing the client', async () => {
    const under = Promise.withResolvers<void>();
    await using at = await pair(() => under.resolve());
    const written = failing(write(at.ce));
    await under.promise;
    await at.ce.close();
    expect((await written).failure).toBe('unknown-outcome');
    expect((await failing(write(at.ce))).failure).toBe('transient');
    expect((await failing(collect(at.ce.all({})))).failure).toBe('transient');
  });
});

test('what cannot be reached has not been written', async () => {
  const gone = await pair(() => undefined);
  const { origin } = gone.server;
  await gone[Symbol.asyncDispose]();
  const ce = clientOf(origin);
  expect(await failing(write(ce))).toMatchObject({ failure: 'transient', message: expect.stringContaining('ECONNREFUSED') });
  await ce.close();
});

test('connections are kept and shared', async () => {
  await using at = await pair((response) => json(response, 200, { UserId: ID }), { connections: 3 });
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 5 }, () => at.ce.whoAmI()));
  expect(at.server.received).toHaveLength(50);
  expect(at.server.connections).toBeLessThanOrEqual(3);
});
