import type { IncomingHttpHeaders } from 'node:http';
import { ApiError, type Dialect, errorBody, fault, faultStatus, hexCode, notImitated, odataError } from './api-error.ts';
import { batch } from './batch.ts';
import { type Answer, type Exchange, json, type Organization, parsePrefer } from './exchange.ts';
import type { DefectKind } from './traffic.ts';
import { countUsers, existing, readUser, readUsers } from './users-read.ts';
import { missingPrivilege, writeUser } from './users-write.ts';

export interface Call {
  readonly method: string;
  /** Path and query, as sent. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Scheme, host and port as the caller used them. */
  readonly origin: string;
  defect(kind: DefectKind, detail: string): void;
}

/** An older version stays available on a newer server. */
const VERSIONS: Readonly<Record<Dialect, { readonly served: readonly string[]; readonly build: string }>> = {
  '8.2': { served: ['8.0', '8.1', '8.2'], build: '8.2.2.112' },
  '9.0': { served: ['8.0', '8.1', '8.2', '9.0'], build: '9.0.2.3034' },
  '9.1': { served: ['8.0', '8.1', '8.2', '9.0', '9.1'], build: '9.1.1.1' },
};

/** Answers an authenticated call, errors in the form of the server's version. Second value: the error's code, for the log. */
export async function callApi(organization: Organization, call: Call): Promise<{ answer: Answer; code: string | null }> {
  const { dialect, settings } = organization;
  const [path = '', query = ''] = splitOnce(call.target, '?');
  const place = /^\/([^/]+)\/api\/data\/v(\d+\.\d+)\/(.*)$/.exec(path);
  const [, name = '', version = '', resource = ''] = place ?? [];
  if (name.toLowerCase() !== organization.name.toLowerCase() || !VERSIONS[dialect].served.includes(version))
    return { answer: notFoundPage(), code: null };
  const prefer = parsePrefer(call.headers.prefer);
  try {
    const { method, headers, body, origin, defect } = call;
    if (/["\\<>{}|^`]/.test(call.target)) defect('address-not-encoded', 'The address holds characters that must be percent-encoded.');
    checkHeaders(call);
    const base = `${origin}/${name}/api/data/v${version}/`;
    const exchange: Exchange = { method, resource: decodePath(resource), query, headers, body, base, prefer, defect };
    return { answer: await route(organization, exchange), code: null };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    note(call, error);
    const status = error.status ?? settings.faultStatus ?? faultStatus(dialect);
    return {
      answer: json(status, errorBody(error, dialect, prefer.has('odata.include-annotations'))),
      code: hexCode(error.code),
    };
  }
}

async function route(organization: Organization, exchange: Exchange): Promise<Answer> {
  const { resource, method } = exchange;
  if (/^WhoAmI(\(\))?$/.test(resource)) return read(exchange, () => whoAmI(organization, exchange));
  if (resource === 'RetrieveVersion()') return read(exchange, () => retrieveVersion(organization, exchange));
  if (resource === "EntityDefinitions(LogicalName='systemuser')") return read(exchange, () => definition(organization, exchange));
  if (resource === '$batch' && method === 'POST') return batch(organization, exchange, (target) => resourceBelow(exchange.base, target));
  const rolesOf = /^systemusers\(([0-9a-f-]{36})\)\/systemuserroles_association$/i.exec(resource)?.[1];
  if (rolesOf !== undefined) return read(exchange, () => roles(organization, exchange, rolesOf.toLowerCase()));
  if (resource === 'systemusers') {
    if (method === 'POST') throw notImitated('creating users with POST');
    return read(exchange, () => privileged(organization, () => readUsers(organization, exchange)));
  }
  if (resource === 'systemusers/$count') return read(exchange, () => privileged(organization, () => countUsers(organization, exchange)));
  const key = /^systemusers\((.*)\)$/.exec(resource)?.[1];
  if (key === undefined) throw unknownResource(resource);
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(key))
    throw odataError(`Error in query syntax: '${key}' is no key of systemuser.`);
  const id = key.toLowerCase();
  if (method === 'PATCH') return writeUser(organization, exchange, id);
  return read(exchange, () => privileged(organization, () => readUser(organization, exchange, id)));
}

function read(exchange: Exchange, answer: () => Answer): Answer {
  if (exchange.method === 'GET') return answer();
  exchange.defect('method', `${exchange.method} ${exchange.resource}`);
  const verb = exchange.method === 'DELETE' ? 'Delete' : exchange.method;
  throw fault('methodNotAllowed', `The '${verb}' method does not support entities of type 'systemuser'.`);
}

function privileged(organization: Organization, answer: () => Answer): Answer {
  if (organization.settings.deniedPrivileges.includes('prvReadUser')) throw missingPrivilege(organization, 'prvReadUser');
  return answer();
}

function unknownResource(resource: string): ApiError {
  if (/^(\$batch|\$metadata|systemusers\(.*\)\/|EntityDefinitions|$)/.test(resource))
    return notImitated(resource === '' ? 'the service document' : resource);
  return new ApiError('http', 404, 0x8006088a, `Resource not found for the segment '${resource}'.`);
}

function whoAmI({ businessUnitId, caller, organizationId }: Organization, exchange: Exchange): Answer {
  const context = `${exchange.base}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse`;
  return json(200, { '@odata.context': context, BusinessUnitId: businessUnitId, UserId: caller, OrganizationId: organizationId });
}

function retrieveVersion({ dialect }: Organization, exchange: Exchange): Answer {
  const context = `${exchange.base}$metadata#Microsoft.Dynamics.CRM.RetrieveVersionResponse`;
  return json(200, { '@odata.context': context, Version: VERSIONS[dialect].build });
}

function definition({ settings }: Organization, exchange: Exchange): Answer {
  if (exchange.query !== '$select=IsOptimisticConcurrencyEnabled') throw notImitated('other metadata than IsOptimisticConcurrencyEnabled');
  return json(200, {
    '@odata.context': `${exchange.base}$metadata#EntityDefinitions(IsOptimisticConcurrencyEnabled)/$entity`,
    IsOptimisticConcurrencyEnabled: settings.optimisticConcurrency,
    MetadataId: 'e3b8a1c4-52d7-4f60-9a0b-6d1c7f2e8a35',
  });
}

/** The template of the role that every organization is made with. */
const SYSTEM_ADMINISTRATOR = '627090ff-40a3-4053-8790-584edc5be201';

/** The security roles of a user; only the caller has any here. */
function roles(organization: Organization, exchange: Exchange, id: string): Answer {
  if (exchange.query !== '$select=_roletemplateid_value') throw notImitated('other columns of roles than _roletemplateid_value');
  if (organization.settings.deniedPrivileges.includes('prvReadRole')) throw missingPrivilege(organization, 'prvReadRole');
  const names = existing(organization, id).id === organization.caller ? organization.settings.callerRoles : [];
  const value = names.map((name, index) => ({
    roleid: `00000000-0000-4000-9000-${String(index).padStart(12, '0')}`,
    _roletemplateid_value: name === 'System Administrator' ? SYSTEM_ADMINISTRATOR : null,
  }));
  return json(200, { '@odata.context': `${exchange.base}$metadata#roles(_roletemplateid_value)`, value });
}

/** What an address of a part of a $batch names below the service root; undefined where it leads elsewhere. */
function resourceBelow(base: string, target: string): string | undefined {
  const root = new URL(base);
  const url = URL.parse(target, base);
  return url?.origin === root.origin && url.pathname.startsWith(root.pathname)
    ? decodePath(url.pathname.slice(root.pathname.length))
    : undefined;
}

/** Every request should say which OData it speaks and what it takes; a body needs its type. */
function checkHeaders(call: Call): void {
  const { headers, defect } = call;
  for (const name of ['odata-version', 'odata-maxversion']) {
    const value = headers[name];
    if (value === undefined) defect('header-missing', name);
    else if (value !== '4.0') {
      defect('header-wrong', `${name}: ${String(value)}`);
      throw new ApiError('odata', 400, 0, `The value '${String(value)}' of the header '${name}' is not supported; the only one is 4.0.`);
    }
  }
  const { accept } = headers;
  if (accept === undefined) defect('header-missing', 'accept');
  else if (!/application\/json|\*\/\*/i.test(accept)) defect('header-wrong', `accept: ${accept}`);
  if (headers.mscrmcallerid !== undefined || headers.callerobjectid !== undefined) {
    defect('impersonation', 'The service acts for nobody but itself.');
    throw fault('privilegeDenied', 'The caller is missing prvActOnBehalfOfAnotherUser privilege');
  }
  if (call.method !== 'PATCH' && call.method !== 'POST') return;
  const type = headers['content-type'];
  if (type !== undefined && call.method === 'POST' && /^multipart\/mixed\s*;/i.test(type)) return;
  if (type !== undefined && /^application\/json\s*(;|$)/i.test(type)) return;
  defect(type === undefined ? 'header-missing' : 'header-wrong', `content-type: ${type ?? ''}`);
  throw new ApiError('http', 415, 0x8006088a, 'The content type of the request is not supported.');
}

function note(call: Call, error: ApiError): void {
  if (error.status === 501) call.defect('not-imitated', error.message);
  const property = /Could not find a property named '(\w+)'/.exec(error.message)?.[1];
  if (property === undefined) return;
  call.defect(HIDDEN.has(property) ? 'column-hidden' : 'column-unknown', `asked for ${property}`);
}

const HIDDEN = new Set(['activedirectoryguid', 'isactivedirectoryuser', 'latestupdatetime']);

/** What IIS says where there is no organization or no such version. */
function notFoundPage(): Answer {
  return page(404, 'Not Found', 'The resource cannot be found.');
}

/** An error page of the web server instead of the API's JSON. */
export function page(status: number, title: string, text: string, headers: Answer['headers'] = {}): Answer {
  const body = `<!DOCTYPE html>\r\n<html><head><title>${status} - ${title}</title></head>\r\n<body><h1>Server Error</h1><h2>${status} - ${title}</h2><h3>${text}</h3></body></html>\r\n`;
  return { status, headers: { 'content-type': 'text/html', ...headers }, body };
}

function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw fault('httpError', 'The address is not correctly encoded.');
  }
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
