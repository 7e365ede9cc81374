import { randomBytes } from 'node:crypto';
import {
  type CustomerEngagement,
  CustomerEngagementError,
  type CustomerEngagementFailure,
  PERSON_COLUMNS,
} from '../../../streams/customer-engagement.ts';
import { domainName, isUpn, sameName } from '../../../streams/identity.ts';
import type { ProbedServer } from './server.ts';
import { type Attempt, isAccepted, type TestRecord } from './test-record.ts';

/** What an answer says of an assumption of docs/assumptions.md. */
export type Verdict = 'confirmed' | 'refuted' | 'unknown';

export interface Finding {
  readonly verdict: Verdict;
  readonly observations: readonly string[];
  /** What a person should look at or do. */
  readonly advice?: string;
}

export interface ParkingAccount {
  readonly name: string;
  readonly enabled: boolean | undefined;
  readonly userPrincipalName: string | undefined;
}

/** What questions that write have besides. */
export interface Writing {
  readonly record: TestRecord;
  /** Free ones, enabled ones first. */
  readonly parkingAccounts: readonly ParkingAccount[];
}

export interface Probing {
  readonly ce: CustomerEngagement;
  readonly server: ProbedServer;
  /** systemuserid of the service's own record. */
  readonly own: string;
  readonly writing: Writing | undefined;
  /** What was found out for more than one question. */
  readonly shared: { roles?: Promise<Roles>; readonly bounces: Map<string, Promise<Bounce>> };
}

export interface Question {
  /** Of the assumption. */
  readonly number: `A${number}`;
  /** What the product assumes, for whoever has never seen it. */
  readonly assumption: string;
  /** What it writes to the record of the test user, and nothing else; empty where it only reads. */
  readonly writes: (writing: Writing) => readonly string[];
  /** Undefined: without writing nothing can be said. */
  readonly read?: (probing: Probing) => Promise<Finding>;
  readonly write?: (probing: Probing, writing: Writing) => Promise<Finding>;
}

/** The record was set to a parking account, and to its own name again. */
interface Bounce {
  readonly parked: Attempt;
  /** Undefined where it was not parked. */
  readonly named: Attempt | undefined;
}

const none = () => [];
const bounceOf = (account: ParkingAccount | undefined) => (account === undefined ? [] : [`${account.name}, and its own name again`]);
const usual = ({ parkingAccounts }: Writing) => parkingAccounts[0];
const withUpn = ({ parkingAccounts }: Writing) =>
  parkingAccounts.find(({ userPrincipalName }) => userPrincipalName !== undefined) ?? parkingAccounts[0];
const disabled = ({ parkingAccounts }: Writing) => parkingAccounts.find(({ enabled }) => enabled === false);

export const QUESTIONS: readonly Question[] = [
  {
    number: 'A1',
    assumption:
      'A user name that cannot be given is refused in a way that tells why: its account is on a record, or no such account is known.',
    writes: ({ record }) => [
      `${nobody(record, '…')}, a name that nobody has: to be refused`,
      ...(otherForm(record) === undefined ? [] : [`${otherForm(record)}, its own account in another form: to be refused`]),
    ],
    write: async (_, writing) => together([await ofNobody(writing), await ofItself(writing)]),
  },
  {
    number: 'A2',
    assumption: 'A disabled account can serve as a parking account.',
    writes: (writing) => bounceOf(disabled(writing)),
    async write(probing, writing) {
      const account = disabled(writing);
      if (account === undefined)
        return unknown(
          ['no free parking account is disabled'],
          'Disable one of the parking accounts, or make one with "namesake parking create 1 --ou …", and run the probe again.',
        );
      const { parked } = await bounce(probing, writing, account);
      if (isAccepted(parked)) return { verdict: 'confirmed', observations: ['the record was given a disabled account'] };
      const isRefuted = isRefusal(parked.error, ['refused', 'not-in-directory']);
      const advice = 'Enable the parking accounts, with passwords that nobody knows and any logon denied.';
      return {
        verdict: isRefuted ? 'refuted' : 'unknown',
        observations: [`a disabled account was not taken: ${said(parked)}`],
        ...(isRefuted && { advice }),
      };
    },
  },
  {
    number: 'A3',
    assumption:
      'The two writes of a repair cannot be made one: a change set of $batch that gives a record another account and its own again is not relied on.',
    writes: (writing) => bounceOf(usual(writing)).map((text) => `${text}, in one change set: may be refused`),
    async write(probing, writing) {
      const account = usual(writing);
      if (account === undefined) return noAccount();
      const single = await bounce(probing, writing, account);
      if (single.named === undefined || !isAccepted(single.named)) return unknown(['two single writes did not pass either']);
      const { record } = writing;
      const attempt = await record.writeAtOnce([account.name, record.before.domainname]);
      if (attempt.after === undefined) return unknown([`the record could not be read afterwards; ${said(attempt)}`]);
      if (isAccepted(attempt) && sameName(attempt.after.domainname, record.before.domainname))
        return {
          verdict: 'refuted',
          observations: ['both writes passed as one change set'],
          advice: 'Nothing to do: two single writes are as right. Tell the makers, since one step leaves nobody on a parking account.',
        };
      if (isAccepted(attempt))
        return { verdict: 'confirmed', observations: [`the change set passed, but left ${attempt.after.domainname} in the record`] };
      const isOpen = isRefusal(attempt.error, ['transient', 'unknown-outcome', 'credentials', 'privilege']);
      return { verdict: isOpen ? 'unknown' : 'confirmed', observations: [`the change set was not taken: ${said(attempt)}`] };
    },
  },
  {
    number: 'A4',
    assumption: 'Writing the user name leaves first name, last name and e-mail of the record as they are.',
    writes: (writing) => bounceOf(usual(writing)),
    async write(probing, writing) {
      const account = usual(writing);
      if (account === undefined) return noAccount();
      const { before, identity } = writing.record;
      const { parked, named } = await bounce(probing, writing, account);
      const seen = [parked, named].flatMap((attempt) => (attempt?.error === undefined && attempt?.after ? [attempt.after] : []));
      if (seen.length < 2) return unknown(['the record did not get through both writes']);
      const changed = PERSON_COLUMNS.filter((column) => seen.some((after) => after[column] !== before[column]));
      if (changed.length > 0) {
        const advice =
          'Keep these in Active Directory as they should be in Customer Engagement; after a repair look whether the e-mail address is still approved.';
        return { verdict: 'refuted', observations: [`changed with the user name: ${changed.join(', ')}`], advice };
      }
      const ofAccount = { firstname: identity.givenName ?? '', lastname: identity.sn ?? '', internalemailaddress: identity.mail ?? '' };
      const telling = PERSON_COLUMNS.filter((column) => before[column] !== ofAccount[column]);
      if (telling.length > 0)
        return { verdict: 'confirmed', observations: [`unchanged, although the account has others: ${telling.join(', ')}`] };
      return unknown(
        ['unchanged, but they are the same in Active Directory'],
        'Give the record of the test user a first name that differs from that in Active Directory, and run the probe again.',
      );
    },
  },
  {
    number: 'A5',
    assumption: 'Optimistic concurrency is enabled for users. Nothing depends on it: writes are sent with "If-Match: *" alone.',
    writes: none,
    async read({ server }) {
      const isEnabled = await server.hasOptimisticConcurrency();
      const observations = [`IsOptimisticConcurrencyEnabled of systemuser is ${isEnabled}`];
      return isEnabled ? { verdict: 'confirmed', observations } : { verdict: 'refuted', observations, advice: 'Nothing to do.' };
    },
  },
  {
    number: 'A6',
    assumption:
      'A record that was given another account is mapped to that one alone: who had the record before cannot log on with it, and a parking account serves again.',
    writes: (writing) => bounceOf(usual(writing)),
    async write(probing, writing) {
      const account = usual(writing);
      const result = account && (await bounce(probing, writing, account));
      const isDone = result?.named !== undefined && isAccepted(result.named);
      return unknown(
        [
          isDone
            ? 'the record was on a parking account and is on its own again; its mapping cannot be read by the Web API'
            : 'the record did not get through both writes',
        ],
        'Have the test person log on now: that should work. Whoever logs on as the parking account should be refused by Customer Engagement. A database administrator can look, without changing anything, whether SystemUserAuthentication of MSCRM_CONFIG has one row (AuthInfo) for the test person and none for the parking account.',
      );
    },
  },
  {
    number: 'A7',
    assumption:
      'A person can log on with the new name as soon as the second write is answered; a name that the server does not know yet is refused, and taken minutes later.',
    writes: (writing) => bounceOf(usual(writing)),
    async write(probing, writing) {
      const account = usual(writing);
      const result = account && (await bounce(probing, writing, account));
      const observations = [result?.parked, result?.named].flatMap((attempt) =>
        attempt === undefined ? [] : [`${attempt.name}: ${isAccepted(attempt) ? 'taken' : 'refused'} after ${attempt.milliseconds} ms`],
      );
      return unknown(
        observations,
        'Ask the test person to log on now, and note after how many minutes that works. Then rename the account of the test person in Active Directory, and note how long "namesake repairs" shows not-in-directory-yet.',
      );
    },
  },
  {
    number: 'A8',
    assumption: 'The record shows a user name as it was written; the server does not put the UPN of the account in its place.',
    writes: (writing) => bounceOf(withUpn(writing)),
    async write(probing, writing) {
      const { record } = writing;
      const account = withUpn(writing);
      if (account === undefined) return noAccount();
      const { parked, named } = await bounce(probing, writing, account);
      const taken = [parked, named].flatMap((attempt) =>
        attempt?.error === undefined && attempt?.after ? [{ wrote: attempt.name, shows: attempt.after.domainname }] : [],
      );
      const others = taken.filter(({ wrote, shows }) => !sameName(wrote, shows));
      if (others.length > 0)
        return {
          verdict: 'refuted',
          observations: others.map(({ wrote, shows }) => `${wrote} was written, and the record shows ${shows}`),
          advice: 'Tell the makers, with the way in which people log on (Windows or claims).',
        };
      const hasUpn = (account.userPrincipalName ?? record.identity.userPrincipalName) !== undefined;
      if (taken.length < 2 || !hasUpn)
        return unknown([taken.length < 2 ? 'the record did not get through both writes' : 'neither account has a UPN']);
      return { verdict: 'confirmed', observations: ['both names are shown as they were written'] };
    },
  },
  {
    number: 'A9',
    assumption: 'The privileges prvReadUser and prvWriteUser are enough; the role System Administrator is not needed.',
    writes: (writing) => bounceOf(usual(writing)),
    async read(probing) {
      const { observation } = await rolesOf(probing);
      return unknown([observation], 'Run the probe with --write, as a user without the role System Administrator.');
    },
    async write(probing, writing) {
      const { isAdministrator, observation } = await rolesOf(probing);
      const account = usual(writing);
      if (account === undefined) return noAccount();
      const { parked } = await bounce(probing, writing, account);
      if (isRefusal(parked.error, ['privilege'])) {
        const advice =
          'Grant prvReadUser and prvWriteUser for all business units if that is missing; otherwise give the user of the service the role System Administrator.';
        return {
          verdict: isAdministrator ? 'unknown' : 'refuted',
          observations: [observation, `a user name was refused: ${said(parked)}`],
          advice,
        };
      }
      if (!isAccepted(parked)) return unknown([observation, `a user name was not taken: ${said(parked)}`]);
      if (isAdministrator === false) return { verdict: 'confirmed', observations: [observation, 'a user name was taken'] };
      return unknown(
        [observation, 'a user name was taken'],
        'Give the user of the service a role with these two privileges instead, and run the probe again.',
      );
    },
  },
];

function unknown(observations: readonly string[], advice?: string): Finding {
  return { verdict: 'unknown', observations, ...(advice !== undefined && { advice }) };
}

function noAccount(): Finding {
  return unknown(['no parking account is free']);
}

/** Writes there and back, once for each account. */
function bounce(probing: Probing, { record }: Writing, account: ParkingAccount): Promise<Bounce> {
  const known = probing.shared.bounces.get(account.name);
  if (known !== undefined) return known;
  const made = (async () => {
    const parked = await record.write(account.name);
    const named = isAccepted(parked) ? await record.write(record.before.domainname) : undefined;
    return { parked, named };
  })();
  probing.shared.bounces.set(account.name, made);
  return made;
}

async function ofNobody({ record }: Writing): Promise<Finding> {
  const name = nobody(record, randomBytes(3).toString('hex'));
  const attempt = await record.write(name);
  return refusedAs('not-in-directory', 'a name that nobody has', attempt);
}

async function ofItself({ record }: Writing): Promise<Finding> {
  const name = otherForm(record);
  const advice =
    'Rename the account of the test user in Active Directory, give the record the new name by hand before it is repaired, and note the error.';
  if (name === undefined) return unknown(['its account has no UPN, so its own account could not be tried in another form'], advice);
  await record.putBack();
  const attempt = await record.write(name);
  const what = 'its own account in another form';
  if (isRefusal(attempt.error, ['not-in-directory'])) return unknown([`${what} is not known to the server: ${said(attempt)}`], advice);
  return refusedAs('held', what, attempt);
}

function refusedAs(failure: CustomerEngagementFailure, what: string, attempt: Attempt): Finding {
  if (isAccepted(attempt)) return { verdict: 'refuted', observations: [`${what} was taken`], advice: ADVICE_ON_REFUSALS };
  const observations = [`${what}: ${said(attempt)}`];
  if (isRefusal(attempt.error, [failure])) return { verdict: 'confirmed', observations };
  if (isRefusal(attempt.error, ['transient', 'unknown-outcome', 'credentials', 'privilege'])) return unknown(observations);
  return { verdict: 'refuted', observations, advice: ADVICE_ON_REFUSALS };
}

const ADVICE_ON_REFUSALS =
  'Tell the makers the code, the status and the text: until they are known, some repairs need a person that could wait instead.';

function together(parts: readonly Finding[]): Finding {
  const verdict = (['refuted', 'unknown', 'confirmed'] as const).find((one) => parts.some((part) => part.verdict === one)) ?? 'unknown';
  const advice = [...new Set(parts.flatMap((part) => part.advice ?? []))].join(' ');
  return { verdict, observations: parts.flatMap(({ observations }) => observations), ...(advice !== '' && { advice }) };
}

function nobody({ identity }: TestRecord, random: string): string {
  return `${identity.domain}\\ns-probe-${random}`;
}

/** The name of its account in the form that the record does not show. */
function otherForm({ before, identity }: TestRecord): string | undefined {
  return isUpn(before.domainname) ? domainName(identity) : identity.userPrincipalName;
}

/** The template that the role System Administrator is made of in every business unit, whatever it is called there. */
const SYSTEM_ADMINISTRATOR = '627090ff-40a3-4053-8790-584edc5be201';

interface Roles {
  /** Undefined where it cannot be said. */
  readonly isAdministrator: boolean | undefined;
  readonly observation: string;
}

function rolesOf(probing: Probing): Promise<Roles> {
  probing.shared.roles ??= readRoles(probing);
  return probing.shared.roles;
}

async function readRoles({ server, own }: Probing): Promise<Roles> {
  try {
    const isAdministrator = (await server.roles(own)).includes(SYSTEM_ADMINISTRATOR);
    const observation = isAdministrator
      ? 'is System Administrator'
      : 'is not System Administrator by itself; the roles of its teams were not looked at';
    return { isAdministrator, observation: `the user of the service ${observation}` };
  } catch (error) {
    if (!(error instanceof CustomerEngagementError)) throw error;
    // A System Administrator may read everything.
    if (error.failure === 'privilege')
      return { isAdministrator: false, observation: 'the user of the service may not read roles, so it is no System Administrator' };
    return { isAdministrator: undefined, observation: `its roles cannot be read: ${error.message}` };
  }
}

function isRefusal(error: CustomerEngagementError | undefined, failures: readonly CustomerEngagementFailure[]): boolean {
  return error !== undefined && failures.includes(error.failure);
}

/** What the server said, and what the product takes it for. */
function said({ error, after }: Attempt): string {
  if (error === undefined) return 'taken';
  return `${error.message}, taken for "${error.failure}"${after === undefined ? '; what the record shows could not be read' : ''}`;
}
