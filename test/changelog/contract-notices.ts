import { expect, it } from 'vitest';
import { isNotice } from '../../streams/notice.ts';
import { type Engine, NEVER } from './engine.ts';
import { create, everything, rename } from './expectations.ts';
import { guid, Model, NAMING_CONTEXT, position } from './model.ts';
import { eventually, Pages } from './pages.ts';

/** How a log keeps what it says about itself. */
export function noticesContract(engine: Engine): void {
  it('numbers notices before the changes of their batch, without a hole, and replays them (SPEC rules 1, 5)', async () => {
    const place = await engine.place();
    const model = new Model();
    {
      await using log = place.open();
      await using listener = await log.openListener(NEVER);
      await listener.append(model.batch([create(1), create(2)], 'first'));
      const changes = await listener.append(model.batch([rename(1, 'lee')], undefined, { notices: 2 }));
      expect(changes).toEqual(model.events.slice(-1));
      expect(changes.map(({ sequence }) => sequence)).toEqual([5]);
      expect(await listener.append(model.batch([], 'alone', { notices: 1 }))).toEqual([]);
    }
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const [next] = await listener.append(model.batch([rename(1, 'lea')]));
    expect(next?.sequence).toBe(7);
    expect(listener.position(NAMING_CONTEXT)).toEqual(position('alone'));
    const read = await everything(log, 7);
    expect(read).toEqual(model.log);
    expect(read.filter(isNotice).map(({ sequence }) => sequence)).toEqual([3, 4, 6]);
  });

  it('tells of the last change also when a notice came after it', async () => {
    const place = await engine.place();
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    await listener.append(model.batch([create(1)], 'first', { notices: 1 }));
    await listener.append(model.batch([], undefined, { notices: 1 }));
    await using elsewhere = place.look();
    for (const asked of [log, elsewhere]) {
      const status = await eventually(async () => {
        const told = await asked.status();
        return told.sequence === 3 ? told : undefined;
      });
      expect(status.lastEvent).toEqual(model.events.at(-1));
    }
  });

  it('gives a repairer no notices, and does not stop at pages that hold nothing else', async () => {
    const place = await engine.place();
    const model = new Model();
    await using log = place.open();
    await using listener = await log.openListener(NEVER);
    const onlyNotices = async () => await listener.append(model.batch([], undefined, { notices: 700 }));
    await onlyNotices();
    {
      await using repairer = await log.openRepairer('contoso', NEVER);
      using pages = new Pages(repairer);
      await listener.append(model.batch([create(1)], 'first', { notices: 1 }));
      expect(await pages.take(1)).toEqual([702]);
      await onlyNotices();
      await listener.append(model.batch([rename(1, 'lee')]));
      expect(await pages.take(1)).toEqual([1403]);
      await onlyNotices();
    }
    await using repairer = await log.openRepairer('contoso', NEVER);
    using pages = new Pages(repairer);
    await listener.append(model.batch([rename(1, 'lea')]));
    expect(await pages.take(1)).toEqual([2104]);
    await eventually(async () => {
      await repairer.refresh();
      return repairer.knownSequence === 2104 ? true : undefined;
    });
    expect(repairer.identity(guid(1))?.sAMAccountName).toBe('lea');
  });
}
