import type { ParkingAccount, Probing } from '../../src/customer-engagement/probe/questions.ts';
import { ProbedServer } from '../../src/customer-engagement/probe/server.ts';
import { type Patience, TestRecord } from '../../src/customer-engagement/probe/test-record.ts';
import type { RepairerLog } from '../../streams/change-log.ts';
import type { Identity } from '../../streams/identity.ts';
import { Position } from '../../streams/position.ts';
import type { Link } from '../../streams/repair.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { CALLER, type DirectoryAccount, type StandIn, standIn } from './stand-in.ts';

export const TEST_USER = '00000000-0000-4000-8000-000000000001';
export const TEST_NAME = 'CORP\\tess';
export const PARKING = ['CORP\\ns-park-01', 'CORP\\ns-park-02'];

const account = (number: number, sAMAccountName: string, more: Partial<DirectoryAccount> = {}): DirectoryAccount => ({
  objectGUID: `11111111-0000-4000-8000-${String(number).padStart(12, '0')}`,
  objectSid: `S-1-5-21-1-2-3-${number}`,
  sAMAccountName,
  ...more,
});

/** A test user whose names differ from those in the directory, and two parking accounts of which one is disabled. */
export const ACCOUNTS: readonly DirectoryAccount[] = [
  account(1, 'tess', { userPrincipalName: 'tess@corp.example.test', givenName: 'Theresa', sn: 'Test', mail: 'theresa@corp.example.test' }),
  account(2, 'svc-namesake'),
  account(3, 'ns-park-01', { userPrincipalName: 'ns-park-01@corp.example.test' }),
  account(4, 'ns-park-02', { enabled: false }),
];

export const RECORD = {
  systemuserid: TEST_USER,
  fullname: 'Tess Test',
  firstname: 'Tess',
  lastname: 'Test',
  internalemailaddress: 'tess@corp.example.test',
  domainname: TEST_NAME,
};

export async function organization(dialect: '8.2' | '9.0' | '9.1' = '9.1'): Promise<StandIn> {
  return await standIn(dialect, ACCOUNTS, [RECORD, { systemuserid: CALLER, fullname: 'Namesake', domainname: 'CORP\\svc-namesake' }]);
}

export const IDENTITIES: readonly Identity[] = ACCOUNTS.map(({ givenName, sn, mail, userPrincipalName, enabled = true, ...rest }) => ({
  ...rest,
  domain: 'CORP',
  enabled,
  ...(userPrincipalName !== undefined && { userPrincipalName }),
  ...(givenName !== undefined && { givenName }),
  ...(sn !== undefined && { sn }),
  ...(mail !== undefined && { mail }),
}));

export const LINK: Link = {
  organization: 'contoso',
  objectGUID: ACCOUNTS[0]?.objectGUID ?? '',
  systemuserid: TEST_USER,
  domainname: TEST_NAME,
  learned: '2026-11-01T08:00:00Z',
};

/** What a listener writes after its first read. */
export function baseline() {
  const position = Position.parse({
    namingContext: 'DC=x',
    dc: 'dc1',
    invocationId: 'i',
    highestCommittedUSN: '1',
    filter: '',
    attributes: [],
    cookie: '1',
  });
  return { namingContext: 'DC=x', changes: [], identities: new Map(IDENTITIES.map((one) => [one.objectGUID, one])), position };
}

export interface ProbeWorld extends AsyncDisposable {
  readonly log: MemoryChangeLog;
  readonly repairer: RepairerLog;
  readonly probing: Probing;
  readonly record: TestRecord;
}

const SHORT: Patience = { putBackWithin: 3_000, again: 20, late: 50 };

/** A probe that may write, on a log that knows the test user. */
export async function probeWorld(at: StandIn, { patience = SHORT, deadline = 30_000 } = {}): Promise<ProbeWorld> {
  const log = new MemoryChangeLog();
  log.append(baseline());
  log.links.push(LINK);
  const repairer = await log.openRepairer('contoso', new AbortController().signal);
  const ce = at.client({ deadline });
  const server = new ProbedServer({ ...at.settings, deadline });
  const [user] = await ce.find({ systemuserids: [TEST_USER], domainNames: [] });
  const [identity] = IDENTITIES;
  if (user === undefined || identity === undefined) throw new Error('there is no test user');
  const record = new TestRecord({ ce, server, log: repairer, user, identity, parkingAccounts: PARKING, patience });
  const parkingAccounts: ParkingAccount[] = [
    { name: 'CORP\\ns-park-01', enabled: true, userPrincipalName: 'ns-park-01@corp.example.test' },
    { name: 'CORP\\ns-park-02', enabled: false, userPrincipalName: undefined },
  ];
  return {
    log,
    repairer,
    record,
    probing: { ce, server, own: CALLER, writing: { record, parkingAccounts }, shared: { bounces: new Map() } },
    async [Symbol.asyncDispose]() {
      await Promise.all([ce.close(), server.close(), repairer[Symbol.asyncDispose]()]);
    },
  };
}
