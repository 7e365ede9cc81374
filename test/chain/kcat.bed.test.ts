import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bed, startBed } from '../../infra/testbed/bed.ts';
import { run } from '../../infra/testbed/run.ts';
import { topicRecords } from '../support/chain-history.ts';
import { Stage } from '../support/chain-stage.ts';
import { until } from '../support/chain-wait.ts';

let bed: Bed;

beforeAll(async () => {
  bed = await startBed({ brokers: 1, customerEngagement: true, users: 5 });
});

afterAll(async () => {
  await bed?.[Symbol.asyncDispose]();
});

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const SID = /^S-1-5-21(-\d+){4}$/;

describe('a reader that knows nothing of the product, kcat', () => {
  it('prints keys, CloudEvents headers and values as they are documented', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await stage.start();
    const { admin } = stage;
    const kinds = ['renamed', 'upn-changed', 'profile-updated', 'disabled', 'enabled', 'created', 'deleted'];
    const told = async (count: number) => await until(`${count} events`, async () => (await events(stage)).length === count);
    const ann = bed.directory.people[0];
    const { objectGUID = '', dn = '' } = ann ?? {};
    // One by one, so that no two of them become one.
    await admin.rename(objectGUID, 'alee-okafor');
    await told(1);
    await admin.set(objectGUID, { userPrincipalName: 'ann@corp.example.test' });
    await told(2);
    await admin.set(objectGUID, { sn: 'Okafor', mail: null });
    await told(3);
    await admin.disable(objectGUID);
    await told(4);
    await admin.enable(objectGUID);
    await told(5);
    const created = await admin.create({ sAMAccountName: 'alee' });
    await told(6);
    await admin.delete(created.objectGUID);
    await told(7);

    const records = await events(stage);
    records.forEach(({ key, headers, value }, index) => {
      const guid = index < 5 ? objectGUID : created.objectGUID;
      expect(key).toBe(guid);
      expect(headers).toEqual({
        ce_specversion: '1.0',
        ce_id: expect.stringContaining(guid),
        ce_source: `ldap:///${bed.directory.namingContext}`,
        ce_type: `namesake.identity.${kinds[index]}`,
        ce_subject: guid,
        ce_time: expect.stringMatching(TIME),
        ce_sequence: String(index + 1).padStart(16, '0'),
        'content-type': expect.stringMatching(/^application\/json/),
      });
      expect(value).toMatchObject({ sequence: index + 1, kind: kinds[index], objectGUID: guid });
    });
    expect(new Set(records.map(({ headers }) => headers.ce_id)).size).toBe(records.length);

    const before = {
      objectGUID,
      objectSid: expect.stringMatching(SID),
      domain: 'CORP',
      sAMAccountName: 'alee',
      userPrincipalName: 'alee@corp.example.test',
      displayName: 'Ann Lee',
      givenName: 'Ann',
      sn: 'Lee',
      mail: 'ann.lee@corp.example.test',
      enabled: true,
    };
    const dc = bed.directory.hostName.replace('dc1', 'DC1');
    const origin = {
      version: 2,
      time: expect.stringMatching(TIME),
      invocationId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      usn: expect.stringMatching(/^\d+$/),
      dc,
    };
    const observed = { time: expect.stringMatching(TIME), dc, via: 'dirsync', dn, origin };
    const [renamed, principal, profile, disabled, , takenOver, deleted] = records.map(({ value }) => value);
    expect(renamed).toEqual({
      sequence: 1,
      kind: 'renamed',
      objectGUID,
      changed: ['sAMAccountName'],
      before,
      after: { ...before, sAMAccountName: 'alee-okafor' },
      caseOnly: false,
      formerHolder: null,
      observed,
    });
    expect(principal).toMatchObject({ changed: ['userPrincipalName'], after: { userPrincipalName: 'ann@corp.example.test' } });
    expect([...((profile?.changed ?? []) as string[])].sort()).toEqual(['mail', 'sn']);
    expect(profile?.after).not.toHaveProperty('mail');
    expect(disabled).toMatchObject({ changed: ['enabled'], before: { enabled: true }, after: { enabled: false } });
    expect(takenOver).toMatchObject({ changed: [], before: null, after: { sAMAccountName: 'alee' }, formerHolder: objectGUID });
    expect(deleted).toMatchObject({ changed: [], before: { sAMAccountName: 'alee' }, after: null });
  });

  it('finds the present identity of everybody in the state topic, and the repair in its own', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await stage.start();
    await stage.rename('user00001', 'user00001.2');
    await stage.canLogOn('user00001.2');
    const gone = await stage.admin.find('user00002');
    await stage.admin.delete(gone?.objectGUID ?? '');
    await until('the deletion is known', async () => (await events(stage)).length === 2);
    // A transaction shows on each topic in its own time.
    const states = await until('the state topic knows it too', async () => {
      const shown = new Map((await topic(stage, 'identity-state')).map(({ key, payload }) => [key, payload]));
      return shown.get(gone?.objectGUID ?? '') === null && shown;
    });
    const { objectGUID = '' } = (await stage.admin.find('user00001.2')) ?? {};
    expect(JSON.parse(states.get(objectGUID) ?? '')).toMatchObject({ objectGUID, sAMAccountName: 'user00001.2', domain: 'CORP' });

    const steps = await until('the outcome', async () => {
      const journal = (await topic(stage, 'ce-repair')).map(({ payload }) => JSON.parse(payload ?? '') as Record<string, unknown>);
      return journal.at(-1)?.state === 'repaired' && journal;
    });
    const names = { from: 'CORP\\user00001', to: 'CORP\\user00001.2', objectGUID, organization: 'contoso' };
    expect(steps[0]).toMatchObject({ ...names, state: 'repairing', parkingAccount: 'CORP\\ns-park-01' });
    expect(steps.at(-1)).toMatchObject({ ...names, state: 'repaired', parkingAccount: null, eventId: steps[0]?.eventId });
  });

  it('prints a line as people read it', async () => {
    await using stage = await Stage.prepare(bed, 'kafka');
    await stage.start();
    await stage.rename('user00003', 'user00003.2');
    const line = await until('the event', async () => {
      const format = ['-f', '%k\n%h\n%s\n', '-o', 'beginning', '-e', '-q'];
      const text = await run('kcat', ['-C', '-b', bed.broker.bootstrap.join(','), '-t', `${stage.topicPrefix}identity-change`, ...format]);
      return text !== '' && text;
    });
    const [key, headers, value = ''] = line.split('\n');
    expect(key).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(headers).toContain('ce_type=namesake.identity.renamed');
    expect(JSON.parse(value)).toMatchObject({ before: { sAMAccountName: 'user00003' }, after: { sAMAccountName: 'user00003.2' } });
  });
});

interface Printed {
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Readonly<Record<string, unknown>>;
}

async function events(stage: Stage): Promise<Printed[]> {
  return (await topic(stage, 'identity-change')).map(({ key, headers = [], payload }) => ({
    key,
    headers: Object.fromEntries(Array.from({ length: headers.length / 2 }, (_, index) => [headers[2 * index], headers[2 * index + 1]])),
    value: JSON.parse(payload ?? '') as Record<string, unknown>,
  }));
}

async function topic(stage: Stage, name: string) {
  return await topicRecords(bed.broker.bootstrap.join(','), stage.topicPrefix + name);
}
