import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { bulkUser } from '../../infra/testbed/content.ts';
import { namesake } from '../support/chain-cli.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

const GONE = 8;
const SETTINGS = { listener: { deletionLimit: { count: 5, percent: 100 } } };

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 2 * GONE + 20 });
}, 120_000);

afterAll(() => bed?.[Symbol.asyncDispose]());

describe.each(ENGINES)('on %s', (engine) => {
  const first = engine === 'kafka' ? 1 : GONE + 1;
  const names = Array.from({ length: GONE }, (_, index) => bulkUser(first + index).sAMAccountName);
  const asked = (stage: Stage, ...args: string[]) => namesake([...args, '--config', stage.product.configFile]);

  it('many deletions wait for a person, everything else goes on, and a comparison can be seen before and asked for (rules 4, 5)', async () => {
    await using stage = await Stage.prepare(bed, engine, { settings: SETTINGS });
    await stage.start();
    await stage.product.stop();
    for (const name of names) {
      const found = await stage.admin.find(name);
      await stage.admin.delete(found?.objectGUID ?? expect.unreachable());
    }
    await stage.start();
    await stage.says(new RegExp(`^${GONE} of \\d+ accounts of .* seem to be deleted`));
    const kept = bulkUser(2 * GONE + (engine === 'kafka' ? 1 : 2)).sAMAccountName;
    await stage.rename(kept, `${kept}-new`);
    await stage.says(new RegExp(`repaired .*${kept} → .*${kept}-new`));
    const { events } = await stage.history();
    expect(events.map(({ kind }) => kind)).toEqual(['renamed']);
    expect((await asked(stage, 'status')).stdout).toContain(`${GONE} deletions are withheld`);

    const dry = await asked(stage, 'compare', '--dry-run');
    expect(dry).toMatchObject({ code: 0, stderr: '' });
    for (const name of names) expect(dry.stdout).toMatch(new RegExp(`^deleted .*\\\\${name} `, 'm'));
    expect(dry.stdout).toContain(`${GONE} deletions are more than listener.deletionLimit`);
    expect((await stage.history()).events.length).toBe(1);

    const accepted = await asked(stage, 'accept-deletions');
    expect(accepted).toMatchObject({ code: 0, stderr: '' });
    expect(accepted.stdout).toContain('they are reported');
    await until('the deletions are told', async () => (await stage.history()).events.length === 1 + GONE);
    expect((await asked(stage, 'accept-deletions')).stdout).toBe('no deletions are withheld\n');

    const compared = await asked(stage, 'compare');
    expect(compared).toMatchObject({ code: 0, stderr: '' });
    expect(compared.stdout).toMatch(/objects compared, 0 differences reported/);
    expect((await asked(stage, 'compare', '--naming-context', 'DC=nowhere')).stderr).toContain('No listener has read DC=nowhere yet');
  });
});
