import type { FaultName } from './api-error.ts';

export type Value = string | number | boolean | null;

/** A column of systemuser, as the shipped metadata describes it (README, "systemuser"). */
export interface Column {
  readonly type: 'string' | 'guid' | 'boolean' | 'integer' | 'datetime';
  /** Longest text, in UTF-16 code units. */
  readonly max?: number;
  /** False: activedirectoryguid and its kin, which the API never shows. */
  readonly read: boolean;
  readonly update: boolean;
  /** What a new record holds. */
  readonly initial: Value;
  /** The code with which the platform refuses a write, when it is not the common one for a column that cannot be updated. */
  readonly refusal?: FaultName;
}

const text = (max: number): Column => ({ type: 'string', max, read: true, update: true, initial: null });
const readOnly = (type: Column['type'], initial: Value = null): Column => ({ type, read: true, update: false, initial });
const hidden = (type: Column['type']): Column => ({ type, read: false, update: false, initial: null });
const writable = (type: Column['type'], initial: Value): Column => ({ type, read: true, update: true, initial });
const refused = (column: Column, refusal: FaultName): Column => ({ ...column, update: false, refusal });

function named(names: readonly string[], column: Column): Record<string, Column> {
  return Object.fromEntries(names.map((name) => [name, column]));
}

const table: Readonly<Record<string, Column>> = {
  systemuserid: readOnly('guid'),
  ownerid: readOnly('guid'),
  domainname: text(1024),
  firstname: text(64),
  middlename: text(50),
  lastname: text(64),
  fullname: { ...readOnly('string'), max: 200 },
  ...named(['yomifirstname', 'yomilastname', 'mobilephone'], text(64)),
  yomimiddlename: text(50),
  yomifullname: readOnly('string'),
  ...named(['internalemailaddress', 'personalemailaddress', 'mobilealertemail', 'employeeid', 'governmentid', 'jobtitle'], text(100)),
  ...named(['windowsliveid', 'address1_line1', 'address1_line2', 'address1_line3'], text(1024)),
  title: text(128),
  homephone: text(50),
  ...named(['address1_telephone1', 'address1_telephone2', 'address1_telephone3', 'address1_fax'], text(64)),
  ...named(['address1_city', 'address1_country', 'address1_county', 'address1_stateorprovince'], text(128)),
  ...named(['address1_postalcode', 'address1_postofficebox'], text(40)),
  isdisabled: writable('boolean', false),
  disabledreason: readOnly('string'),
  accessmode: writable('integer', 0),
  caltype: writable('integer', 0),
  emailrouteraccessapproval: writable('integer', 0),
  setupuser: writable('boolean', false),
  isintegrationuser: writable('boolean', false),
  islicensed: refused(readOnly('boolean', true), 'isLicensedCannotBeModified'),
  issyncwithdirectory: refused(readOnly('boolean', false), 'isSyncWithDirectoryCannotBeModified'),
  azureactivedirectoryobjectid: refused(readOnly('guid'), 'azureObjectIdCannotBeModified'),
  applicationid: refused(readOnly('guid'), 'applicationUserCannotBeUpdated'),
  _businessunitid_value: readOnly('guid'),
  _modifiedby_value: readOnly('guid'),
  organizationid: readOnly('guid'),
  identityid: readOnly('integer'),
  createdon: readOnly('datetime'),
  modifiedon: readOnly('datetime'),
  versionnumber: readOnly('integer'),
  activedirectoryguid: hidden('guid'),
  isactivedirectoryuser: hidden('boolean'),
  latestupdatetime: hidden('datetime'),
};

const columns: ReadonlyMap<string, Column> = new Map(Object.entries(table));

export const readableColumns: readonly string[] = [...columns].filter(([, column]) => column.read).map(([name]) => name);

/** Names are case-sensitive, as everything in a Web API address. */
export function columnNamed(name: string): Column | undefined {
  return columns.get(name);
}

/** A record's columns before anything is known about it. */
export function initialColumns(): Record<string, Value> {
  return Object.fromEntries(readableColumns.map((name) => [name, columns.get(name)?.initial ?? null]));
}
