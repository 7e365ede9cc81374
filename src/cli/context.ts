import type { ChangeLog } from '../../streams/change-log.ts';
import type { CustomerEngagement, SystemUser } from '../../streams/customer-engagement.ts';
import { nameKey } from '../../streams/identity.ts';
import type { Loaded } from '../config/load.ts';
import type { Configuration } from '../config/schema.ts';
import { createLogger, type Logger } from '../runtime/logger.ts';
import { changeLog, organizations } from '../runtime/parts.ts';

/** What every command works with. */
export interface Context {
  /** Reads the settings. @throws ConfigurationError */
  readonly load: () => Loaded;
  /** Of the process, unless it is 0. */
  readonly exitWith: (code: number) => void;
}

/** A systemuserid or objectGUID, as somebody types it. */
export const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What cannot be asked or done; the message says what to do. */
export class CommandError extends Error {
  override readonly name = 'Error';
}

/** For commands that answer on standard output: only what goes wrong is logged. */
export function quietLogger(): Logger {
  return createLogger({ level: 'error', format: 'auto' });
}

/** The log for a look, or to ask somebody at work for something. */
export async function lookAtLog(configuration: Configuration): Promise<ChangeLog> {
  return await changeLog(configuration, quietLogger(), { look: true });
}

/** The organization of this name, or the only one. @throws CommandError */
export function organizationNamed(configuration: Configuration, name: string | undefined): string {
  const names = configuration.organizations.map((organization) => organization.name);
  const found = name === undefined && names.length === 1 ? names[0] : names.find((one) => one === name);
  if (found !== undefined) return found;
  if (names.length === 0) throw new CommandError('The settings name no organizations');
  throw new CommandError(
    name === undefined
      ? `Say which with --organization: ${names.join(' or ')}`
      : `There is no organization ${name}; there is ${names.join(', ')}`,
  );
}

/** The organization of this name, or all of them. @throws CommandError */
export function organizationsNamed(configuration: Configuration, name: string | undefined): string[] {
  return name === undefined
    ? configuration.organizations.map((organization) => organization.name)
    : [organizationNamed(configuration, name)];
}

/** Those of these names; closed when they are disposed of. */
export async function openOrganizations(
  configuration: Configuration,
  names: readonly string[],
): Promise<AsyncDisposable & { readonly all: readonly CustomerEngagement[] }> {
  const wanted = configuration.organizations.filter(({ name }) => names.includes(name));
  const all = await organizations({ ...configuration, organizations: wanted }, quietLogger());
  return {
    all,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((one) => one.close()));
    },
  };
}

/** The record with this systemuserid or user name. @throws CommandError @throws CustomerEngagementError */
export async function recordOf(ce: CustomerEngagement, text: string): Promise<SystemUser> {
  const isId = GUID.test(text);
  const found = await ce.find(isId ? { systemuserids: [text.toLowerCase()], domainNames: [] } : { domainNames: [text] });
  const [record, another] = found.filter(({ systemuserid, domainname }) => nameKey(isId ? systemuserid : domainname) === nameKey(text));
  if (record === undefined) throw new CommandError(`${ce.name} has no record with the systemuserid or user name ${text}`);
  if (another !== undefined) throw new CommandError(`Several records of ${ce.name} show ${text}: give a systemuserid`);
  return record;
}
