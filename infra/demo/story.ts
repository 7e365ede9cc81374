import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient, type RequestEntry } from '../customer-engagement/control-client.ts';
import type { Bed } from '../testbed/bed.ts';
import { DirectoryAdmin } from '../testbed/ldap.ts';
import type { LogLine, Namesake } from '../testbed/namesake.ts';
import type { Narration } from './narration.ts';

/** As the topic has it; read from the product's own log here. */
interface Event {
  readonly sequence: number;
  readonly kind: string;
  readonly before: Account | null;
  readonly after: Account | null;
  readonly observed: { readonly time: string };
}

interface Account {
  readonly domain: string;
  readonly sAMAccountName: string;
  readonly displayName?: string;
}

const PATIENCE = 30_000;
const POLL = 10;

/**
 * Renames Ann Lee in the directory and tells what happens.
 *
 * @returns whether she can log on to Customer Engagement in the end
 */
export async function tellStory(bed: Bed, namesake: Namesake, say: Narration): Promise<boolean> {
  const control = new ControlClient(bed.crm.controlUrl);
  await using admin = await DirectoryAdmin.connect(bed.directory);
  const linked = await until(async () => (await namesake.lines()).find(({ msg }) => msg.includes('user records linked')));
  say.line(`namesake has read the directory; ${linked.msg}`);

  say.chapter('Ann Lee marries');
  const ann = await admin.find('alee');
  if (ann === undefined) throw new Error('there is no account alee in the directory');
  await tellLogon(control, say, 'alee');
  const renamed = await rename(admin, ann.objectGUID, 'aokafor');
  say.line('her account is renamed in the directory: CORP\\alee → CORP\\aokafor');
  await tellLogon(control, say, 'aokafor');

  say.chapter('Namesake repairs her user record');
  const event = await until(async () => eventsIn(await namesake.lines()).find(({ after }) => after?.sAMAccountName === 'aokafor'));
  say.line(`event ${event.sequence}: ${event.kind}`);
  say.line(`  before  ${nameOf(event.before)}`);
  say.line(`  after   ${nameOf(event.after)}`);
  const repaired = await until(async () => (await control.logon('aokafor')).canLogOn || undefined);
  const writes = await until(async () => writesSince(await control.requests(), renamed, 2));
  for (const [index, { body, answered }] of writes.entries()) {
    const { domainname } = JSON.parse(body ?? '{}') as { domainname?: string };
    say.line(`${index === 0 ? 'parked on' : 'named'} ${domainname}, ${(answered - renamed).toFixed(0)} ms after the rename`);
  }
  const confirmed = await until(async () => (await namesake.lines()).find(({ msg }) => /: repaired .*aokafor/.test(msg)));
  say.line(`confirmed: ${confirmed.msg}`);
  await tellLogon(control, say, 'aokafor');
  const last = writes.at(-1);
  if (last !== undefined) say.line(`repaired ${(last.answered - renamed).toFixed(0)} ms after the rename`, 'good');

  say.chapter('The history');
  const events = eventsIn(await namesake.lines());
  const rows = events.map((each) => [String(each.sequence), each.observed.time, each.kind, nameOf(each.before), nameOf(each.after)]);
  say.table([['sequence', 'seen', 'kind', 'before', 'after'], ...rows]);
  console.log('\nTo rename somebody yourself: npm run demo -- --keep');
  return repaired;
}

async function tellLogon(control: ControlClient, say: Narration, name: string): Promise<void> {
  const { canLogOn, reason } = await control.logon(name);
  say.line(`${canLogOn ? 'can' : 'cannot'} log on to Customer Engagement as CORP\\${name}: ${reason}`, canLogOn ? 'good' : 'bad');
}

/** @returns when the directory answered, in epoch milliseconds as the stand-in's request log counts them */
async function rename(admin: DirectoryAdmin, objectGUID: string, name: string): Promise<number> {
  await admin.rename(objectGUID, name);
  return performance.timeOrigin + performance.now();
}

function eventsIn(lines: readonly LogLine[]): Event[] {
  return lines.flatMap(({ event }) => (event === undefined ? [] : [event as Event]));
}

function writesSince(requests: readonly RequestEntry[], since: number, count: number): RequestEntry[] | undefined {
  const writes = requests.filter(({ method, status, answered }) => method === 'PATCH' && (status ?? 500) < 300 && answered >= since);
  return writes.length >= count ? writes : undefined;
}

function nameOf(account: Account | null): string {
  return account === null
    ? ''
    : `${account.domain}\\${account.sAMAccountName}${account.displayName === undefined ? '' : ` (${account.displayName})`}`;
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`nothing happened for ${PATIENCE / 1000} s`);
    await sleep(POLL);
  }
}
