import { ApiError, type FaultName, fault, notImitated, odataError } from './api-error.ts';
import { columnNamed, initialColumns, type Value } from './columns.ts';
import { type Account, DirectoryUnreachable } from './directory.ts';
import { type Answer, type Exchange, json, type Organization } from './exchange.ts';
import { parseQuery } from './query.ts';
import { domainNameOf, type UserRecord } from './records.ts';
import { entity, etag } from './users-read.ts';

type Changes = Readonly<Record<string, Value>>;

/** PATCH systemusers(id): the rules and their order are those of the README, "Writing a user name". */
export async function writeUser(organization: Organization, exchange: Exchange, id: string): Promise<Answer> {
  const { select } = parseQuery(exchange.query);
  const changes = parseChanges(exchange);
  noteUpsert(exchange);
  const { domainname } = changes;
  // Before the look-up, so that what is refused anyway costs none; and after it, since the record may have changed meanwhile, which
  // makes no caller careless.
  const needsName = check(organization, exchange, id, changes);
  if (!needsName && 'domainname' in changes) exchange.defect('write-without-effect', `The record shows ${changes.domainname} already.`);
  for (const [column, value] of Object.entries(changes))
    if (column !== 'domainname' && value === organization.records.get(id)?.columns[column])
      exchange.defect('write-without-effect', `The record has that ${column} already.`);
  const account = needsName && typeof domainname === 'string' ? await resolve(organization, domainname) : undefined;
  const stillNeedsName = needsName && check(organization, exchange, id, changes);
  const { record, created } = store(organization, id, changes, stillNeedsName ? account : undefined);
  if (created) exchange.defect('created-a-user', `There was no record ${id}; the PATCH made one.`);
  return written(exchange, record, created, select);
}

/**
 * The writes of a change set, all or none (page "Execute batch operations using the Web API"). What other records hold is looked at as
 * it was before, and so is what this one holds, unless the settings say that change sets see themselves.
 */
export async function writeUsers(organization: Organization, writes: readonly { exchange: Exchange; id: string }[]): Promise<Answer[]> {
  const { records, settings } = organization;
  const parsed = writes.map(({ exchange, id }) => ({ exchange, id, changes: parseChanges(exchange) }));
  const accounts: (Account | undefined)[] = [];
  for (const { exchange, changes } of parsed) {
    noteUpsert(exchange);
    accounts.push(typeof changes.domainname === 'string' ? await resolve(organization, changes.domainname) : undefined);
  }
  // From here on nothing can come in between.
  const before = new Map(writes.map(({ id }) => [id, records.get(id)]));
  const held = new Set([...before.values()].map((record) => record?.mapping?.objectGUID));
  try {
    return parsed.map(({ exchange, id, changes }, index) => {
      if (before.get(id) === undefined) throw fault('objectDoesNotExist', `systemuser With Id = ${id} Does Not Exist`);
      const account = check(organization, exchange, id, changes) ? accounts[index] : undefined;
      if (account !== undefined && settings.changeSets === 'refused' && held.has(account.objectGUID)) throw fault(settings.heldName);
      return written(exchange, store(organization, id, changes, account).record, false, []);
    });
  } catch (error) {
    records.put(...[...before.values()].filter((record) => record !== undefined));
    throw error;
  }
}

function noteUpsert(exchange: Exchange): void {
  if (exchange.headers['if-match'] === undefined && exchange.headers['if-none-match'] === undefined)
    exchange.defect('write-without-if-match', 'A PATCH without If-Match creates a user when the record does not exist.');
}

/** Everything that can be said without the directory. True: the user name changes and has to be looked up. */
function check(organization: Organization, exchange: Exchange, id: string, changes: Changes): boolean {
  const record = organization.records.get(id);
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = exchange.headers;
  if (record === undefined && ifMatch !== undefined) throw fault('objectDoesNotExist', `systemuser With Id = ${id} Does Not Exist`);
  if (record !== undefined && (ifNoneMatch === '*' || ifNoneMatch === '"*"')) throw fault('recordExists');
  if (record !== undefined && ifMatch !== undefined) checkVersion(organization, record, ifMatch);
  if (organization.settings.deniedPrivileges.includes('prvWriteUser')) throw missingPrivilege(organization, 'prvWriteUser');
  const { needsSystemAdministrator, callerRoles } = organization.settings;
  if ('domainname' in changes && needsSystemAdministrator && !callerRoles.includes('System Administrator')) throw fault('privilegeDenied');
  if (record === undefined) {
    if (typeof changes.domainname !== 'string' || changes.domainname === '') throw fault('missingDomainName');
    return true;
  }
  if (id === organization.caller && 'domainname' in changes) throw fault('callerCannotChangeOwnDomainName');
  const special = untouchable(record);
  if (special !== undefined) throw fault(special);
  if (!('domainname' in changes)) return false;
  if (typeof changes.domainname !== 'string' || changes.domainname === '') throw fault('missingDomainName');
  return changes.domainname.toLowerCase() !== domainNameOf(record).toLowerCase();
}

function checkVersion(organization: Organization, record: UserRecord, ifMatch: string): void {
  if (ifMatch === '*' || ifMatch === '"*"') return;
  if (!organization.settings.optimisticConcurrency) throw fault('concurrencyNotEnabled');
  if (ifMatch !== etag(record)) throw fault('versionMismatch');
}

export function missingPrivilege(organization: Organization, privilege: string): ApiError {
  return fault('privilegeDenied', `Principal user (Id=${organization.caller}, type=8) is missing ${privilege} privilege`);
}

/** Why nobody may change this record, if so. */
function untouchable({ columns }: UserRecord): FaultName | undefined {
  const { setupuser, isintegrationuser, fullname, accessmode, applicationid } = columns;
  if (setupuser === true || isintegrationuser === true || fullname === 'SYSTEM' || fullname === 'INTEGRATION')
    return 'cannotModifySpecialUser';
  if (accessmode === 3) return 'supportUserCannotBeUpdated';
  if (accessmode === 5) return 'delegatedAdminCannotBeUpdated';
  return typeof applicationid === 'string' ? 'applicationUserCannotBeUpdated' : undefined;
}

async function resolve(organization: Organization, name: string): Promise<Account> {
  let account: Account | undefined;
  try {
    account = await organization.names.resolve(name);
  } catch (error) {
    if (error instanceof DirectoryUnreachable) throw fault('lookupAccountName');
    throw error;
  }
  if (account === undefined) throw fault(organization.settings.unresolvableName);
  if (!account.enabled && organization.settings.disabledAccounts === 'refused') throw fault('cannotReadAccountControl');
  return account;
}

function store(
  organization: Organization,
  id: string,
  changes: Changes,
  account: Account | undefined,
): { record: UserRecord; created: boolean } {
  const { records, settings } = organization;
  // Also when the record itself is the holder: this is why a renamed account has to go through another name.
  const holder = account && records.holder(account.objectGUID);
  const former = account && settings.keepsFormerAccounts ? records.formerHolder(account.objectGUID) : undefined;
  if (holder !== undefined || (former !== undefined && former.id !== id)) throw fault(settings.heldName);
  const before = records.get(id);
  const effective = before === undefined || account !== undefined ? changes : without(changes, 'domainname');
  if (before !== undefined && Object.keys(effective).length === 0) return { record: before, created: false };
  const record = changed(organization, before ?? blank(organization, id), effective, account);
  records.put(record);
  return { record, created: before === undefined };
}

function changed(organization: Organization, before: UserRecord, changes: Changes, account: Account | undefined): UserRecord {
  const columns: Record<string, Value> = {
    ...before.columns,
    ...changes,
    modifiedon: timestamp(),
    _modifiedby_value: organization.caller,
  };
  const { settings } = organization;
  if (account !== undefined && settings.derivesUpn) columns.domainname = account.userPrincipalName ?? columns.domainname ?? null;
  if (account !== undefined && settings.refreshesNames) {
    const { givenName = null, sn = null, mail = null } = account;
    Object.assign(columns, { firstname: givenName, lastname: sn, internalemailaddress: mail });
  }
  const renamed = 'firstname' in changes || 'lastname' in changes || (account !== undefined && settings.refreshesNames);
  if (renamed) columns.fullname = fullName(columns);
  const mapping = account === undefined ? before.mapping : { objectGUID: account.objectGUID, objectSid: account.objectSid };
  const left = account === undefined || !settings.keepsFormerAccounts ? undefined : before.mapping?.objectGUID;
  const formerAccounts = left === undefined ? before.formerAccounts : [...(before.formerAccounts ?? []), left];
  return { id: before.id, version: organization.records.nextVersion(), columns, mapping, formerAccounts };
}

/** A record without a name, as a new one starts. */
export function blank(organization: Organization, id: string): UserRecord {
  const columns = {
    ...initialColumns(),
    _businessunitid_value: organization.businessUnitId,
    _modifiedby_value: organization.caller,
    organizationid: organization.organizationId,
    identityid: organization.records.size + 1,
    createdon: timestamp(),
    modifiedon: timestamp(),
  };
  return { id, version: organization.records.nextVersion(), columns, mapping: null };
}

function written(exchange: Exchange, record: UserRecord, created: boolean, select: readonly string[]): Answer {
  if (exchange.prefer.get('return') === 'representation')
    return json(created ? 201 : 200, entity(exchange, record, select), {
      etag: etag(record),
      'preference-applied': 'return=representation',
    });
  return { status: 204, headers: { 'odata-version': '4.0', 'odata-entityid': `${exchange.base}systemusers(${record.id})` }, body: '' };
}

function parseChanges(exchange: Exchange): Changes {
  const changes: Record<string, Value> = {};
  for (const [name, value] of Object.entries(parseObject(exchange.body))) {
    if (name.endsWith('@odata.bind')) throw notImitated('changing look-up columns');
    if (name.startsWith('@odata.')) continue;
    const checked = checkColumn(exchange, name, value);
    if (name === 'isdisabled') exchange.defect('column-not-updatable', 'Writing isdisabled does nothing on-premises; SetState does it.');
    else changes[name] = checked;
  }
  return changes;
}

function parseObject(body: string): object {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch {
    // Said below.
  }
  throw payloadError('The payload is not a JSON object.');
}

function checkColumn(exchange: Exchange, name: string, value: unknown): Value {
  const column = columnNamed(name);
  if (column === undefined) {
    exchange.defect('column-unknown', `systemuser has no column ${name}.`);
    throw payloadError(`An undeclared property '${name}' was found in the payload.`);
  }
  if (!column.update) {
    exchange.defect('column-not-updatable', `The column ${name} cannot be written.`);
    throw fault(column.refusal ?? 'notValidForUpdate');
  }
  if (
    value !== null &&
    !(column.type === 'string'
      ? typeof value === 'string'
      : column.type === 'boolean'
        ? typeof value === 'boolean'
        : Number.isInteger(value))
  )
    throw payloadError(`Cannot convert the value of '${name}' to the expected type.`);
  if (typeof value === 'string' && value.length > (column.max ?? Number.POSITIVE_INFINITY)) throw fault('stringLengthTooLong');
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

function payloadError(message: string): ApiError {
  const error = odataError(`Error identified in Payload provided by the user for Entity :'systemusers', InnerException : ${message}`);
  return new ApiError(error.origin, error.status, 0x80048d19, error.message);
}

function without(changes: Changes, name: string): Changes {
  return Object.fromEntries(Object.entries(changes).filter(([key]) => key !== name));
}

/** First and last name; the database computes it and nobody writes it. */
function fullName(columns: Readonly<Record<string, Value>>): string {
  return [columns.firstname, columns.lastname].filter((part) => typeof part === 'string' && part !== '').join(' ');
}

/** ISO 8601 in UTC; the database keeps whole seconds. */
function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
