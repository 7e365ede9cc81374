import type { Command } from 'commander';
import type { AccountFacts } from '../../../streams/account-desk.ts';
import type { SystemUser } from '../../../streams/customer-engagement.ts';
import { domainNameParts, nameKey, sameName } from '../../../streams/identity.ts';
import { parkingFlaws } from '../../../streams/repairer/parking.ts';
import type { Configuration } from '../../config/schema.ts';
import { Accounts } from '../../directory/accounts.ts';
import { EXIT } from '../../runtime/exit-codes.ts';
import { accountsSettings } from '../../runtime/parts.ts';
import { printable } from '../../runtime/printable.ts';
import { ask } from '../ask.ts';
import { CommandError, type Context, openOrganizations } from '../context.ts';
import { asTable, type Column } from '../table.ts';

interface Row {
  readonly organization: string;
  readonly account: string;
  readonly dn: string;
  readonly enabled: boolean | undefined;
  /** The record that is on it. */
  readonly record: SystemUser | undefined;
  readonly problems: readonly string[];
}

/** The accounts by way of which records are renamed. */
export function addParking(program: Command, { load, exitWith }: Context): void {
  const parking = program.command('parking').description('see, check and make parking accounts');
  parking
    .command('list')
    .description('list the parking accounts of the settings, and who is on them')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: true }) => {
      const rows = await examine(load().configuration);
      console.log(json ? JSON.stringify(rows, null, 2) : asTable(COLUMNS, rows));
    });
  parking
    .command('check')
    .description('check that each exists, is where it should be, is in no record and not privileged; exit code 1 where one is not')
    .action(async () => {
      const rows = await examine(load().configuration);
      for (const { organization, account, problems } of rows) {
        console.log(printable(`${organization}  ${account}  ${problems.length === 0 ? 'good' : problems.join('; ')}`));
      }
      if (rows.some(({ problems }) => problems.length > 0)) exitWith(EXIT.failed);
    });
  parking
    .command('create <count>')
    .description('make parking accounts in an OU, with random passwords that nobody keeps')
    .requiredOption('--ou <dn>', 'where, such as OU=Parking,DC=corp,DC=example,DC=test')
    .option('--prefix <text>', 'of their names, which go on with a number', 'ns-park-')
    .option('--enabled', 'leave them enabled: whether Customer Engagement takes disabled ones is not known of every version')
    .option('--directory <n>', 'which entry of directories, from 0', '0')
    .addHelpText(
      'after',
      '\nAsks for an account that may make others, and its password; they are used once and kept nowhere. Piped in, they are two lines.',
    )
    .action(
      async (
        count: string,
        { ou, prefix, enabled = false, directory }: { ou: string; prefix: string; enabled?: boolean; directory: string },
      ) => {
        const { configuration } = load();
        const number = Number(count);
        if (!Number.isInteger(number) || number < 1 || number > 100)
          throw new CommandError(`Expected a number from 1 to 100, not ${count}`);
        if (!/^[A-Za-z0-9-]+$/.test(prefix)) throw new CommandError('Expected letters, digits and dashes as a prefix');
        const settings = accountsSettings(configuration)[Number(directory)];
        if (settings === undefined) throw new CommandError(`The settings have no directories.${directory}`);
        const user = await ask('Account that may make others (UPN or DOMAIN\\name): ');
        const password = await ask('Its password: ', { secret: true });
        await using accounts = await Accounts.open(
          { ...settings, bindDn: user, password: () => password },
          AbortSignal.timeout(settings.deadline * 5),
        );
        const names: string[] = [];
        for (let next = 1; names.length < number; next += number) {
          const wanted = Array.from({ length: number }, (_, index) => `${prefix}${String(next + index).padStart(2, '0')}`);
          const taken = new Set((await accounts.taken(wanted)).map(nameKey));
          for (const name of wanted.filter((one) => !taken.has(nameKey(one))).slice(0, number - names.length)) {
            await accounts.createParking(name, ou, { enabled });
            names.push(name);
            console.log(`made ${name}${enabled ? '' : ', disabled'}`);
          }
        }
        console.log(advice(names));
      },
    );
}

/** What is left to a person. */
function advice(names: readonly string[]): string {
  return [
    '',
    'Now:',
    '- Deny them any logon: a group policy with "Deny log on locally", "… through Remote Desktop Services", "… as a service", "… as a batch job"',
    '  and "Deny access to this computer from the network". Whoever can log on as one of them is, for a moment, somebody else.',
    '- Name them in the settings of an organization, with the domain in front, and start the repairer again:',
    `    parkingAccounts: [${names.map((name) => `'DOMAIN\\${name}'`).join(', ')}]`,
    '- namesake parking check',
  ].join('\n');
}

const COLUMNS: Column<Row>[] = [
  ['ORGANIZATION', ({ organization }) => organization],
  ['ACCOUNT', ({ account }) => account],
  ['ENABLED', ({ enabled }) => (enabled === undefined ? 'not there' : enabled ? 'yes' : 'no')],
  ['RECORD ON IT', ({ record }) => (record === undefined ? 'none' : `${record.fullname} (${record.systemuserid})`)],
  ['PROBLEMS', ({ problems }) => problems.join('; ')],
];

async function examine(configuration: Configuration): Promise<Row[]> {
  const facts = await factsOf(configuration);
  await using organizations = await openOrganizations(
    configuration,
    configuration.organizations.map(({ name }) => name),
  );
  const rows: Row[] = [];
  const users = Map.groupBy(
    configuration.organizations.flatMap(({ parkingAccounts }) => parkingAccounts),
    nameKey,
  );
  for (const ce of organizations.all) {
    const settings = configuration.organizations.find(({ name }) => name === ce.name);
    if (settings === undefined) continue;
    const records = await ce.find({ domainNames: settings.parkingAccounts });
    for (const account of settings.parkingAccounts) {
      const fact = facts.get(nameKey(domainNameParts(account).sAMAccountName));
      const record = records.find(({ domainname }) => sameName(domainname, account));
      const shared = (users.get(nameKey(account))?.length ?? 0) > 1;
      rows.push({
        organization: ce.name,
        account,
        dn: fact?.dn ?? '',
        enabled: fact?.enabled,
        record,
        problems: problemsOf(fact, settings.parkingOu, record, shared),
      });
    }
  }
  return rows;
}

function problemsOf(fact: AccountFacts | undefined, ou: string | undefined, record: SystemUser | undefined, shared: boolean): string[] {
  if (fact === undefined) return ['there is no such account: namesake parking create'];
  return [
    ...parkingFlaws(fact, ou),
    ...(record !== undefined ? [`the record of ${record.fullname} is on it: see namesake drift`] : []),
    ...(shared ? ['several organizations name it: a pool of its own for each is better'] : []),
  ];
}

/** By name. An account of a domain that cannot be asked is not there. */
async function factsOf(configuration: Configuration): Promise<Map<string, AccountFacts>> {
  const names = configuration.organizations.flatMap(({ parkingAccounts }) =>
    parkingAccounts.map((account) => domainNameParts(account).sAMAccountName),
  );
  const facts = new Map<string, AccountFacts>();
  for (const settings of accountsSettings(configuration)) {
    await using accounts = await Accounts.open(settings, AbortSignal.timeout(settings.deadline * 5));
    for (const fact of await accounts.find(names)) facts.set(nameKey(fact.sAMAccountName), fact);
  }
  return facts;
}
