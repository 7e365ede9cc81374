import { describe, expect, test } from 'vitest';
import { CustomerEngagementError, type CustomerEngagementFailure } from '../../../streams/customer-engagement.ts';
import { type Repair, RepairReason, RepairState } from '../../../streams/repair.ts';
import { type Decision, decide, type Situation } from '../../../streams/repairer/decide.ts';
import { type Meaning, meaningOf } from '../../../streams/repairer/repair-failures.ts';
import { CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME } from '../../support/memory-customer-engagement.ts';
import { guid } from '../../support/memory-directory.ts';
import { type Account, DECISIONS, type Obstacle, REASONS, type Row, type Shows } from './decision-table.ts';

const PROFILE = {
  fullname: 'Ann Lee',
  firstname: 'Ann',
  lastname: 'Lee',
  internalemailaddress: '',
  employeeid: '',
  businessunitid: '',
  modifiedon: '',
  mark: '',
};
const OWN = guid('record', 99);

function aRepair(rest: Partial<Repair> = {}): Repair {
  return {
    organization: 'contoso',
    systemuserid: guid('record', 1),
    objectGUID: guid('account', 1),
    state: 'waiting',
    reason: null,
    message: null,
    from: 'CORP\\alee',
    to: 'CORP\\ann',
    parkingAccount: null,
    attempts: 0,
    notBefore: null,
    eventId: 'e1',
    sequence: 1,
    times: { observed: '2026-01-01T00:00:00.000Z' },
    at: '2026-01-01T00:00:00.000Z',
    ...rest,
  };
}

function aRecord(domainname: string, number = 1, special = false) {
  return { ...PROFILE, systemuserid: guid('record', number), domainname, isdisabled: false, special };
}

const NAMES: Record<Shows, string> = {
  'no record': '',
  'own record': 'CORP\\alee',
  'special user': 'CORP\\alee',
  'new name': 'CORP\\Ann',
  'parking account': 'CORP\\NS-PARK-01',
  'known name': 'CORP\\alee',
  "another account's name": 'CORP\\bob',
};

function situation(shows: Shows, account: Account, obstacle: Obstacle, told = aRepair()): Situation {
  const repair = account === 'out of scope' ? { ...told, leftScope: true } : told;
  const record = aRecord(NAMES[shows], shows === 'own record' ? 99 : 1, shows === 'special user');
  return {
    repair: shows === 'parking account' ? { ...repair, parkingAccount: 'CORP\\ns-park-01' } : repair,
    identity: account !== 'present' ? undefined : { objectGUID: guid('account', 1), domain: 'CORP', sAMAccountName: 'ann', enabled: true },
    record: shows === 'no record' ? undefined : record,
    own: OWN,
    holder: obstacle === 'another record' ? aRecord('CORP\\ann', 2) : undefined,
    exchanging: obstacle === 'exchanging record' ? aRepair({ systemuserid: guid('record', 3) }) : undefined,
    sharing:
      obstacle === 'another account' ? { objectGUID: guid('account', 2), domain: 'CORP', sAMAccountName: 'Ann', enabled: true } : undefined,
    unheard: obstacle === 'former holder' ? guid('account', 9) : undefined,
    inFront: undefined,
    untouched: undefined,
    withheld: undefined,
    oneStep: false,
    names: undefined,
    givenAway: shows === "another account's name",
    parkingAccount: obstacle === 'no parking account' ? undefined : 'CORP\\ns-park-01',
  };
}

function rowOf(decision: Decision): Row {
  if (decision.step !== 'end' && decision.step !== 'wait') return decision.step;
  return decision.reason === null || decision.reason === 'names-agree' ? 'repaired or unneeded' : decision.reason;
}

describe('decide', () => {
  const cases = (Object.keys(DECISIONS) as Shows[]).flatMap((shows) =>
    (Object.keys(DECISIONS[shows]) as Account[]).flatMap((account) =>
      (Object.keys(DECISIONS[shows][account]) as Obstacle[]).map((obstacle) => ({
        shows,
        account,
        obstacle,
        row: DECISIONS[shows][account][obstacle],
      })),
    ),
  );

  test.each(cases)('SPEC rule 6: shows $shows, account $account, in the way: $obstacle → $row', ({ shows, account, obstacle, row }) => {
    const decision = decide(situation(shows, account, obstacle));
    expect(rowOf(decision)).toBe(row);
    if (decision.step === 'end') expect(REASONS[decision.state]).toContain(decision.reason);
    if (decision.step === 'wait') expect(REASONS.waiting).toContain(decision.reason);
  });

  test('SPEC rule 6: every reason belongs to a state, and every state has its reasons', () => {
    expect(Object.keys(REASONS)).toEqual(RepairState.options);
    expect(new Set(Object.values(REASONS).flat())).toEqual(new Set([null, ...RepairReason.options]));
  });

  test('SPEC rule 7: a record of a deleted account that is on a parking account needs a person, elsewhere nothing', () => {
    expect(decide(situation('parking account', 'deleted', 'none'))).toMatchObject({ state: 'needs-person', reason: 'account-deleted' });
    expect(decide(situation('known name', 'deleted', 'none'))).toMatchObject({ state: 'unneeded', reason: 'account-deleted' });
  });

  test('SPEC rule 8: the right name is a repair when something was written for it, else none was needed', () => {
    const parked = { observed: '2026-01-01T00:00:00.000Z', parked: '2026-01-01T00:00:01.000Z' };
    const outcomes = [aRepair(), aRepair({ state: 'repairing' }), aRepair({ times: parked })].map((repair) =>
      decide(situation('new name', 'present', 'none', repair)),
    );
    expect(outcomes).toMatchObject([{ state: 'unneeded', reason: 'names-agree' }, { state: 'repaired' }, { state: 'repaired' }]);
  });

  test("SPEC rule 8: the goal is the account's present name, whatever the journal says", () => {
    const repair = aRepair({ to: 'CORP\\stale' });
    expect(decide(situation('known name', 'present', 'none', repair))).toEqual({
      step: 'park',
      account: 'CORP\\ns-park-01',
      to: 'CORP\\ann',
    });
    expect(decide(situation('parking account', 'present', 'none', repair))).toEqual({ step: 'name', to: 'CORP\\ann' });
  });
});

describe('meaningOf', () => {
  const MEANINGS: Record<CustomerEngagementFailure, Meaning> = {
    transient: { step: 'wait', reason: 'unavailable' },
    'unknown-outcome': { step: 'wait', reason: 'unavailable' },
    held: { step: 'end', reason: 'held-by-another-record' },
    'not-in-directory': { step: 'wait', reason: 'not-in-directory-yet' },
    credentials: { step: 'wait', reason: 'credentials-refused' },
    privilege: { step: 'wait', reason: 'privilege-missing' },
    impossible: { step: 'end', reason: 'special-user' },
    missing: { step: 'end', reason: 'record-missing' },
    conflict: { step: 'wait', reason: 'unavailable' },
    refused: { step: 'end', reason: 'refused' },
  };

  test.each(Object.entries(MEANINGS))('%s', (failure, meaning) => {
    const error = new CustomerEngagementError(failure as CustomerEngagementFailure, '');
    expect(meaningOf(error, { attempts: 4, formerHolder: null, parkingAccount: null })).toEqual(meaning);
  });

  test('a refusal of unknown kind is tried once more', () => {
    expect(meaningOf(new CustomerEngagementError('refused', ''), { attempts: 0, formerHolder: null, parkingAccount: null })).toMatchObject({
      step: 'wait',
    });
  });

  test('SPEC rule 7: of a parked record more often, since nobody can log on as that person, and not for ever', () => {
    const refused = new CustomerEngagementError('refused', '');
    const parkingAccount = 'CORP\\ns-park-1';
    expect(meaningOf(refused, { attempts: 59, formerHolder: null, parkingAccount })).toEqual({ step: 'wait', reason: 'unavailable' });
    expect(meaningOf(refused, { attempts: 60, formerHolder: null, parkingAccount })).toEqual({ step: 'end', reason: 'refused' });
  });

  test("a held name is tried again while the listener or the server may lag, longer when it was another account's, and not for ever", () => {
    const held = new CustomerEngagementError('held', '');
    const formerHolder = guid('account', 2);
    expect(meaningOf(held, { attempts: 0, formerHolder: null, parkingAccount: null })).toMatchObject({ step: 'wait' });
    expect(meaningOf(held, { attempts: 10, formerHolder, parkingAccount: null })).toEqual({ step: 'wait', reason: 'not-in-directory-yet' });
    expect(meaningOf(held, { attempts: 100, formerHolder, parkingAccount: null })).toMatchObject({
      step: 'end',
      reason: 'held-by-another-record',
    });
  });

  test('the own record is told from special users by its code', () => {
    const error = new CustomerEngagementError('impossible', '', { code: CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME });
    expect(meaningOf(error, { attempts: 0, formerHolder: null, parkingAccount: null })).toEqual({ step: 'end', reason: 'own-record' });
  });
});
