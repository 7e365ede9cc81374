import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config, type ConfigInput } from '../../../infra/customer-engagement/config.ts';
import { ControlClient } from '../../../infra/customer-engagement/control-client.ts';
import { startStandIn } from '../../../infra/customer-engagement/stand-in.ts';

/** A user account of the file that stands for the directory. */
export interface FileAccount {
  readonly objectGUID: string;
  readonly objectSid: string;
  readonly sAMAccountName: string;
  readonly userPrincipalName?: string;
  readonly enabled?: boolean;
  readonly givenName?: string;
  readonly sn?: string;
  readonly mail?: string;
}

/** An id that is easy to read in a failed test. */
export function id(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

export function account(number: number, sAMAccountName: string, more: Partial<FileAccount> = {}): FileAccount {
  return { objectGUID: id(1000 + number), objectSid: `S-1-5-21-1-2-3-${1000 + number}`, sAMAccountName, ...more };
}

export const SERVICE = id(1);
export const ANN = id(2);
export const BEN = id(3);
export const LEAVER = id(4);
export const SYSTEM = id(5);
export const STALE = id(6);

export const ACCOUNTS: readonly FileAccount[] = [
  account(1, 'svc-namesake'),
  account(2, 'alee', { userPrincipalName: 'alee@corp.example.test' }),
  account(3, 'bokafor'),
  account(4, 'leaver'),
  account(5, 'park1'),
  account(6, 'park2'),
  account(7, 'off', { enabled: false }),
];

export const SEED: NonNullable<ConfigInput['seed']> = [
  { systemuserid: SERVICE, fullname: 'Namesake Service', domainname: 'CORP\\svc-namesake' },
  {
    systemuserid: ANN,
    fullname: 'Ann Lee',
    firstname: 'Ann',
    lastname: 'Lee',
    domainname: 'CORP\\alee',
    internalemailaddress: 'ann@corp.example.test',
  },
  { systemuserid: BEN, fullname: "Ben O'Kafor", firstname: 'Ben', lastname: "O'Kafor", domainname: 'CORP\\bokafor' },
  { systemuserid: LEAVER, fullname: 'A Leaver', domainname: 'CORP\\leaver', isdisabled: true },
  { systemuserid: SYSTEM, fullname: 'SYSTEM', domainname: '', setupuser: true },
  { systemuserid: STALE, fullname: 'Long Gone', domainname: 'CORP\\gone' },
];

export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

export const TOKEN = 'a-token-of-the-tests';

const USUAL: http.OutgoingHttpHeaders = {
  authorization: `Bearer ${TOKEN}`,
  accept: 'application/json',
  'odata-version': '4.0',
  'odata-maxversion': '4.0',
};

/** One request as a careful caller sends it; a header of undefined is left out. */
export async function request(
  url: string,
  method: string,
  headers: Record<string, string | undefined> = {},
  body?: string,
): Promise<Reply> {
  const all = Object.fromEntries(Object.entries({ ...USUAL, ...headers }).filter(([, value]) => value !== undefined));
  return await new Promise((resolve, reject) => {
    const outgoing = http.request(url, { method, headers: all, agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** An organization of a test's own, on a directory that is a file. */
export class TestOrganization implements AsyncDisposable {
  readonly path: string;
  readonly base: string;
  readonly control: ControlClient;
  readonly #close: () => Promise<void>;

  private constructor(path: string, base: string, control: ControlClient, close: () => Promise<void>) {
    this.path = path;
    this.base = base;
    this.control = control;
    this.#close = close;
  }

  static async start(settings: Partial<ConfigInput> = {}): Promise<TestOrganization> {
    const path = await mkdtemp(join(tmpdir(), 'ce-'));
    const config = Config.parse({ ...(await writeConfig(path)), ...settings });
    const standIn = await startStandIn(config);
    const { dialect } = config;
    return new TestOrganization(
      path,
      `http://127.0.0.1:${standIn.port}/contoso/api/data/v${dialect}/`,
      new ControlClient(`http://127.0.0.1:${standIn.controlPort}`),
      () => standIn.close(),
    );
  }

  async get(resource: string, headers: Record<string, string | undefined> = {}): Promise<Reply> {
    return await request(this.base + resource, 'GET', headers);
  }

  /** The records that a filter finds, by name. */
  async find(filter: string): Promise<string[]> {
    const reply = await this.get(`systemusers?$select=fullname&$filter=${encodeURIComponent(filter)}`);
    if (reply.status !== 200) throw new Error(reply.text);
    return JSON.parse(reply.text).value.map((user: { fullname: string }) => user.fullname);
  }

  async patch(user: string, columns: object, headers: Record<string, string | undefined> = {}, query = ''): Promise<Reply> {
    const all = { 'content-type': 'application/json; charset=utf-8', 'if-match': '*', ...headers };
    return await request(`${this.base}systemusers(${user})${query}`, 'PATCH', all, JSON.stringify(columns));
  }

  async record(user: string) {
    const found = (await this.control.records()).find(({ systemuserid }) => systemuserid === user);
    if (found === undefined) throw new Error(`There is no record ${user}.`);
    return found;
  }

  /** Makes the directory what it is from now on. */
  async directory(accounts: readonly FileAccount[]): Promise<void> {
    await writeFile(join(this.path, 'directory.json'), JSON.stringify(accounts));
  }

  /** An account of the directory gets another name. */
  async rename(from: string, to: string): Promise<void> {
    const accounts: FileAccount[] = JSON.parse(await readFile(join(this.path, 'directory.json'), 'utf8'));
    await this.directory(accounts.map((each) => (each.sAMAccountName === from ? { ...each, sAMAccountName: to } : each)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await rm(this.path, { recursive: true });
  }
}

/** A configuration in a directory, with the file that stands for the directory service. */
export async function writeConfig(path: string): Promise<ConfigInput> {
  await writeFile(join(path, 'directory.json'), JSON.stringify(ACCOUNTS));
  return {
    stateFile: join(path, 'records.jsonl'),
    requestLog: join(path, 'requests.jsonl'),
    listen: { host: '127.0.0.1', port: 0 },
    control: { host: '127.0.0.1', port: 0 },
    organization: 'contoso',
    token: TOKEN,
    caller: SERVICE,
    directory: { file: join(path, 'directory.json'), netbios: 'CORP' },
    seed: SEED,
  };
}

export function code(reply: Reply): string {
  return JSON.parse(reply.text).error.code;
}
