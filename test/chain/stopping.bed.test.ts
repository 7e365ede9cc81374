import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { configurationOf } from '../../infra/testbed/namesake.ts';
import { Command } from '../support/chain-cli.ts';
import { ENGINES, type Engine, Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const USERS = 4_000;
/** Milliseconds within which SIGTERM ends the process. */
const STOPPED = 5_000;
/** Documented in the README. */
const STOP_TIMEOUT = 5;
/** Bytes of the domain controller's answers: more than one page of the product's, 500 users, and less than two. */
const PART_OF_BASELINE = 400_000;
/** Milliseconds that the second write takes: time to stop in the middle of it, and less than a stop may take. */
const WRITE = 2_000;

const NOTHING = Buffer.alloc(0);

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: USERS, linked: 20 });
}, 300_000);

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

/**
 * The product reaches the domain controller by way of the proxy; the certificate is for the address of both. The deadline is
 * longer than a stop may take: what ends the product is the stop.
 */
async function behind(proxy: TcpProxy, engine: Engine): Promise<Stage> {
  const { directories } = configurationOf({ bed, path: bed.path, engine }) as { directories: object[] };
  const urls = [`ldaps://${bed.address}:${proxy.port}`];
  return await Stage.prepare(bed, engine, { settings: { directories: directories.map((each) => ({ ...each, urls, deadline: '30s' })) } });
}

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
    let left = PART_OF_BASELINE;
    await using proxy = await TcpProxy.start({ host: bed.address, port: 636 }, () => ({
      toServer: (chunk) => chunk,
      toClient: (chunk) => {
        left -= chunk.length;
        return left > 0 ? chunk : NOTHING;
      },
    }));
    await using stage = await behind(proxy, engine);
    await using command = run(stage);
    await until('the domain controller falls silent', async () => left <= 0);
    // From here on the product waits for the rest of the next page.
    await until('the first page is stored', async () => (await stage.status()).identities > 0);
    const { code, milliseconds, stdout } = await command.terminate();
    expect(stdout).toContain('"connected to ');
    expect(stdout).not.toContain('"read everything in ');
    expect(code).toBe(0);
    expect(milliseconds).toBeLessThan(STOPPED);
    expect((await stage.status()).positions).toEqual([]);
    left = Number.POSITIVE_INFINITY;
    await stage.start();
    const { sequence, positions } = await until('everybody is known', async () => {
      const status = await stage.status();
      return status.identities > USERS && status;
    });
    expect([sequence, positions.length]).toEqual([0, 1]);
  });

  it('lets a repair in flight come to its end', async () => {
    await using stage = await Stage.prepare(bed, engine);
    await using command = run(stage);
    await command.says(/: repairing with /);
    const from = `user0000${1 + ENGINES.indexOf(engine)}`;
    const path = `systemusers\\(${CustomerEngagement.idOf(from)}\\)`;
    await stage.control.setFaults([{ match: { method: 'PATCH', path, nth: 2 }, fault: { kind: 'latency', ms: WRITE } }]);
    await stage.rename(from, `${from}-${engine}`);
    await until('the second write is under way', async () => (await stage.control.faults()).some(({ fired }) => fired === 1));
    const asked = performance.timeOrigin + performance.now();
    const { code, milliseconds } = await command.terminate();
    expect(code).toBe(0);
    expect(milliseconds).toBeLessThan(STOPPED);
    const written = (await stage.control.requests()).findLast(({ method }) => method === 'PATCH');
    expect(written?.answered, 'it was still in flight').toBeGreaterThan(asked);
    expect((await stage.record(from)).domainname).toBe(`${bed.directory.netbios}\\${from}-${engine}`);
    await until('the outcome is in the journal', async () => (await stage.repairOf(from))?.state === 'repaired');
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
    // The write is given up after half a minute only.
    expect(code).toBe(STOP_TIMEOUT);
    expect(milliseconds).toBeLessThan(STOPPED + 1_000);
    await stage.start();
    await stage.canLogOn(`${from}-${engine}`);
  });
});
