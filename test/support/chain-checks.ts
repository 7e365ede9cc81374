import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import type { RequestEntry } from '../../infra/customer-engagement/control-client.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import { domainName, type Identity, sameName } from '../../streams/identity.ts';
import { isOpen, type Repair } from '../../streams/repair.ts';
import { type History, lastRepairs } from './chain-history.ts';
import type { Population } from './chain-population.ts';
import type { Stage } from './chain-stage.ts';
import { until } from './chain-wait.ts';

/** How long before a write the directory may have differed from what the record showed, in milliseconds: a whole outage. */
const LOOK_BACK = 120_000;

/** Resolves once the log knows what is true in the directory, every record is right, and no repair is open. */
export async function caughtUp(stage: Stage, population: Population, within = 60_000): Promise<History> {
  return await until(
    'the log and all user records are caught up',
    async () => {
      const history = await stage.history();
      const wrong = [...differencesOf(history, population), ...(await wrongRecords(stage, population)), ...openRepairsOf(history)];
      if (wrong.length > 0) throw new Error(wrong.slice(0, 10).join('\n'));
      return history;
    },
    within,
    200,
  ).catch((error: Error) => {
    throw new Error(`${error.message}\n${error.cause instanceof Error ? error.cause.message : ''}`, { cause: error });
  });
}

/** SPEC rules 1 to 3: nothing missing, nothing doubled, one unbroken chain per account, and nothing in it that was never true. */
export function checkHistory({ events }: History, population: Population): void {
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  for (const [objectGUID, own] of Map.groupBy(events, (event) => event.objectGUID)) {
    const moments = population.moments.get(objectGUID);
    expect(moments, `events of ${objectGUID}, which nobody touched`).toBeDefined();
    checkChain(own, moments?.[0]?.identity ?? null);
    checkTruth(
      own,
      (moments ?? []).slice(1).map(({ identity }) => identity),
    );
  }
  for (const event of events) checkKind(event);
}

/** SPEC rules 6 and 7, as the stand-in's request log and its complaints tell: each write had a reason and went by way of parking. */
export async function checkWrites(stage: Stage, population: Population): Promise<void> {
  expect(await stage.control.defects()).toEqual([]);
  const writes = (await stage.control.requests()).filter(({ method }) => method === 'PATCH').sort((a, b) => a.arrived - b.arrived);
  const accountOf = new Map([...population.records].map(([objectGUID, systemuserid]) => [systemuserid, objectGUID]));
  const shown = new Map(population.shown);
  for (const write of writes) {
    const { systemuserid, name } = nameWrite(write);
    const objectGUID = accountOf.get(systemuserid) ?? '';
    const before = shown.get(systemuserid) ?? '';
    const names = population.namesBetween(objectGUID, write.arrived - LOOK_BACK, write.answered);
    if (isParking(stage, name)) {
      const differed = names.some((possible) => !sameName(possible, before));
      expect(differed, `${before} was parked on ${name} although its account had that very name`).toBe(true);
    } else {
      expect(isParking(stage, before), `${before} became ${name} without being parked`).toBe(true);
      expect(names, `${name} was never the name of that account`).toContain(name);
    }
    if (write.status !== null && write.status < 300) shown.set(systemuserid, name);
  }
}

/** Each record that is linked to an account which is there, as the directory and the stand-in know both. */
async function wrongRecords(stage: Stage, population: Population): Promise<string[]> {
  const records = new Map((await stage.control.records()).map((record) => [record.systemuserid, record]));
  const wrong: string[] = [];
  for (const record of records.values()) {
    if (isParking(stage, record.domainname)) wrong.push(`the record of ${record.fullname} is on the parking account ${record.domainname}`);
  }
  for (const [objectGUID, systemuserid] of population.records) {
    const record = records.get(systemuserid);
    const identity = population.now(objectGUID);
    if (identity === null) continue;
    if (record === undefined || !sameName(record.domainname, domainName(identity)) || record.objectGUID !== objectGUID) {
      wrong.push(`the record of ${record?.fullname} shows ${record?.domainname}, its account is ${domainName(identity)}`);
    } else if (identity.enabled && !record.isdisabled) {
      const { canLogOn, reason } = await stage.control.logon(objectGUID);
      if (!canLogOn) wrong.push(reason);
    }
  }
  return wrong;
}

function differencesOf({ events, identities }: History, population: Population): string[] {
  const wrong: string[] = [];
  for (const [objectGUID, identity] of identities) {
    if (identity !== null && !population.moments.has(objectGUID)) wrong.push(`${identity.sAMAccountName} is known and was never there`);
  }
  const last = new Map(events.map((event) => [event.objectGUID, event.after]));
  for (const [objectGUID, moments] of population.moments) {
    const now = moments.at(-1)?.identity ?? null;
    const known = identities.get(objectGUID) ?? null;
    if (!isDeepStrictEqual({ ...known }, { ...now }))
      wrong.push(`${now?.sAMAccountName} (${objectGUID}) is known as ${known?.sAMAccountName}`);
    const told = last.get(objectGUID);
    if (told !== undefined && !isDeepStrictEqual({ ...told }, { ...now }))
      wrong.push(`the last event of ${objectGUID} is not what is true`);
  }
  return wrong;
}

function openRepairsOf(history: History): string[] {
  return (
    [...lastRepairs(history).values()]
      // That an account was deleted and another one made under its name is for a person to judge.
      .filter((repair) => !wasRecreated(repair, history.events))
      .filter((repair) => isOpen(repair) || repair.state === 'needs-person' || repair.parkingAccount !== null)
      .map(({ from, to, state, reason, message }) => `the repair ${from} → ${to} is ${state}: ${reason} ${message}`)
  );
}

/** Whether an account was really deleted, and another one made under its name, which a person has to judge. */
function wasRecreated({ state, reason, objectGUID, recreatedAs }: Repair, events: readonly ChangeEvent[]): boolean {
  const anew = events.find((event) => event.kind === 'created' && event.objectGUID === (recreatedAs ?? objectGUID));
  const isGone = events.some((event) => event.kind === 'deleted' && event.objectGUID === anew?.formerHolder);
  return state === 'needs-person' && reason === 'account-recreated' && isGone;
}

function checkChain(events: readonly ChangeEvent[], initial: Identity | null): void {
  let known = initial;
  for (const { kind, sequence, before, after } of events) {
    expect(before, `before of event ${sequence}`).toEqual(known);
    expect(kind === 'created' || kind === 'restored', `event ${sequence} is ${kind} without a before`).toBe(before === null);
    expect(kind === 'deleted', `event ${sequence} is ${kind} without an after`).toBe(after === null);
    known = after;
  }
}

/** Events of one observation lead step by step to one true state; such states come in the order in which they were true. */
function checkTruth(events: readonly ChangeEvent[], states: readonly (Identity | null)[]): void {
  let next = 0;
  events.forEach((event, index) => {
    if (events[index + 1]?.observed.time === event.observed.time) return;
    const found = states.findIndex((state, place) => place >= next && isDeepStrictEqual({ ...state }, { ...event.after }));
    expect(found, `after of event ${event.sequence} was never true, or not in this order: ${JSON.stringify(event.after)}`).not.toBe(-1);
    next = found + 1;
  });
}

function checkKind({ sequence, kind, changed, before, after, caseOnly }: ChangeEvent): void {
  const attributes = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  const differing = [...attributes].filter((attribute) => before !== null && after !== null && before[attribute] !== after[attribute]);
  expect([...changed].sort(), `changed of event ${sequence}`).toEqual(differing.sort());
  const cased = kind === 'renamed' && sameName(before?.sAMAccountName ?? '', after?.sAMAccountName ?? '');
  expect(caseOnly, `caseOnly of event ${sequence}`).toBe(cased);
}

function nameWrite({ path, body, ifMatch }: RequestEntry): { systemuserid: string; name: string } {
  const [, systemuserid = ''] = /systemusers\(([0-9a-f-]{36})\)/.exec(path) ?? [];
  const columns = JSON.parse(body ?? '{}') as Record<string, string>;
  expect(Object.keys(columns), `columns written by ${path}`).toEqual(['domainname']);
  expect(ifMatch).toBe('*');
  return { systemuserid, name: columns.domainname ?? '' };
}

function isParking(stage: Stage, domainname: string): boolean {
  return stage.bed.directory.parkingAccounts.some((account) => sameName(account, domainname));
}
