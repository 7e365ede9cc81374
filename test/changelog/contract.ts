import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventId } from '../../streams/change.ts';
import { FencedError, LogError } from '../../streams/change-log.ts';
import { begun } from '../../streams/position.ts';
import { accountsContract } from './contract-accounts.ts';
import { modelContract } from './contract-model.ts';
import { noticesContract } from './contract-notices.ts';
import { repairRequestsContract } from './contract-repair-requests.ts';
import { requestsContract } from './contract-requests.ts';
import { type Engine, NEVER } from './engine.ts';
import { create, expectKnown, expectSequence, history, isOrdered, lastByAccount, refreshUntil, remove, rename } from './expectations.ts';
import { DOMAIN, guid, link, Model, NAMING_CONTEXT, person, position, repair } from './model.ts';
import { eventually, Pages } from './pages.ts';
import { Appender } from './program.ts';

const TIMEOUT = 120_000;

/** What every engine must do, whatever it is made of. */
export function contract(engine: Engine): void {
  describe(`change log on ${engine.name}`, { timeout: TIMEOUT, concurrent: true }, () => {
    accountsContract(engine);
    noticesContract(engine);
    requestsContract(engine);
    repairRequestsContract(engine);
    modelContract(engine);

    it('knows after reopening what it was told', async () => {
      const place = await engine.place();
      const model = new Model();
      {
        await using log = place.open();
        await using listener = await log.openListener(NEVER);
        expect(listener.count(DOMAIN)).toBe(0);
        expect(listener.position(NAMING_CONTEXT)).toBeUndefined();
        await listener.append(model.batch([create(1), create(2), create(3)], 'first'));
        await listener.append(model.batch([rename(1, 'Lee'), rename(2, 'user1')], 'second'));
        const events = await listener.append(model.batch([remove(3)]));
        expect(events.map(({ sequence }) => sequence)).toEqual([6]);
        expectKnown(listener, model);
      }
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      expectKnown(listener, model);
      expect(listener.position(NAMING_CONTEXT)).toEqual(position('second'));
      expect(listener.holder(DOMAIN.toLowerCase(), 'LEE')).toBe(guid(1));
      expect(listener.formerHolder(DOMAIN, 'USER1')).toBe(guid(1));
      expect(listener.formerHolder(DOMAIN, 'user3')).toBe(guid(3));
      expect(listener.identity(guid(3))).toBeUndefined();
      expect(await history(log, model.events.length)).toEqual(model.events);
    });

    it('keeps positions of several naming contexts, and identities that nobody was told of', async () => {
      const place = await engine.place();
      {
        await using log = place.open();
        await using listener = await log.openListener(NEVER);
        const other = 'DC=sub,DC=corp,DC=example,DC=test';
        const identities = new Map([[guid(7), person(7)]]);
        await listener.append({ namingContext: NAMING_CONTEXT, changes: [], identities, position: position('a') });
        await listener.append({ namingContext: other, changes: [], identities: new Map(), position: position('b', other) });
        expect(listener.position(other)).toEqual(position('b', other));
      }
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      expect(listener.position(NAMING_CONTEXT)).toEqual(position('a'));
      expect(listener.identity(guid(7))).toEqual(person(7));
      expect(await history(log)).toEqual([]);
      const [event] = await listener.append(new Model().batch([create(1)]));
      expect(event?.sequence).toBe(1);
    });

    it('numbers without a hole when calls of append overlap (SPEC rule 1)', async () => {
      const place = await engine.place();
      const model = new Model();
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      const batches = [1, 2, 3, 4, 5].map((number) => model.batch([create(number), rename(number, `new${number}`)]));
      const appended = await Promise.all(batches.map((batch) => listener.append(batch)));
      expect(appended.flat()).toEqual(model.events);
      expect(await history(log, model.events.length)).toEqual(model.events);
    });

    it('takes a batch of several megabytes', async () => {
      const place = await engine.place();
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      const model = new Model();
      const everybody = Array.from({ length: 4_000 }, (_, index) => create(index + 1));
      const events = await listener.append(model.batch(everybody, 'all'));
      expect(events).toHaveLength(4_000);
      expect(listener.count(DOMAIN)).toBe(4_000);
      expect(await history(log, model.events.length)).toEqual(model.events);
    });

    it('holds events, identities and position together or not at all when its process is killed (SPEC rules 1, 2, 3)', async () => {
      const place = await engine.place();
      const accounts = 3;
      let before = 0;
      for (let kill = 0; kill < engine.kills; kill++) {
        let acknowledged = 0;
        {
          await using appender = new Appender(place.program({ accounts, batches: 10_000 }));
          await appender.listening();
          await sleep(Math.random() * 200);
          await appender[Symbol.asyncDispose]();
          acknowledged = appender.acknowledged;
        }
        await using log = place.open();
        await using listener = await log.openListener(NEVER);
        const events = await history(log);
        expectSequence(events);
        expect(events.length).toBeGreaterThanOrEqual(acknowledged);
        // Each batch of the appender has one event of each account and a position that counts the batches.
        expect(events.length % accounts).toBe(0);
        const round = Number(listener.position(NAMING_CONTEXT)?.cookie.split('-')[1] ?? 0);
        if (events.length > before) expect(round).toBe((events.length - before) / accounts);
        for (const [objectGUID, last] of lastByAccount(events)) expect(listener.identity(objectGUID)).toEqual(last.after);
        before = events.length;
      }
    });

    it('gives pages in order, the next one after the acknowledgement, unacknowledged ones again', async () => {
      const place = await engine.place();
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      const model = new Model();
      await listener.append(model.batch([create(1), create(2), rename(1, 'a')]));
      {
        await using repairer = await log.openRepairer('contoso', NEVER);
        using pages = new Pages(repairer);
        expect(await pages.take(3)).toSatisfy(isOrdered(model));
        await listener.append(model.batch([rename(1, 'b')]));
        const page = await pages.next();
        expect(page.changes.map(({ sequence }) => sequence)).toEqual([4]);
        await listener.append(model.batch([rename(1, 'c')]));
        await history(log);
        expect(pages.waiting).toEqual([]);
      }
      await using repairer = await log.openRepairer('contoso', NEVER);
      using pages = new Pages(repairer);
      expect(await pages.take(2)).toEqual([4, 5]);
      await listener.append(model.batch([rename(1, 'd')]));
      expect(await pages.take(1)).toEqual([6]);
      // Another organization has its own place in the log, and reading the history moves nobody.
      await using other = await log.openRepairer('fabrikam', NEVER);
      using theirs = new Pages(other);
      expect(await theirs.take(6)).toSatisfy(isOrdered(model));
      expect(await history(log, model.events.length)).toEqual(model.events);
    });

    it('shows a repairer elsewhere what is known after `refresh`', async () => {
      const place = await engine.place();
      await using log = place.open('listener');
      await using listener = await log.openListener(NEVER);
      const model = new Model();
      await using elsewhere = place.open('repairer');
      await using repairer = await elsewhere.openRepairer('contoso', NEVER);
      await repairer.refresh();
      expect(repairer.baselined).toBe(false);
      await listener.append(model.batch([create(1), create(2)], 'first'));
      await refreshUntil(repairer, 2);
      expect(repairer.baselined).toBe(true);
      await listener.append(model.batch([rename(1, 'lee'), remove(2)]));
      await refreshUntil(repairer, 4);
      expect(repairer.identity(guid(1))?.sAMAccountName).toBe('lee');
      expect(repairer.identity(guid(2))).toBeUndefined();
      expect(repairer.holder(DOMAIN, 'Lee')).toBe(guid(1));
    });

    it('takes a first read that has begun for none that is over, and knows of which domains it has accounts (SPEC rules 4, 5)', async () => {
      const place = await engine.place();
      {
        await using log = place.open();
        await using listener = await log.openListener(NEVER);
        const known = { namingContext: NAMING_CONTEXT, changes: [], identities: new Map([[guid(1), person(1)]]) };
        await listener.append({ ...known, position: begun(NAMING_CONTEXT, 'dc1') });
        expect(['corp', 'COR', 'CORPS', 'COR%'].map((domain) => listener.knows(domain))).toEqual([true, false, false, false]);
        await listener.append({ ...known, identities: new Map([[guid(1), null]]), position: undefined });
        expect(listener.knows(DOMAIN)).toBe(false);
        await listener.append({ ...known, position: undefined });
      }
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await using repairer = await log.openRepairer('contoso', NEVER);
      expect(listener.position(NAMING_CONTEXT)).toEqual(begun(NAMING_CONTEXT, 'dc1'));
      expect([listener.knows(DOMAIN), repairer.baselined, (await log.status()).positions]).toEqual([true, false, []]);
      await listener.append({ namingContext: NAMING_CONTEXT, changes: [], identities: new Map(), position: position('over') });
      expect(repairer.baselined).toBe(true);
    });

    it('has recorded repairs and links after reopening, in the order of the calls (SPEC rule 7)', async () => {
      const place = await engine.place();
      {
        await using log = place.open();
        await using repairer = await log.openRepairer('contoso', NEVER);
        const steps = Array.from({ length: 20 }, (_, attempts) => repair('contoso', 1, { attempts, state: 'repairing' }));
        const calls = [
          ...steps.map((step) => repairer.record({ repairs: [step] })),
          repairer.record({ repairs: [repair('contoso', 2, { state: 'repaired' })], links: [link('contoso', 2)] }),
          repairer.record({ links: [link('contoso', 1)] }),
        ];
        await Promise.all(calls);
        await using other = await log.openRepairer('fabrikam', NEVER);
        await other.record({ repairs: [repair('fabrikam', 1)], links: [link('fabrikam', 1, guid(5000))] });
        expect(other.openRepairs()).toEqual([repair('fabrikam', 1)]);
      }
      await using log = place.open();
      await using repairer = await log.openRepairer('contoso', NEVER);
      expect(repairer.openRepairs()).toEqual([repair('contoso', 1, { attempts: 19, state: 'repairing' })]);
      expect(repairer.repair(guid(1002))?.state).toBe('repaired');
      expect(repairer.link(guid(1))).toEqual(link('contoso', 1));
      expect(repairer.linkOfRecord(guid(1002))).toEqual(link('contoso', 2));
      expect(repairer.linkOfRecord(guid(5000))).toBeUndefined();
    });

    it('takes over what another instance recorded for an organization, also while it works for a second one (SPEC rule 7)', async () => {
      const place = await engine.place();
      await using here = place.open('here');
      await using contoso = await here.openRepairer('contoso', NEVER);
      await contoso.record({ repairs: [repair('contoso', 1)] });
      {
        await using there = place.open('there');
        await using fabrikam = await there.openRepairer('fabrikam', NEVER);
        await fabrikam.record({ repairs: [repair('fabrikam', 2, { parkingAccount: 'CORP\\park1' })], links: [link('fabrikam', 2)] });
      }
      await contoso.record({ repairs: [repair('contoso', 1, { state: 'repaired' })] });
      await using fabrikam = await here.openRepairer('fabrikam', NEVER);
      expect(fabrikam.openRepairs()).toEqual([repair('fabrikam', 2, { parkingAccount: 'CORP\\park1' })]);
      expect(fabrikam.link(guid(2))).toEqual(link('fabrikam', 2));
      expect(contoso.openRepairs()).toEqual([]);
    });

    it('tells its status without a lease and without disturbing whoever works', async () => {
      const place = await engine.place();
      const model = new Model();
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await using repairer = await log.openRepairer('contoso', NEVER);
      await listener.append(model.batch([create(1), create(2)], 'first'));
      await listener.append(model.batch([rename(1, 'lee')], 'second'));
      await repairer.record({ repairs: [repair('contoso', 1)], links: [link('contoso', 1)] });
      await using elsewhere = place.open('elsewhere');
      for (const asked of [log, elsewhere]) {
        const status = await eventually(async () => {
          const told = await asked.status();
          return told.sequence === 3 && told.repairs.length === 1 ? told : undefined;
        });
        expect(status).toMatchObject({ sequence: 3, identities: 2, links: 1, repairs: [repair('contoso', 1)] });
        expect(status.positions).toMatchObject([position('second')]);
        expect(status.lastEvent && eventId(status.lastEvent)).toBe(`${guid(1)}-3`);
      }
      await listener.append(model.batch([rename(1, 'lea')], 'third'));
      expectKnown(listener, model);
      await eventually(async () => ((await elsewhere.status()).sequence === 4 ? true : undefined));
    });

    it('lets a second listener wait until the first one leaves', async () => {
      const place = await engine.place();
      await using first = place.open('first');
      let standby = 0;
      const one = await first.openListener(NEVER, () => standby++);
      await using second = place.open('second');
      let opened = false;
      expect(standby).toBe(0);
      const waiting = second
        .openListener(NEVER, () => standby++)
        .then((listener) => {
          opened = true;
          return listener;
        });
      const model = new Model();
      await one.append(model.batch([create(1)], 'first'));
      await eventually(async () => (standby > 0 ? true : undefined));
      await sleep(1_000);
      expect([opened, standby]).toEqual([false, 1]);
      await one.append(model.batch([rename(1, 'lee')], 'second'));
      await one[Symbol.asyncDispose]();
      await using two = await waiting;
      expectKnown(two, model);
      expect(two.position(NAMING_CONTEXT)).toEqual(position('second'));
      await two.append(model.batch([rename(1, 'lea')], 'third'));
      await expect(one.append(model.batch([remove(1)]))).rejects.toBeInstanceOf(Error);
      expectSequence(await history(second, 3));
    });

    it('stops waiting for the lease when it is told to', async () => {
      const place = await engine.place();
      await using first = place.open('first');
      await using one = await first.openListener(NEVER);
      await using second = place.open('second');
      const abort = new AbortController();
      const reason = new Error('that is enough');
      const waiting = second.openListener(abort.signal);
      setTimeout(() => abort.abort(reason), 500);
      await expect(waiting).rejects.toBe(reason);
      await expect(second.openListener(AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(one.lost.aborted).toBe(false);
    });

    it('passes the lease on when its holder is killed, and no event is doubled (SPEC rules 1, 2)', async () => {
      const place = await engine.place();
      await using log = place.open();
      await using appender = new Appender(place.program({ accounts: 2, batches: 10_000 }));
      await appender.listening();
      await eventually(() => (appender.acknowledged >= 4 ? true : undefined));
      const waiting = log.openListener(NEVER);
      await sleep(Math.random() * 500);
      const killed = Date.now();
      await appender[Symbol.asyncDispose]();
      await using listener = await waiting;
      expect(Date.now() - killed).toBeLessThan(engine.passesOnWithin);
      const known = listener.identity(guid(1));
      if (known === undefined) throw new Error('nothing is known of the first account');
      const model = new Model();
      model.identities.set(guid(1), known);
      const [taken] = await listener.append(model.batch([rename(1, 'taken-over')]));
      const events = await history(log, taken?.sequence);
      expect(events.length).toBeGreaterThan(appender.acknowledged);
      expectSequence(events);
      expect(events.at(-1)?.after?.sAMAccountName).toBe('taken-over');
    });

    it('refuses a writer that lost the lease, and nothing of its batch is visible (SPEC rule 2)', async () => {
      const place = await engine.place();
      const model = new Model();
      await using log = place.open('first');
      await using listener = await log.openListener(NEVER);
      await listener.append(model.batch([create(1)], 'first'));
      await using _other = await place.takeOver();
      const late = new Model();
      late.identities.set(guid(1), person(1));
      await expect(listener.append(late.batch([rename(1, 'late'), create(2)], 'late'))).rejects.toBeInstanceOf(FencedError);
      await expect(listener.append(late.batch([create(3)], 'later'))).rejects.toBeInstanceOf(FencedError);
      await using elsewhere = place.open('elsewhere');
      expect(await history(elsewhere, 1)).toEqual(model.events);
      expect(await elsewhere.status()).toMatchObject({ sequence: 1, identities: 1, positions: [position('first')] });
    });

    it('fails with a LogError once it is closed', async () => {
      const place = await engine.place();
      await using log = place.open();
      const listener = await log.openListener(NEVER);
      const repairer = await log.openRepairer('contoso', NEVER);
      await repairer.confirm();
      await listener[Symbol.asyncDispose]();
      await repairer[Symbol.asyncDispose]();
      await expect(repairer.confirm()).rejects.toBeInstanceOf(LogError);
      await expect(listener.append(new Model().batch([create(1)]))).rejects.toBeInstanceOf(LogError);
      await expect(repairer.record({ links: [link('contoso', 1)] })).rejects.toBeInstanceOf(LogError);
      expect(await history(log)).toEqual([]);
    });

    it('leaves nothing behind that keeps a process from ending', async () => {
      const place = await engine.place();
      await using appender = new Appender(place.program({ accounts: 2, batches: 3, leaves: true }));
      expect(await appender.lingered()).toBeLessThan(5_000);
    });
  });
}
