import type { Account, Directory } from './directory.ts';
import type { Names } from './names.ts';
import { domainNameOf, type Records } from './records.ts';

export interface Logon {
  readonly canLogOn: boolean;
  readonly reason: string;
}

/**
 * Whether an AD account can log on to CE at this moment: it exists and is enabled, a record that is not disabled holds its GUID,
 * and that record shows the account's present name. The directory is asked without lag.
 *
 * @param account sAMAccountName, `DOMAIN\name` or objectGUID
 * @throws DirectoryUnreachable
 */
export async function logon(account: string, directory: Directory, names: Names, records: Records): Promise<Logon> {
  const found = await find(account, directory, names);
  if (found === undefined) return no(`There is no account ${account} in the directory.`);
  const name = names.nameOf(found);
  if (!found.enabled) return no(`The account ${name} is disabled.`);
  const record = records.holder(found.objectGUID);
  if (record === undefined) return no(`No user record holds the account ${name}.`);
  const shown = domainNameOf(record);
  if (record.columns.isdisabled === true) return no(`The user record ${record.id} of ${name} is disabled.`);
  const present = shown.includes('\\') ? name : (found.userPrincipalName ?? name);
  if (shown.toLowerCase() !== present.toLowerCase())
    return no(`The user record ${record.id} shows ${shown}, but the account is ${present} now.`);
  return { canLogOn: true, reason: `The user record ${record.id} holds the account and shows its name ${shown}.` };
}

async function find(account: string, directory: Directory, names: Names): Promise<Account | undefined> {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(account)) return (await directory.find('objectGUID', [account.toLowerCase()]))[0];
  const found = (await directory.find('sAMAccountName', [account.slice(account.indexOf('\\') + 1)]))[0];
  const right = found !== undefined && (!account.includes('\\') || names.nameOf(found).toLowerCase() === account.toLowerCase());
  return right ? found : undefined;
}

function no(reason: string): Logon {
  return { canLogOn: false, reason };
}
