import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import { describeProbe, type ProbeReport, probeReport } from '../../src/cli/probe-report.ts';
import type { Repair } from '../../streams/repair.ts';
import { repair } from '../../streams/repairer/repairer.ts';
import { baseline, LINK, organization, PARKING, RECORD, TEST_NAME, TEST_USER } from '../customer-engagement/probe-world.ts';
import { CALLER, type StandIn, TOKEN } from '../customer-engagement/stand-in.ts';
import { type CliResult, Command, namesake } from '../support/chain-cli.ts';
import { until } from '../support/chain-wait.ts';

/** Documented in the README. */
const [OK, FAILED, USAGE, FORCED] = [0, 1, 2, 5];

let path: string;
let at: StandIn;
let count = 0;

beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), 'namesake-probe-'));
  at = await organization();
  await writeFile(join(path, 'token'), TOKEN);
  await writeFile(join(path, 'password'), 'pass');
});

afterAll(async () => {
  await at[Symbol.asyncDispose]();
  await rm(path, { recursive: true });
});

beforeEach(async () => {
  await at.control.clearFaults();
  await at.control.setSettings({});
  await at.control.clear();
});

interface Place {
  readonly config: string;
  readonly logFile: string;
}

/** Settings and a log of their own, in which the listener has read everything and the test user is linked. */
async function place(settings: object = {}, { linked = true, repairs = [] as Repair[] } = {}): Promise<Place> {
  const state = join(path, `state-${++count}`);
  const logFile = join(state, 'namesake.db');
  const config = join(path, `namesake-${count}.yaml`);
  const { url, apiVersion, caFile } = at.settings;
  const auth = { method: 'bearer', tokenFile: join(path, 'token') };
  await writeFile(
    config,
    stringify({
      directories: [{ urls: ['ldaps://127.0.0.1:1'], bindDn: 'svc', passwordFile: join(path, 'password'), deadline: '1s' }],
      organizations: [{ name: 'contoso', url, apiVersion, caFile, auth, parkingAccounts: PARKING, ...settings }],
      stateDirectory: state,
    }),
  );
  const signal = new AbortController().signal;
  if (!linked) return { config, logFile };
  await using log = new SqliteLog(logFile);
  await using listener = await log.openListener(signal);
  await listener.append(baseline());
  await using repairer = await log.openRepairer('contoso', signal);
  await repairer.record({ links: [LINK], repairs });
  return { config, logFile };
}

const repairOf = (more: Partial<Repair>): Repair => ({
  organization: 'contoso',
  systemuserid: TEST_USER,
  objectGUID: LINK.objectGUID,
  state: 'waiting',
  reason: 'dry-run',
  message: null,
  from: TEST_NAME,
  to: TEST_NAME,
  parkingAccount: null,
  attempts: 0,
  notBefore: null,
  eventId: 'x',
  sequence: 0,
  times: { observed: '2026-11-01T08:00:00Z' },
  at: '2026-11-01T08:00:00Z',
  ...more,
});

async function probe({ config }: Place, ...args: string[]): Promise<CliResult> {
  return await namesake(['probe', '--config', config, '--user', TEST_NAME, ...args]);
}

async function recordNow() {
  return (await at.control.records()).find(({ systemuserid }) => systemuserid === TEST_USER);
}

async function expectNothingWritten(): Promise<void> {
  expect((await at.control.requests()).every(({ method }) => method === 'GET')).toBe(true);
}

describe('namesake probe', () => {
  it('without --write: writes nothing, needs no log, and can be shown to others', async () => {
    const { code, stdout } = await probe(await place({}, { linked: false }));
    expect(code).toBe(OK);
    expect(stdout).toMatch(
      /^Namesake 0\.\d+\.\d+, probe of .*\nServer 9\.1\.1\.1, Web API v9\.1, logging on by bearer\nTest user CORP\\tess, read only: nothing written\n/,
    );
    expect(stdout).toMatch(/A5 {2}CONFIRMED/);
    expect(stdout).toMatch(/A2 {2}UNKNOWN[^\n]*\n {6}seen: not asked: it takes writing \(--write\)/);
    expect(stdout).toContain('1 confirmed, 0 refuted, 8 unknown');
    await expectNothingWritten();
  });

  it('with --write: tells first what will be written, asks, and puts back', async () => {
    const where = await place();
    const refused = await probe(where, '--write');
    expect([refused.code, refused.stdout]).toEqual([FAILED, '']);
    expect(refused.stderr).toMatch(/will be set[\s\S]*A1 {2}CORP\\ns-probe-…[\s\S]*A2 {2}CORP\\ns-park-02, and its own name again/);
    await expectNothingWritten();
    const { code, stdout, stderr } = await probe(where, '--write', '--yes');
    expect([code, stderr.includes('Write this?')]).toEqual([OK, false]);
    expect(stdout).toContain('Test user CORP\\tess, with writing: put back');
    expect(stdout).toContain('7 confirmed, 0 refuted, 2 unknown');
    expect(await recordNow()).toMatchObject(RECORD);
    await using log = new SqliteLog(where.logFile, { create: false });
    expect((await log.status()).repairs).toMatchObject([{ state: 'unneeded', message: 'written by namesake probe, and put back' }]);
  });

  it('SPEC rule 10: the report holds no secret, and no name but that of the test user', async () => {
    await at.control.setSettings({ heldName: 'invalidArgument', deniedPrivileges: ['prvWriteUser'] });
    const { code, stdout } = await probe(await place(), '--write', '--yes', '--json');
    expect(code).toBe(OK);
    const report = JSON.parse(stdout) as ProbeReport;
    expect(report).toMatchObject({ testUser: TEST_NAME, putBack: 'put back', mode: 'with writing' });
    expect(report.findings.map(({ number }) => number)).toEqual(['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'A8', 'A9']);
    expect(stdout).toContain('is missing prvWriteUser privilege');
    for (const secret of [TOKEN, CALLER, new URL(at.origin).host, 'svc-namesake', 'ns-park-0', 'Tess Test', 'theresa'])
      expect(stdout).not.toContain(secret);
  });

  it.each([
    ['a user who is not there', {}, ['--user', 'CORP\\nobody'], /no record with the systemuserid or user name/],
    ['the service itself', {}, ['--user', CALLER], /it is the record of the service itself/],
    ['one whom the settings do not touch', { doNotTouch: { users: [TEST_NAME] } }, [], /is on the list of users that are not touched/],
    [
      'other hours',
      {
        changeWindow: {
          days: [new Date(Date.now() + 3 * 86_400_000).toLocaleDateString('en', { weekday: 'short' }).toLowerCase()],
          from: '00:00',
          to: '00:01',
        },
      },
      [],
      /written at other hours/,
    ],
    ['parking accounts that are none', { parkingAccounts: ['CORP\\tess', 'CORP\\missing'] }, [], /it is on a parking account/],
    [
      'no usable parking account',
      { parkingAccounts: ['CORP\\svc-namesake', 'CORP\\missing'] },
      [],
      /no parking account is free; .*holds it.*; CORP\\missing: there is no such account/,
    ],
  ])('refuses %s, and writes nothing', async (_, settings, args, message) => {
    const { code, stdout, stderr } = await probe(await place(settings), '--write', '--yes', ...args);
    expect([code, stdout]).toEqual([FAILED, '']);
    expect(stderr).toMatch(message);
    await expectNothingWritten();
  });

  it.each([
    ['waits in a dry run', repairOf({}), /its repair is waiting \(dry-run\)/],
    ['is under way', repairOf({ state: 'repairing', reason: null, parkingAccount: 'CORP\\ns-park-01' }), /its repair is repairing/],
    ['needs a person', repairOf({ state: 'needs-person', reason: 'refused' }), /its repair is needs-person \(refused\)/],
  ])('refuses a record whose repair %s', async (_, open, message) => {
    const { code, stderr } = await probe(await place({}, { repairs: [open] }), '--write', '--yes');
    expect(code).toBe(FAILED);
    expect(stderr).toMatch(message);
    await expectNothingWritten();
  });

  it('refuses a record that is linked to no account, and makes no log', async () => {
    const where = await place({}, { linked: false });
    const { code, stderr } = await probe(where, '--write', '--yes');
    expect(code).toBe(FAILED);
    expect(stderr).toMatch(/not known which account it belongs to: run "namesake run --dry-run"/);
    expect(existsSync(where.logFile)).toBe(false);
    await expectNothingWritten();
  });

  it('SPEC rule 7: refuses while a repairer is at work', async () => {
    const where = await place();
    await using log = new SqliteLog(where.logFile);
    await using _ = await log.openRepairer('contoso', new AbortController().signal);
    const { code, stderr } = await probe(where, '--write', '--yes');
    expect(code).toBe(FAILED);
    expect(stderr).toContain('a repairer is at work for contoso: stop it');
    await expectNothingWritten();
  });

  it('--yes without --write is a mistake, and so is no user', async () => {
    const where = await place();
    expect((await probe(where, '--yes')).stderr).toContain('--yes goes with --write');
    expect((await namesake(['probe', '--config', where.config])).code).toBe(USAGE);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'SPEC rule 7: %s while the record is parked: it is put back, and the report says what was not asked',
    async (signal) => {
      const where = await place();
      await at.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 300, when: 'after' } }]);
      await using command = new Command(['probe', '--config', where.config, '--user', TEST_NAME, '--write', '--yes']);
      await until('the record is parked', async () => /park/.test((await recordNow())?.domainname ?? ''), 20_000, 5);
      process.kill(command.pid ?? 0, signal);
      const { code, stdout, stderr } = await command.ended;
      expect(stderr).toContain(`${signal}: putting the record back`);
      expect([code, stdout.includes('with writing: put back')]).toEqual([OK, true]);
      expect(stdout).toContain('not asked: the probe was stopped');
      expect(await recordNow()).toMatchObject(RECORD);
    },
  );

  it('SPEC rule 7: killed while the record is parked: the next repairer puts it back', async () => {
    const where = await place();
    await at.control.setFaults([{ match: { method: 'PATCH' }, fault: { kind: 'latency', ms: 500, when: 'after' } }]);
    {
      await using command = new Command(['probe', '--config', where.config, '--user', TEST_NAME, '--write', '--yes']);
      await until('the record is parked', async () => /park/.test((await recordNow())?.domainname ?? ''), 20_000, 5);
      process.kill(command.pid ?? 0, 'SIGKILL');
      await command.ended;
    }
    expect((await recordNow())?.domainname).toMatch(/park/);
    await at.control.clearFaults();
    await using log = new SqliteLog(where.logFile);
    const stop = new AbortController();
    const settings = {
      parkingAccounts: PARKING,
      linkEvery: 60_000,
      nameLag: 60_000,
      newsEvery: 60_000,
      requestsEvery: 3_000,
      trusted: [],
      doNotTouch: { users: [], businessUnits: [], values: [] },
      recreated: 'ask' as const,
      parallel: 2,
      dryRun: false,
      oneStep: false,
      writeNames: false,
    };
    const ended = Promise.withResolvers<void>();
    repair(at.ce, log, settings, stop.signal).subscribe({ error: ended.reject, complete: ended.resolve });
    await until('it is put back', async () => (await recordNow())?.domainname === TEST_NAME, 20_000);
    stop.abort();
    await ended.promise;
    expect((await log.status()).repairs).toMatchObject([{ state: 'repaired', parkingAccount: null }]);
  });

  it('a server that goes away for good: a second signal ends the waiting, and says who puts it back', async () => {
    const where = await place();
    await at.control.setFaults([
      { match: { method: 'PATCH', nth: 4, times: 10_000 }, fault: { kind: 'status', status: 503, message: 'away' } },
    ]);
    await using command = new Command(['probe', '--config', where.config, '--user', TEST_NAME, '--write', '--yes']);
    await until('the record is parked', async () => /park/.test((await recordNow())?.domainname ?? ''), 20_000, 5);
    process.kill(command.pid ?? 0, 'SIGINT');
    await until('the signal was heard', async () => command.stderr.includes('putting the record back'), 5_000, 5);
    process.kill(command.pid ?? 0, 'SIGINT');
    const { code, stderr } = await command.ended;
    expect(code).toBe(FORCED);
    expect(stderr).toContain('start namesake repair, which puts it back');
    await at.control.clearFaults();
    await at.ce.setDomainName(TEST_USER, TEST_NAME);
  });
});

describe('the report', () => {
  const probed = {
    findings: [
      {
        number: 'A1',
        assumption: 'x',
        verdict: 'unknown',
        observations: ['contoso: cut off; CORP\\ns-park-01 at crm.corp.test:8443 for ben@corp.test'],
      },
    ],
    putBack: 'not put back',
    problems: [`contoso: away (${CALLER}, ${TEST_USER})`],
    notes: [],
  } as const;
  const report = probeReport({
    probed,
    namesake: '0.1.0',
    date: '2026-11-27T08:00:00Z',
    customerEngagement: { version: '9.1', apiVersion: 'v9.1', logon: 'bearer' },
    mode: 'with writing',
    user: { systemuserid: TEST_USER, domainname: TEST_NAME, userPrincipalName: undefined },
    organization: { name: 'contoso', url: 'https://crm.corp.test:8443/contoso', parkingAccounts: PARKING },
  });

  it('SPEC rule 7: of a record that could not be put back says which, and what to do', () => {
    const text = describeProbe(report);
    expect(text).toContain('Test user CORP\\tess, with writing: not put back');
    expect(text).toMatch(/PROBLEM: away \(\(id\), 0+-0000-4000-8000-0+1\)/);
    expect(text).toContain(`THE RECORD ${TEST_USER} IS NOT AS IT WAS. Its user name has to be CORP\\tess.`);
    expect(text).toContain('Start "namesake repair"');
  });

  it('SPEC rule 10: shows neither the server nor anybody else', () => {
    expect(report.findings[0]?.observations).toEqual(['cut off; parking account 1 at (server) for (address)']);
  });
});
