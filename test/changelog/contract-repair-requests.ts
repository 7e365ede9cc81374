import { expect, it } from 'vitest';
import { LogError, type RepairerLog } from '../../streams/change-log.ts';
import type { Repair } from '../../streams/repair.ts';
import type { RepairRequest } from '../../streams/repair-request.ts';
import { type Engine, NEVER } from './engine.ts';
import { guid, link, repair, repairAnswer, repairRequest } from './model.ts';
import { eventually } from './pages.ts';

async function expectOpen(repairer: RepairerLog, expected: readonly RepairRequest[]): Promise<void> {
  const byId = (requests: readonly RepairRequest[]) => [...requests].sort((a, b) => (a.id < b.id ? -1 : 1));
  await eventually(async () => {
    const open = await repairer.requests();
    return JSON.stringify(byId(open)) === JSON.stringify(byId(expected)) ? true : undefined;
  });
}

/** How somebody asks a repairer for something, and is answered. */
export function repairRequestsContract(engine: Engine): void {
  it('passes on the last request for each record of its organization until it is answered', async () => {
    const place = await engine.place();
    await using log = place.open();
    const [superseded, first, other] = [repairRequest('a', 1), repairRequest('b', 1, { kind: 'skip' }), repairRequest('c', 2)];
    const elsewhere = repairRequest('d', 1, { organization: 'fabrikam' });
    {
      await using repairer = await log.openRepairer('contoso', NEVER);
      expect(await repairer.requests()).toEqual([]);
      await using asker = place.look();
      await asker.requestRepair(superseded);
      await expectOpen(repairer, [superseded]);
      await asker.requestRepair(first);
      await asker.requestRepair(other, elsewhere);
      await expectOpen(repairer, [first, other]);
      await repairer.record({ answers: [repairAnswer(first)], repairs: [repair('contoso', 1)] });
      await expectOpen(repairer, [other]);
      const { organization, systemuserid } = first;
      expect(await asker.answer(organization, systemuserid)).toEqual(repairAnswer(first));
      expect(await asker.answer('fabrikam', systemuserid)).toBeUndefined();
      await asker.requestRepair(superseded);
      await expectOpen(repairer, [superseded, other]);
    }
    await using again = place.open('again');
    await using repairer = await again.openRepairer('contoso', NEVER);
    await expectOpen(repairer, [superseded, other]);
    expect(repairer.repair(repair('contoso', 1).systemuserid)).toEqual(repair('contoso', 1));
  });

  it('reads the journal of all organizations again, each record in its order, also after it was closed', async () => {
    const place = await engine.place();
    const intent = repair('contoso', 1, { state: 'repairing', parkingAccount: 'CORP\\park' });
    const outcome = repair('contoso', 1, { state: 'repaired', times: { observed: intent.at, parked: intent.at, named: intent.at } });
    const other = repair('fabrikam', 2);
    {
      await using log = place.open();
      await using repairer = await log.openRepairer('contoso', NEVER);
      await repairer.record({ repairs: [intent] });
      await repairer.record({ repairs: [outcome] });
      await using elsewhere = await log.openRepairer('fabrikam', NEVER);
      await elsewhere.record({ repairs: [other] });
    }
    await using look = place.look();
    const read = await eventually(async () => {
      const found: Repair[] = [];
      await look.replayRepairs((more) => void found.push(...more));
      return found.length < 3 ? undefined : found;
    });
    expect(read.filter(({ organization }) => organization === 'contoso')).toEqual([intent, outcome]);
    expect(read.filter(({ organization }) => organization === 'fabrikam')).toEqual([other]);
  });

  it('takes no request where there is no log', async () => {
    const place = await engine.place();
    await using look = place.look();
    await expect(look.requestRepair(repairRequest('early', 1))).rejects.toBeInstanceOf(LogError);
  });

  it('shows links and repairs to a look, and no link that a person denied', async () => {
    const place = await engine.place();
    await using log = place.open();
    const record = link('contoso', 1).systemuserid;
    await using repairer = await log.openRepairer('contoso', NEVER);
    await repairer.record({ links: [link('contoso', 1), link('contoso', 2)], repairs: [repair('contoso', 2)] });
    await repairer.record({ links: [{ ...link('contoso', 1), denied: true }] });
    expect(repairer.link(guid(1))).toBeUndefined();
    expect(repairer.linkOfRecord(record)).toBeUndefined();
    await repairer.record({ links: [{ ...link('contoso', 3, record), by: 'person' }] });
    await using looking = place.look();
    await using look = await looking.look();
    for (const known of [repairer, look.organization('contoso')]) {
      expect(known.link(guid(1))).toBeUndefined();
      expect(known.isDenied(guid(1), record)).toBe(true);
      expect(known.isDenied(guid(3), record)).toBe(false);
      expect(known.linkOfRecord(record)?.objectGUID).toBe(guid(3));
      expect(known.repair(repair('contoso', 2).systemuserid)).toEqual(repair('contoso', 2));
    }
    expect(
      look
        .organization('contoso')
        .links()
        .map(({ objectGUID }) => objectGUID)
        .sort(),
    ).toEqual([guid(2), guid(3)]);
    expect(look.organization('fabrikam').links()).toEqual([]);
    expect((await looking.status()).links).toBe(2);
  });
}
