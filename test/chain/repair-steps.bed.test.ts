import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultRule, RequestEntry } from '../../infra/customer-engagement/control-client.ts';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';
import type { Repair } from '../../streams/repair.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

/** A place in a repair where the process is killed, and what is true there. */
interface Step {
  readonly name: string;
  /** Holds the repair of this record at that place. */
  readonly hold: (systemuserid: string) => FaultRule;
  /** Whether the journal says by then that something may have been written. */
  readonly intent: boolean;
  readonly record: 'old' | 'parked' | 'new';
  /** Writes that are needed after the restart, and no more. */
  readonly writesLeft: number;
  /** The answer is let through while the log stands still. */
  readonly frozenLog?: true;
}

const patch = (systemuserid: string, nth: number, fault: FaultRule['fault']): FaultRule => ({
  match: { method: 'PATCH', path: `systemusers\\(${systemuserid}\\)`, nth },
  fault,
});

const STEPS: readonly Step[] = [
  {
    name: 'before the intent is written',
    hold: (id) => ({ match: { method: 'GET', path: `systemusers\\?.*${id}` }, fault: { kind: 'hang' } }),
    intent: false,
    record: 'old',
    writesLeft: 2,
  },
  {
    name: 'after the intent and before the first write',
    hold: (id) => patch(id, 1, { kind: 'hang' }),
    intent: true,
    record: 'old',
    writesLeft: 2,
  },
  {
    name: 'after the first write and before its answer',
    hold: (id) => patch(id, 1, { kind: 'hang', when: 'after' }),
    intent: true,
    record: 'parked',
    writesLeft: 1,
  },
  { name: 'between the writes', hold: (id) => patch(id, 2, { kind: 'hang' }), intent: true, record: 'parked', writesLeft: 1 },
  {
    name: 'after the second write and before its answer',
    hold: (id) => patch(id, 2, { kind: 'hang', when: 'after' }),
    intent: true,
    record: 'new',
    writesLeft: 0,
  },
  {
    name: 'after the second answer and before the outcome is written',
    hold: (id) => patch(id, 2, { kind: 'latency', ms: 4_000, when: 'after' }),
    intent: true,
    record: 'new',
    writesLeft: 0,
    frozenLog: true,
  },
];

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 20 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe('killed at a named step, a repair goes on where it was (rules 6, 7, 8)', () => {
  it.each(STEPS.map((step, index) => [step.name, step, index] as const))('%s, on SQLite', async (_, step, index) => {
    await using stage = await Stage.prepare(bed, 'sqlite');
    await killAt(stage, [{ step, from: `user0000${index + 1}`, to: `sqlite.${index + 1}` }]);
  });

  it('at all of them at once, on Kafka', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await killAt(
      stage,
      STEPS.map((step, index) => ({ step, from: `user0001${index}`, to: `kafka.${index + 1}` })),
    );
  });
});

interface Case {
  readonly step: Step;
  readonly from: string;
  readonly to: string;
}

async function killAt(stage: Stage, cases: readonly Case[]): Promise<void> {
  await stage.start();
  await stage.control.clear();
  await stage.control.setFaults(cases.map(({ step, from }) => step.hold(CustomerEngagement.idOf(from))));
  let thaw = () => {};
  // The last one is the one that the log is frozen for.
  for (const each of cases) {
    const found = await stage.admin.find(each.from);
    await stage.admin.rename(found?.objectGUID ?? '', each.to);
    await until(`${each.from} is held ${each.step.name}`, () => isHeld(stage, each));
    if (each.step.frozenLog) {
      thaw = freezeLog(stage);
      await until('the second answer is sent', async () => (await writes(stage, each.from)).length === 2);
    }
  }
  await stage.product.kill();
  thaw();
  const intended = cases.filter(({ step }) => step.intent);
  // A transaction that is committed may show a little later.
  const journal = await until('every intent is in the journal', async () => {
    const { journal: shown } = await stage.history();
    return intended.every(({ from }) => statesOf(shown, from).includes('repairing')) && shown;
  });
  for (const { step, from } of cases) {
    const states = statesOf(journal, from);
    expect(states.includes('repairing'), `${step.name}: ${states}`).toBe(step.intent);
    expect(states).not.toContain('repaired');
    expect(await shows(stage, from, step.record), step.name).toBe(true);
  }

  const before = new Map(await Promise.all(cases.map(async ({ from }) => [from, (await writes(stage, from)).length] as const)));
  await stage.control.clearFaults();
  await stage.start();
  for (const { to } of cases) await stage.canLogOn(to);
  await until('every outcome is in the journal', async () => {
    const later = (await stage.history()).journal;
    return cases.every(({ from }) => statesOf(later, from).at(-1) === 'repaired');
  });
  for (const { step, from } of cases) {
    expect((await writes(stage, from)).length - (before.get(from) ?? 0), `writes after the restart, ${step.name}`).toBe(step.writesLeft);
  }
  expect(await stage.control.defects()).toEqual([]);
}

async function isHeld(stage: Stage, { step, from }: Case): Promise<boolean> {
  if (step.frozenLog) return await shows(stage, from, 'new');
  const id = CustomerEngagement.idOf(from);
  return (await stage.control.requests()).some(({ path, status }) => path.includes(id) && status === null);
}

async function shows(stage: Stage, seededFor: string, expected: Step['record']): Promise<boolean> {
  const { domainname } = await stage.record(seededFor);
  const name = domainname.replace(`${bed.directory.netbios}\\`, '');
  return (name === seededFor ? 'old' : name.startsWith('ns-park') ? 'parked' : 'new') === expected;
}

async function writes(stage: Stage, seededFor: string): Promise<RequestEntry[]> {
  const id = CustomerEngagement.idOf(seededFor);
  return (await stage.control.requests()).filter(({ method, path }) => method === 'PATCH' && path.includes(id));
}

function statesOf(journal: readonly Repair[], seededFor: string): string[] {
  const id = CustomerEngagement.idOf(seededFor);
  return journal.filter(({ systemuserid }) => systemuserid === id).map(({ state }) => state);
}

/** Nothing can be written to the log until the result is called. */
function freezeLog(stage: Stage): () => void {
  if (stage.engine === 'kafka') {
    stage.bed.broker.pause();
    return () => stage.bed.broker.resume();
  }
  const database = new DatabaseSync(stage.logFile);
  database.exec('BEGIN IMMEDIATE');
  return () => database.close();
}
