import type { Command } from 'commander';
import type { Look } from '../../../streams/change-log.ts';
import { domainName, domainNameParts } from '../../../streams/identity.ts';
import type { Link } from '../../../streams/repair.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { printable } from '../../runtime/printable.ts';
import {
  CommandError,
  type Context,
  GUID,
  lookAtLog,
  openOrganizations,
  organizationNamed,
  organizationsNamed,
  recordOf,
} from '../context.ts';
import { printDrift } from '../drift-report.ts';
import { askRepairer, untilRepaired, type Wish } from '../repair-requests.ts';
import { asTable, type Column } from '../table.ts';
import { describe } from './repairs.ts';

/** Which user record belongs to which account. */
export function addLinks(program: Command, context: Context): void {
  const { load } = context;
  const link = program.command('link').description('see and decide which user record belongs to which account');
  link
    .command('list')
    .description('list the links that are known')
    .option('--organization <name>', 'only of this one')
    .option('--json', 'as JSON')
    .action(async ({ organization, json }: { organization?: string; json?: true }) => {
      const { configuration } = load();
      await using log = await lookAtLog(configuration);
      await using look = await log.look();
      const links = organizationsNamed(configuration, organization).flatMap((name) => look.organization(name).links());
      console.log(json ? JSON.stringify(links, null, 2) : asTable(columns(look), links));
    });
  link
    .command('suggest')
    .description('list the records that match no account, and whose they may be')
    .option('--organization <name>', 'only of this one')
    .option('--json', 'as JSON')
    .action(async ({ organization, json }: { organization?: string; json?: true }) => {
      await printDrift(load().configuration, { organization, format: json ? 'json' : 'table', only: (row) => row.action === 'link' });
    });
  link
    .command('set <record> <account>')
    .description('say that a record belongs to an account; it is repaired if its name differs')
    .option('--organization <name>', 'which organization, where there are several')
    .addHelpText('after', '\nThe record is a systemuserid or the user name that it shows; the account is DOMAIN\\name or an objectGUID.')
    .action(async (record: string, account: string, { organization }: { organization?: string }) => {
      await decide(context, organization, record, (look) => ({ kind: 'link', objectGUID: accountOf(look, account) }));
    });
  link
    .command('remove <record>')
    .description('say that a record does not belong to the account that it is linked to; they are not linked again by their names')
    .option('--organization <name>', 'which organization, where there are several')
    .action(async (record: string, { organization }: { organization?: string }) => {
      await decide(context, organization, record, () => ({ kind: 'unlink' }));
    });
}

function columns(look: Look): Column<Link>[] {
  return [
    ['ORGANIZATION', ({ organization }) => organization],
    ['RECORD', ({ systemuserid }) => systemuserid],
    ['NAME THEN', ({ domainname }) => domainname],
    ['ACCOUNT', ({ objectGUID }) => objectGUID],
    ['NAME NOW', ({ objectGUID }) => nameOf(look, objectGUID)],
    ['SINCE', ({ learned }) => learned],
    ['BY', ({ by }) => by ?? 'name'],
  ];
}

function nameOf(look: Look, objectGUID: string): string {
  const identity = look.identity(objectGUID);
  return identity === undefined ? '(gone)' : domainName(identity);
}

async function decide(
  { load, exitWith }: Context,
  name: string | undefined,
  record: string,
  wishFor: (look: Look) => Pick<Wish, 'kind' | 'objectGUID'>,
): Promise<void> {
  const { configuration } = load();
  const organization = organizationNamed(configuration, name);
  await using log = await lookAtLog(configuration);
  await using look = await log.look();
  const asked = wishFor(look);
  await using organizations = await openOrganizations(configuration, [organization]);
  const [ce] = organizations.all;
  if (ce === undefined) throw new CommandError(`There is no organization ${organization}`);
  const found = await recordOf(ce, record);
  const wish: Wish = { ...asked, organization, systemuserid: found.systemuserid };
  const since = new Date().toISOString();
  const [answer] = await askRepairer(log, [wish]);
  console.log(printable(`${found.fullname} (${found.domainname}, ${found.systemuserid}): ${answer?.message ?? ''}`));
  if (!answer?.done) exitWith(EXIT.failed);
  else if (asked.kind === 'link') for (const repair of await untilRepaired(log, [wish], since)) console.log(describe(repair));
}

function accountOf(look: Look, text: string): string {
  const { domain, sAMAccountName } = domainNameParts(text);
  const objectGUID = GUID.test(text) ? text.toLowerCase() : look.holder(domain, sAMAccountName);
  if (objectGUID !== undefined && look.identity(objectGUID) !== undefined) return objectGUID;
  throw new CommandError(`No account that is followed is called ${text}: give DOMAIN\\name or an objectGUID`);
}
