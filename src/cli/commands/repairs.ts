import type { Command } from 'commander';
import type { ChangeLog } from '../../../streams/change-log.ts';
import { nameKey } from '../../../streams/identity.ts';
import { isOpen, type Repair } from '../../../streams/repair.ts';
import { EXPLANATIONS } from '../../../streams/repair-reasons.ts';
import type { RepairRequest } from '../../../streams/repair-request.ts';
import { tellNames } from '../../../streams/repairer/person-names.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { printable } from '../../runtime/printable.ts';
import { CommandError, type Context, GUID, lookAtLog, organizationNamed } from '../context.ts';
import { askRepairer, untilRepaired } from '../repair-requests.ts';

/** What became of repairs, and what a person decides about them. */
export function addRepairs(program: Command, { load, exitWith }: Context): void {
  program
    .command('repairs')
    .description('list repairs: what was done, what waits and for what, and what needs a person')
    .option('--open', 'only those that have not ended or need a person')
    .option('--organization <name>', 'only of this one')
    .option('--json', 'as JSON')
    .action(async ({ open, organization, json }: { open?: true; organization?: string; json?: true }) => {
      const { configuration } = load();
      await using log = await lookAtLog(configuration);
      const { repairs } = await log.status();
      const ofThese = repairs.filter((repair) => organization === undefined || repair.organization === organization);
      // One that has been taken out of the settings may have some still.
      if (ofThese.length === 0 && organization !== undefined) organizationNamed(configuration, organization);
      const wanted = ofThese
        .filter((repair) => !open || isOpen(repair) || repair.state === 'needs-person')
        .sort((a, b) => a.at.localeCompare(b.at));
      if (json) console.log(JSON.stringify(wanted.map(explained), null, 2));
      else console.log(wanted.length === 0 ? 'none' : wanted.map(describe).join('\n'));
    });
  const decision = (kind: 'retry' | 'skip', description: string) =>
    program
      .command(`${kind} <id>`)
      .description(description)
      .option('--organization <name>', 'where several know the same name')
      .addHelpText('after', '\nThe id is a systemuserid, or a user name of the repair (from or to). Waits for the repairer at work.');
  decision('retry', 'have a repair tried again at once, also one that has ended or needs a person')
    .option('--remap', 'also where the record shows the right name: it is mapped to another account that had this name')
    .action(async (id: string, { organization, remap }: { organization?: string; remap?: true }) => {
      await using log = await lookAtLog(load().configuration);
      const repaired = await decide(log, 'retry', await repairOf(log, id, organization), exitWith, remap);
      if (repaired !== undefined) console.log(describe(repaired));
    });
  decision('skip', 'end a repair that is not wanted, unless its record is on a parking account').action(
    async (id: string, { organization }: { organization?: string }) => {
      await using log = await lookAtLog(load().configuration);
      await decide(log, 'skip', await repairOf(log, id, organization), exitWith);
    },
  );
}

async function decide(
  log: ChangeLog,
  kind: RepairRequest['kind'],
  { organization, systemuserid }: Pick<Repair, 'organization' | 'systemuserid'>,
  exitWith: Context['exitWith'],
  remap?: boolean,
): Promise<Repair | undefined> {
  const wish = { kind, organization, systemuserid, ...(remap && { remap }) };
  const since = new Date().toISOString();
  const [answer] = await askRepairer(log, [wish]);
  console.log(printable(`${organization} ${systemuserid}: ${answer?.message ?? ''}`));
  if (!answer?.done) {
    exitWith(EXIT.failed);
    return undefined;
  }
  return kind === 'retry' ? (await untilRepaired(log, [wish], since))[0] : undefined;
}

/** A record that never had a repair is found by its id only. @throws CommandError */
async function repairOf(
  log: ChangeLog,
  id: string,
  organization: string | undefined,
): Promise<Pick<Repair, 'organization' | 'systemuserid'>> {
  const { repairs } = await log.status();
  const found = repairs.filter(
    (repair) =>
      (organization === undefined || repair.organization === organization) &&
      [repair.systemuserid, repair.from, repair.to].some((one) => nameKey(one) === nameKey(id)),
  );
  const [one, another] = found;
  if (one !== undefined && another === undefined) return one;
  if (one !== undefined) {
    const which = found.map((repair) => `${repair.organization} ${repair.systemuserid} (${repair.from} → ${repair.to})`);
    throw new CommandError(`Several repairs have that name; say which by its systemuserid: ${which.join(', ')}`);
  }
  if (GUID.test(id) && organization !== undefined) return { organization, systemuserid: id.toLowerCase() };
  throw new CommandError(
    `No repair has that systemuserid or name: ${id}. See namesake repairs; of a record that never had one, give --organization and its systemuserid`,
  );
}

export function describe(repair: Repair): string {
  const { organization, systemuserid, from, to, state, reason, message, parkingAccount, notBefore, at } = repair;
  const explanation = reason === null ? undefined : EXPLANATIONS[reason];
  const lines = [`${organization}  ${systemuserid}  ${from} → ${to}  ${state}${reason === null ? '' : ` (${reason})`}  ${at}`];
  if (parkingAccount !== null) lines.push(`  on the parking account ${parkingAccount}, or about to be`);
  if (explanation !== undefined) lines.push(`  ${explanation.meaning}`);
  if (message !== null) lines.push(`  ${message}`);
  const names = tellNames(repair.names);
  if (names !== '') lines.push(` ${names}`);
  if (state === 'waiting' && notBefore !== null) lines.push(`  next try ${notBefore}`);
  if (explanation !== undefined && (state === 'needs-person' || state === 'waiting')) lines.push(`  what to do: ${explanation.next}`);
  return lines.map(printable).join('\n');
}

function explained(repair: Repair): Repair & { explanation: (typeof EXPLANATIONS)[keyof typeof EXPLANATIONS] | null } {
  return { ...repair, explanation: repair.reason === null ? null : EXPLANATIONS[repair.reason] };
}
