import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { Command } from '../support/chain-cli.ts';
import { ENGINES, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

const USERS = 4_000;
/** Milliseconds within which SIGTERM ends the process. */
const STOPPED = 5_000;
/** Documented in the README. */
const STOP_TIMEOUT = 5;

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: USERS, linked: 20 });
}, 300_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const run = (stage: Stage) => new Command(['run', '--config', stage.product.configFile], { within: 60_000 });

describe.each(ENGINES)('SIGTERM, on %s', (engine) => {
  it('ends it when it is idle', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await using command = run(stage);
    await command.says(/: repairing with /);
    const { code, milliseconds, stdout } = await command.terminate();
    expect([code, stdout.trimEnd().split('\n').at(-1)]).toEqual([0, expect.stringContaining('"stopped"')]);
    expect(milliseconds).toBeLessThan(STOPPED);
  });

  it('ends it in the middle of the baseline, which the next start begins anew', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await using command = run(stage);
    await command.says(/"connected to /);
    const { code, milliseconds, stdout } = await command.terminate();
    expect(stdout).not.toContain('"read everything: ');
    expect(code).toBe(0);
    expect(milliseconds).toBeLessThan(STOPPED);
    expect((await stage.status()).positions).toEqual([]);
    await stage.start();
    const { sequence, identities, positions } = await stage.status();
    expect([sequence, positions.length]).toEqual([0, 1]);
    expect(identities).toBeGreaterThan(USERS);
  });

  it('lets a repair in flight come to its end', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await using command = run(stage);
    await command.says(/: repairing with /);
    await stage.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 700 } }]);
    const from = `user0000${1 + ENGINES.indexOf(engine)}`;
    await stage.rename(from, `${from}-${engine}`);
    await until('the record is parked', async () => (await stage.record(from)).domainname.includes('ns-park'));
    const { code, milliseconds } = await command.terminate();
    expect(code).toBe(0);
    expect(milliseconds).toBeLessThan(STOPPED);
    expect((await stage.record(from)).domainname).toBe(`${bed.directory.netbios}\\${from}-${engine}`);
    expect((await stage.repairOf(from))?.state).toBe('repaired');
  });

  it('leaves a repair behind that Customer Engagement does not answer, and the next start ends it', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await using command = run(stage);
    await command.says(/: repairing with /);
    const from = `user0001${1 + ENGINES.indexOf(engine)}`;
    const path = `systemusers\\(${CustomerEngagement.idOf(from)}\\)`;
    await stage.control.setFaults([{ match: { method: 'PATCH', path, nth: 2 }, fault: { kind: 'hang' } }]);
    await stage.rename(from, `${from}-${engine}`);
    await until('the second write hangs', async () => (await stage.control.requests()).some(({ status }) => status === null));
    const { code, milliseconds } = await command.terminate();
    expect([0, STOP_TIMEOUT]).toContain(code);
    expect(milliseconds).toBeLessThan(STOPPED + 1_000);
    await stage.start();
    await stage.canLogOn(`${from}-${engine}`);
  });
});
