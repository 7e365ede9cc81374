import { join } from 'node:path';
import { ControlClient } from '../../infra/customer-engagement/control-client.ts';
import type { RequestEntry } from '../../infra/customer-engagement/traffic.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { bulkUser } from '../../infra/testbed/content.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import { DirectoryAdmin } from '../../infra/testbed/ldap.ts';
import { Namesake } from '../../infra/testbed/namesake.ts';
import type { Bench, BenchOptions, Outcome, Print } from './bench.ts';
import { now } from './clock.ts';
import { LineTail } from './line-tail.ts';
import { ENGINES, type Engine, SAYS, startUntil } from './product.ts';
import { RawEngagement } from './raw-engagement.ts';
import { rounded, table } from './statistics.ts';

/** What each request to Customer Engagement takes, in milliseconds. */
const LATENCY = 50;
const PARALLEL = 8;
/** Until everybody is repaired. */
const DEADLINE = 300_000;
/** A fresh rename comes this long after the first write of the backlog. */
const FRESH_AFTER = 2_000;

/**
 * Everybody is renamed while nobody repairs. From the first write to the last one answered, as the stand-in logs it, against the same
 * writes sent by bare connections side by side: two for each person. In the middle of it one more person is renamed, and has to go
 * before all the others.
 */
export const repair: Bench = {
  name: 'repair',
  summary: `1,000 renames repaired where each request takes ${LATENCY} ms, ${PARALLEL} side by side, against bare writes`,
  async run({ quick }: BenchOptions, print: Print): Promise<Outcome> {
    const people = quick ? 300 : 1_000;
    await using bed = await startBed({ users: people + ENGINES.length, brokers: 1, customerEngagement: true });
    await using admin = await DirectoryAdmin.connect(bed.directory);
    const control = new ControlClient(bed.crm.controlUrl);
    const figures: Record<string, number> = {};
    const rows: string[][] = [];
    const times: Partial<Record<Engine | 'floor', number>> = {};
    for (const [index, engine] of ENGINES.entries()) {
      const product = await Namesake.prepare({ bed, path: join(bed.path, engine), engine, parkingAccounts: PARALLEL });
      const outcome = await measured(bed, admin, control, product, { people, fresh: people + 1 + index, suffix: engine });
      times[engine] = outcome.milliseconds;
      const { milliseconds, requests, fresh } = outcome;
      rows.push([engine, milliseconds.toFixed(0), (requests / people).toFixed(2), fresh.toFixed(0)]);
      Object.assign(figures, { [engine]: milliseconds, [`${engine}RequestsEach`]: requests / people, [`${engine}Fresh`]: fresh });
    }
    const floor = await bareWrites(bed, control, people);
    rows.push(['bare writes', floor.toFixed(0), '2.00', '']);
    const ratios = Object.fromEntries(ENGINES.map((engine) => [engine, rounded((times[engine] ?? 0) / floor)]));
    print(table([`ms, ${people} renames`, 'first to last write', 'requests each', 'a fresh one'], rows));
    print(`  ideal: ${(people * 2 * LATENCY) / PARALLEL} ms`);
    return { figures: { ...figures, floor }, ratios };
  },
};

interface Crowd {
  readonly people: number;
  /** Number of the one who is renamed in the middle. */
  readonly fresh: number;
  readonly suffix: string;
}

async function measured(bed: Bed, admin: DirectoryAdmin, control: ControlClient, product: Namesake, crowd: Crowd) {
  await using running = product;
  await control.clearFaults();
  await startUntil(running, { repairing: SAYS.repairing });
  await running.stop();
  for (let number = 1; number <= crowd.people; number++) await rename(admin, bulkUser(number).sAMAccountName, crowd.suffix);
  await control.setFaults([{ fault: { kind: 'latency', ms: LATENCY } }]);
  await control.clear();
  using tail = new LineTail(bed.crm.requestLog);
  const isWrite = (line: string) => line.includes('"method":"PATCH"');
  const first = tail.next(isWrite, 'the first write', DEADLINE);
  await startUntil(running, { repairing: SAYS.repairing });
  const { arrived } = JSON.parse(await first) as RequestEntry;
  await new Promise((resolve) => setTimeout(resolve, FRESH_AFTER));
  const { sAMAccountName } = bulkUser(crowd.fresh);
  const id = CustomerEngagement.idOf(sAMAccountName);
  const named = tail.next((line) => isWrite(line) && line.includes(id) && line.includes(crowd.suffix), 'the fresh one', DEADLINE);
  await rename(admin, sAMAccountName, crowd.suffix);
  const begun = now();
  const fresh = (JSON.parse(await named) as RequestEntry).answered - begun;
  const writes = await everybody(control, 2 * (crowd.people + 1));
  const last = Math.max(...writes.filter(({ path }) => !path.includes(id)).map(({ answered }) => answered));
  const requests = (await control.requests()).filter(({ arrived: at }) => at >= arrived - LATENCY * 4).length - 2;
  await running.stop();
  await control.clearFaults();
  return { milliseconds: last - arrived, requests, fresh };
}

async function everybody(control: ControlClient, count: number): Promise<RequestEntry[]> {
  for (const begun = now(); now() - begun < DEADLINE; await new Promise((resolve) => setTimeout(resolve, 250))) {
    const writes = (await control.requests()).filter(({ method, status }) => method === 'PATCH' && status === 200);
    if (writes.length >= count) return writes;
  }
  throw new Error('not everybody was repaired in time');
}

/** What everybody is called by now; another engine goes on from there. */
const names = new Map<string, string>();

async function rename(admin: DirectoryAdmin, sAMAccountName: string, suffix: string): Promise<void> {
  const found = await admin.find(names.get(sAMAccountName) ?? sAMAccountName);
  if (found === undefined) throw new Error(`there is no ${sAMAccountName}`);
  const name = `${sAMAccountName}-${suffix}`;
  await admin.rename(found.objectGUID, name);
  names.set(sAMAccountName, name);
}

/** Two writes for each, over as many connections as repairs go side by side. */
async function bareWrites(bed: Bed, control: ControlClient, people: number): Promise<number> {
  await control.setFaults([{ fault: { kind: 'latency', ms: LATENCY } }]);
  const todo = Array.from({ length: people }, (_, index) => bulkUser(index + 1).sAMAccountName);
  const begun = performance.now();
  await Promise.all(
    bed.directory.parkingAccounts.slice(0, PARALLEL).map(async (parking) => {
      using raw = await RawEngagement.open(bed.crm);
      for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
        const id = CustomerEngagement.idOf(next);
        await raw.setName(id, parking);
        await raw.setName(id, `${bed.directory.netbios}\\${names.get(next) ?? next}`);
      }
    }),
  );
  return performance.now() - begun;
}
