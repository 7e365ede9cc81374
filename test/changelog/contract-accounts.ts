import { expect, it } from 'vitest';
import type { Batch } from '../../streams/change-log.ts';
import { type Engine, NEVER } from './engine.ts';
import { create, expectKnown, remove, rename } from './expectations.ts';
import { DOMAIN, guid, Model, NAMING_CONTEXT, origins, person, position } from './model.ts';
import { eventually } from './pages.ts';

const OTHER_DOMAIN = 'CORPS';

/** What a log knows of accounts besides their names: the writes that their values come from, how many they are, who they are. */
export function accountsContract(engine: Engine): void {
  const known = (number: number, more: Partial<Batch> = {}): Batch => ({
    namingContext: NAMING_CONTEXT,
    changes: [],
    identities: new Map([[guid(number), person(number)]]),
    position: undefined,
    ...more,
  });

  it('keeps the origins of each identity, the last ones whole', async () => {
    const place = await engine.place();
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await listener.append(known(1));
      expect(listener.origins(guid(1))).toEqual({});
      await listener.append(known(1, { origins: new Map([[guid(1), origins(1, 'sAMAccountName', 'mail')]]) }));
      await listener.append(known(2, { origins: new Map([[guid(2), origins(2, 'sAMAccountName')]]) }));
      await listener.append(known(1, { origins: new Map([[guid(1), origins(3, 'mail')]]) }));
      await listener.append(known(3, { origins: new Map([[guid(3), origins(4, 'mail')]]) }));
      await listener.append(known(3));
      const gone = new Map([[guid(2), null]]);
      await listener.append(known(2, { identities: gone, origins: new Map([[guid(2), origins(5, 'isDeleted')]]) }));
    }
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    expect(listener.origins(guid(1))).toEqual(origins(3, 'mail'));
    expect([listener.identity(guid(2)), listener.origins(guid(2))]).toEqual([undefined, origins(5, 'isDeleted')]);
    expect([listener.identity(guid(3)), listener.origins(guid(3))]).toEqual([person(3), {}]);
    expect(listener.origins(guid(4))).toEqual({});
  });

  it('counts and lists the accounts of a domain', async () => {
    const place = await engine.place();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const foreign = { ...person(4), domain: OTHER_DOMAIN };
    const identities = new Map([...[1, 2, 3].map((number) => [guid(number), person(number)] as const), [guid(4), foreign] as const]);
    await listener.append(known(1, { identities }));
    await listener.append(known(3, { identities: new Map([[guid(3), null]]) }));
    const domains = ['corp', OTHER_DOMAIN, 'COR', 'COR%', ''];
    expect(domains.map((domain) => listener.count(domain))).toEqual([2, 1, 0, 0, 0]);
    expect(domains.map((domain) => [...listener.objectGUIDs(domain)].sort())).toEqual([[guid(1), guid(2)], [guid(4)], [], [], []]);
  });

  it('lists every account once, whatever is appended between two steps', async () => {
    const place = await engine.place();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const model = new Model();
    const numbers = Array.from({ length: 2_500 }, (_, index) => index + 1);
    await listener.append(model.batch(numbers.map(create), 'all'));
    const listed: string[] = [];
    for (const objectGUID of listener.objectGUIDs(DOMAIN)) {
      // Names that go before all others and behind them, and accounts that go while they are waited for.
      if (listed.length % 500 === 0) {
        const number = listed.length + 1;
        await listener.append(model.batch([rename(number, `0${number}`), rename(number + 1, `z${number}`), remove(2_500 - number)]));
      }
      listed.push(objectGUID);
    }
    expect(new Set(listed).size).toBe(listed.length);
    expect(listed).toEqual(expect.arrayContaining([...model.identities.keys()]));
    expectKnown(listener, model);
  });

  it('can be looked at while others are at work, and nothing changes by it', async () => {
    const place = await engine.place();
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([create(1), create(2), create(3)], 'first', { traced: true }));
    await listener.append(model.batch([rename(1, 'lee'), rename(2, 'user1'), remove(3)], 'second', { traced: true }));
    await using elsewhere = place.look();
    await eventually(async () => {
      await using look = await elsewhere.look();
      return look.position(NAMING_CONTEXT)?.cookie === 'second' && look.identity(guid(3)) === undefined ? true : undefined;
    });
    {
      await using look = await elsewhere.look();
      expectKnown(look, model);
      expect(look.holder(DOMAIN, 'User1')).toBe(guid(2));
      expect(look.formerHolder(DOMAIN, 'user1')).toBe(guid(1));
      expect(look.origins(guid(1))).toEqual(model.origins.get(guid(1)));
      await listener.append(model.batch([rename(1, 'lea')], 'third'));
    }
    expect(listener.lost.aborted).toBe(false);
    await using here = await log.look();
    expectKnown(here, model);
    expect(here.position(NAMING_CONTEXT)).toEqual(position('third'));
  });
}
