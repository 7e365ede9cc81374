import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FaultRule, Settings } from '../../infra/customer-engagement/control-client.ts';
import { type Probed, probe } from '../../src/customer-engagement/probe/probe.ts';
import { QUESTIONS, type Verdict } from '../../src/customer-engagement/probe/questions.ts';
import { organization, type ProbeWorld, probeWorld, RECORD, TEST_NAME, TEST_USER } from './probe-world.ts';
import type { StandIn } from './stand-in.ts';

const going = () => new AbortController().signal;

function verdicts({ findings }: Probed): Record<string, Verdict> {
  return Object.fromEntries(findings.map(({ number, verdict }) => [number, verdict]));
}

const USUAL: Record<string, Verdict> = {
  A1: 'confirmed',
  A2: 'confirmed',
  A3: 'confirmed',
  A4: 'confirmed',
  A5: 'confirmed',
  A6: 'unknown',
  A7: 'unknown',
  A8: 'confirmed',
  A9: 'confirmed',
};

let at: StandIn;

beforeAll(async () => {
  at = await organization();
});
afterAll(() => at[Symbol.asyncDispose]());
beforeEach(async () => {
  await at.control.clearFaults();
  await at.control.setSettings({});
  await at.control.clear();
});

async function recordNow() {
  return (await at.control.records()).find(({ systemuserid }) => systemuserid === TEST_USER);
}

/** It is what it was, on its own account, and the journal says so. */
async function expectPutBack({ log }: ProbeWorld): Promise<void> {
  expect(await recordNow()).toMatchObject({ ...RECORD, objectGUID: '11111111-0000-4000-8000-000000000001' });
  const last = log.repair(TEST_USER);
  if (last !== undefined) expect(last).toMatchObject({ state: 'unneeded', reason: 'names-agree', parkingAccount: null });
}

describe('SPEC rules 6 and 7: a probe that may write', () => {
  test('asks everything once, and leaves the record as it was', async () => {
    await using world = await probeWorld(at);
    const probed = await probe(world.probing, going());
    expect(verdicts(probed)).toEqual(USUAL);
    expect(probed).toMatchObject({ putBack: 'put back', problems: [], notes: [] });
    await expectPutBack(world);
    expect(await at.control.defects()).toEqual([]);
    // Nobody else's record, and nothing but what is listed before.
    const writes = (await at.control.requests()).filter(({ method }) => method !== 'GET');
    expect(writes.every(({ path, body }) => path.includes(TEST_USER) || body?.includes(TEST_USER))).toBe(true);
    const { writing } = world.probing;
    const listed = writing === undefined ? '' : QUESTIONS.flatMap(({ writes: told }) => told(writing)).join('\n');
    for (const name of world.record.sent.flatMap((sent) => sent.split(', ')))
      expect(name === TEST_NAME || listed.includes(name.replace(/-probe-.*/, '-probe-…'))).toBe(true);
  });

  test.each(['8.2', '9.0'] as const)('and so on a server that speaks %s', async (dialect) => {
    await using other = await organization(dialect);
    await using world = await probeWorld(other);
    expect(verdicts(await probe(world.probing, going()))).toEqual(USUAL);
    expect(await other.control.defects()).toEqual([]);
  });

  test('writes down what it is about to write before it does, so that a repairer would finish it', async () => {
    await using world = await probeWorld(at);
    await probe(world.probing, going());
    const journaled = world.log.history.filter(({ state }) => state === 'repairing');
    expect(journaled.length).toBeGreaterThanOrEqual(world.record.sent.length);
    expect(journaled.every(({ to, from }) => to === TEST_NAME && from === TEST_NAME)).toBe(true);
    const parked = new Set(journaled.map(({ parkingAccount }) => parkingAccount));
    expect(parked).toEqual(new Set([null, 'CORP\\ns-park-01', 'CORP\\ns-park-02']));
  });

  const OPPOSITES: [string, Partial<Settings>, Partial<typeof USUAL>][] = [
    ['A1', { unresolvableName: 'invalidArgument' }, {}],
    ['A1', { heldName: 'invalidArgument' }, {}],
    ['A2', { disabledAccounts: 'refused' }, {}],
    ['A3', { changeSets: 'accepted' }, {}],
    ['A4', { refreshesNames: true }, {}],
    ['A5', { optimisticConcurrency: false }, {}],
    ['A8', { derivesUpn: true }, {}],
    // Nothing can be written then, so the others cannot be answered.
    ['A9', { needsSystemAdministrator: true }, { A1: 'unknown', A2: 'unknown', A3: 'unknown', A4: 'unknown', A8: 'unknown' }],
  ];
  test.each(OPPOSITES)('the opposite of %s is seen: %j', async (number, settings, others) => {
    await using own = await organization();
    await own.control.setSettings(settings);
    await using world = await probeWorld(own);
    const probed = await probe(world.probing, going());
    expect(verdicts(probed)).toEqual({ ...USUAL, ...others, [number]: 'refuted' });
    expect(probed.problems).toEqual([]);
    expect(probed.findings.every(({ observations }) => observations.length > 0)).toBe(true);
    const record = (await own.control.records()).find(({ systemuserid }) => systemuserid === TEST_USER);
    const domainname = settings.derivesUpn ? 'tess@corp.example.test' : TEST_NAME;
    expect(record).toMatchObject({ ...RECORD, domainname, objectGUID: '11111111-0000-4000-8000-000000000001' });
  });

  test.each([['A6', { keepsFormerAccounts: true }]] as const)(
    'the opposite of %s cannot be seen, and is not denied: %j',
    async (number, settings) => {
      await using own = await organization();
      await own.control.setSettings(settings);
      await using world = await probeWorld(own);
      const probed = await probe(world.probing, going());
      expect(probed.findings.find((finding) => finding.number === number)).toMatchObject({
        verdict: 'unknown',
        advice: expect.stringContaining('log on now'),
      });
      expect(probed.putBack).toBe('put back');
    },
  );

  test('nor is that of A7, a server that lags behind', async () => {
    await at.control.setLag(200);
    await using world = await probeWorld(at);
    const probed = await probe(world.probing, going());
    await at.control.setLag(0);
    expect(verdicts(probed).A7).toBe('unknown');
    await expectPutBack(world);
  });

  test('a System Administrator learns nothing about A9, whoever may not read roles does', async () => {
    await at.control.setSettings({ callerRoles: ['System Administrator'] });
    await using one = await probeWorld(at);
    expect(verdicts(await probe(one.probing, going())).A9).toBe('unknown');
    await at.control.setSettings({ deniedPrivileges: ['prvReadRole'] });
    await using other = await probeWorld(at);
    expect(verdicts(await probe(other.probing, going())).A9).toBe('confirmed');
  });

  const PATCHES = Array.from({ length: 12 }, (_, index) => index + 1);
  const FAULTS: [string, FaultRule['fault']][] = [
    ['cut before it arrived', { kind: 'drop-before' }],
    ['cut after it was done', { kind: 'drop-after-write' }],
    ['answered by half', { kind: 'truncate' }],
    ['refused', { kind: 'status', status: 500, message: 'An unexpected error occurred.' }],
    ['answered by an error although it was done', { kind: 'status', status: 500, message: 'An unexpected error occurred.', when: 'after' }],
  ];
  test.each(FAULTS)('a write that is %s, whichever it is: the record is put back', async (_, fault) => {
    for (const nth of PATCHES) {
      await at.control.setFaults([{ match: { method: 'PATCH', nth }, fault }]);
      await using world = await probeWorld(at);
      const probed = await probe(world.probing, going());
      expect(probed).toMatchObject({ putBack: 'put back', problems: [] });
      await expectPutBack(world);
    }
  });

  test('a server that goes away while the record is parked, and comes back', async () => {
    await using world = await probeWorld(at);
    await at.control.setFaults([{ match: { nth: 8, times: 20 }, fault: { kind: 'drop-before' } }]);
    expect(await probe(world.probing, going())).toMatchObject({ putBack: 'put back' });
    await expectPutBack(world);
  });

  test('one that does not come back: it is said, and the journal is left to the next repairer', async () => {
    await using world = await probeWorld(at, { patience: { putBackWithin: 500, again: 20, late: 20 } });
    await at.control.setFaults([
      { match: { method: 'PATCH', nth: 4, times: 1_000 }, fault: { kind: 'status', status: 503, message: 'away' } },
    ]);
    const probed = await probe(world.probing, going());
    expect(probed).toMatchObject({ putBack: 'not put back', problems: [expect.stringContaining('away')] });
    const last = world.log.repair(TEST_USER);
    expect(last).toMatchObject({ state: 'repairing', from: TEST_NAME, to: TEST_NAME });
    expect(probed.findings.at(-1)).toMatchObject({ verdict: 'unknown', observations: ['not asked: the record could not be put back'] });
    await at.control.clearFaults();
    await at.ce.setDomainName(TEST_USER, TEST_NAME).catch(() => {});
    expect((await recordNow())?.domainname).toBe(TEST_NAME);
  });

  test('a stop at any moment: what is under way is not cut off, and the record is put back', async () => {
    await at.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 20, when: 'after' } }]);
    for (let wait = 0; wait <= 300; wait += 30) {
      await using world = await probeWorld(at);
      const stop = new AbortController();
      setTimeout(() => stop.abort(), wait);
      const probed = await probe(world.probing, stop.signal);
      expect(probed.problems).toEqual([]);
      expect(probed.findings).toHaveLength(9);
      await expectPutBack(world);
    }
  });

  test('SPEC rule 8: another repairer took over: nothing more is written', async () => {
    await using world = await probeWorld(at);
    let confirmed = 0;
    const confirm = world.repairer.confirm.bind(world.repairer);
    Object.assign(world.repairer, {
      confirm: async () => {
        if (++confirmed > 3) await world.log.openRepairer('contoso', going());
        await confirm();
      },
    });
    const probed = await probe(world.probing, going());
    expect(probed.putBack).toBe('not put back');
    expect(probed.problems.join()).toContain('Somebody else may be repairing');
    const writes = (await at.control.requests()).filter(({ method }) => method === 'PATCH');
    expect(writes).toHaveLength(3);
    await at.ce.setDomainName(TEST_USER, TEST_NAME);
  });
});

test('a probe that may only read writes nothing', async () => {
  await using world = await probeWorld(at);
  const probed = await probe({ ...world.probing, writing: undefined }, going());
  expect(probed).toMatchObject({ putBack: 'nothing written' });
  expect(verdicts(probed)).toEqual({ ...Object.fromEntries(Object.keys(USUAL).map((number) => [number, 'unknown'])), A5: 'confirmed' });
  expect((await at.control.requests()).every(({ method }) => method === 'GET')).toBe(true);
  expect(world.log.history).toEqual([]);
});
