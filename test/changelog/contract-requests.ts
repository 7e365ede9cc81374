import { expect, it } from 'vitest';
import { type ListenerLog, type ListenerRequest, LogError } from '../../streams/change-log.ts';
import { type Engine, NEVER } from './engine.ts';
import { create, everything, expectKnown, toggle } from './expectations.ts';
import { Model, NAMING_CONTEXT, request } from './model.ts';
import { eventually } from './pages.ts';

const OTHER = 'DC=sub,DC=corp,DC=example,DC=test';

/** Once these are what the listener sees. */
async function expectRequests(listener: ListenerLog, expected: readonly ListenerRequest[]): Promise<void> {
  const byId = (requests: readonly ListenerRequest[]) => [...requests].sort((a, b) => (a.id < b.id ? -1 : 1));
  await eventually(async () => {
    const seen = await listener.requests();
    return expected.every(({ id }) => seen.some((one) => one.id === id)) ? true : undefined;
  });
  expect(byId(await listener.requests())).toEqual(byId(expected));
}

/** How somebody asks the listener for something. */
export function requestsContract(engine: Engine): void {
  it('passes on the last request of each kind for each naming context', async () => {
    const place = await engine.place();
    await using log = place.open();
    const [superseded, compare, other] = [request('a'), request('b'), request('c', { namingContext: OTHER })];
    const accept = request('d', { kind: 'accept-deletions', digest: 'f00d' });
    {
      await using listener = await log.openListener(NEVER);
      expect(await listener.requests()).toEqual([]);
      await using elsewhere = place.look();
      await elsewhere.request(superseded);
      await expectRequests(listener, [superseded]);
      await elsewhere.request(compare);
      await elsewhere.request(other);
      await log.request(accept);
      await expectRequests(listener, [compare, other, accept]);
    }
    await using again = place.open('again');
    {
      await using listener = await again.openListener(NEVER);
      await expectRequests(listener, [compare, other, accept]);
    }
    // Also one that was made while nobody listened.
    const late = request('e');
    await log.request(late);
    await using listener = await again.openListener(NEVER);
    await expectRequests(listener, [late, other, accept]);
  });

  it('passes on requests that come in between appends, and loses nothing of what is appended (SPEC rules 1, 2)', async () => {
    const place = await engine.place();
    const model = new Model();
    const asked: ListenerRequest[] = [];
    const rounds = 15;
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await using elsewhere = place.look();
      await listener.append(model.batch([create(1), create(2)], 'first'));
      const asking = async () => {
        for (let round = 1; round <= rounds; round++) {
          const one = request(`asked-${round}`, { namingContext: `DC=n${round}` });
          await elsewhere.request(one);
          asked.push(one);
        }
      };
      const appending = async () => {
        while (asked.length < rounds) await listener.append(model.batch([toggle(1), toggle(2)], `cookie ${model.log.length}`));
      };
      const listening = async () => {
        let before: ListenerRequest[] = [];
        while (asked.length < rounds) {
          const seen = await listener.requests();
          expect(seen).toEqual(expect.arrayContaining(before));
          before = seen;
        }
      };
      await Promise.all([asking(), appending(), listening()]);
      await expectRequests(listener, asked);
      await listener.append(model.batch([toggle(1)], 'last'));
      await expectRequests(listener, asked);
      expectKnown(listener, model);
    }
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await expectRequests(listener, asked);
    expectKnown(listener, model);
    await listener.append(model.batch([toggle(2)], 'after'));
    expect(await everything(log, model.log.length)).toEqual(model.log);
  });

  it('takes no request for a position, and none where there is no log', async () => {
    const place = await engine.place();
    await using look = place.look();
    await expect(look.request(request('early'))).rejects.toBeInstanceOf(LogError);
    await using log = place.open();
    const listener = await log.openListener(NEVER);
    await listener.append(new Model().batch([create(1)], 'first'));
    await using elsewhere = place.look();
    await elsewhere.request(request('a'));
    await expectRequests(listener, [request('a')]);
    for (const asked of [log, elsewhere]) {
      expect((await asked.status()).positions.map(({ namingContext }) => namingContext)).toEqual([NAMING_CONTEXT]);
    }
    await listener[Symbol.asyncDispose]();
    await expect(listener.requests()).rejects.toBeInstanceOf(LogError);
  });
}
