import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Authority } from './authority.ts';
import { bulkUser, LISTENER } from './content.ts';
import type { Directory } from './directory.ts';
import { ManagedProcess } from './process.ts';

export interface CustomerEngagementOptions {
  /** Its own directory. */
  readonly path: string;
  readonly address: string;
  readonly authority: Authority;
  readonly directory: Directory;
  /** How many bulk users have a record, beginning with the first. */
  readonly linked: number;
  /** Whether it takes NTLM logons, and those that a proxy has checked. */
  readonly windowsLogon: boolean;
}

interface Seed {
  readonly systemuserid: string;
  readonly fullname: string;
  readonly domainname: string;
  readonly firstname?: string;
  readonly lastname?: string;
  readonly internalemailaddress?: string;
  readonly isdisabled?: boolean;
}

const PROGRAM = fileURLToPath(new URL('../customer-engagement/main.ts', import.meta.url));
const PORT = 8443;
const CONTROL_PORT = 8444;
const ORGANIZATION = 'contoso';

export const CUSTOMER_ENGAGEMENT_PORTS: readonly number[] = [PORT, CONTROL_PORT];

/** The CE stand-in, a process of its own; its records survive stop and start. */
export class CustomerEngagement extends ManagedProcess {
  /** The organization's root: the Web API is below `/api/data`. */
  readonly url: string;
  readonly controlUrl: string;
  readonly caFile: string;
  /** A bearer token that it accepts. */
  readonly token: string;
  readonly tokenFile: string;
  readonly requestLog: string;
  /** Shows that a request comes from a proxy that has checked who asks. */
  readonly proxySecret: string;

  private constructor(
    options: CustomerEngagementOptions,
    config: string,
    requestLog: string,
    token: string,
    tokenFile: string,
    proxySecret: string,
  ) {
    super({
      name: 'customer engagement',
      command: process.execPath,
      args: [PROGRAM, config],
      cwd: options.path,
      log: join(options.path, 'customer-engagement.log'),
      ready: async (output) => {
        if (!/^ready /m.test(await output())) {
          throw new Error('it has not said that it is ready');
        }
      },
      startWithin: 30_000,
      stopWithin: 5_000,
    });
    this.url = `https://${options.address}:${PORT}/${ORGANIZATION}`;
    this.controlUrl = `http://${options.address}:${CONTROL_PORT}`;
    this.caFile = options.authority.caFile;
    this.requestLog = requestLog;
    this.token = token;
    this.tokenFile = tokenFile;
    this.proxySecret = proxySecret;
  }

  /** The systemuserid of the record that was seeded for this account. */
  static idOf(sAMAccountName: string): string {
    const hex = createHash('sha256').update(sAMAccountName).digest('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
  }

  /** Everything up to the start, which has to wait for the directory: seeded names are looked up there. */
  static async prepare(options: CustomerEngagementOptions): Promise<CustomerEngagement> {
    const { path, address, authority, directory, linked, windowsLogon } = options;
    const proxySecret = randomBytes(16).toString('hex');
    await mkdir(path, { recursive: true, mode: 0o700 });
    const certificate = await authority.issue(`crm-${address}`, ['crm.example.test', 'localhost', address, '127.0.0.1']);
    const tokenFile = join(path, 'token');
    const token = await secret(tokenFile);
    const requestLog = join(path, 'requests.jsonl');
    const config = join(path, 'config.json');
    const content = {
      stateFile: join(path, 'records.jsonl'),
      requestLog,
      listen: { host: address, port: PORT },
      control: { host: address, port: CONTROL_PORT },
      tls: certificate,
      organization: ORGANIZATION,
      token,
      basic: { user: `${directory.netbios}\\${LISTENER}`, password: directory.service.password },
      ...(windowsLogon && {
        windows: { user: `${directory.netbios}\\${LISTENER}`, helper: directory.logonHelper },
        proxy: { user: `${LISTENER}@${directory.realm}`, secret: proxySecret },
      }),
      caller: CustomerEngagement.idOf(LISTENER),
      directory: {
        url: directory.url,
        bindDn: directory.lookup.bindDn,
        passwordFile: directory.lookup.passwordFile,
        caFile: authority.caFile,
        namingContext: directory.namingContext,
        netbios: directory.netbios,
      },
      seed: seeds(directory, linked),
    };
    await writeFile(config, JSON.stringify(content, null, 2), { mode: 0o600 });
    return new CustomerEngagement(options, config, requestLog, token, tokenFile, proxySecret);
  }
}

async function secret(file: string): Promise<string> {
  await writeFile(file, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') {
      throw error;
    }
  });
  return await readFile(file, 'utf8');
}

/** Linked people and bulk users, and what every organization has besides: its own service, special records, a leaver. */
function seeds(directory: Directory, linked: number): Seed[] {
  const mailDomain = directory.realm.toLowerCase();
  const record = (firstname: string, lastname: string, name: string): Seed => ({
    systemuserid: CustomerEngagement.idOf(name),
    fullname: `${firstname} ${lastname}`.trim(),
    firstname,
    lastname,
    domainname: `${directory.netbios}\\${name}`,
    internalemailaddress: `${firstname}.${lastname}@${mailDomain}`.toLowerCase().replaceAll(' ', ''),
  });
  const special = (fullname: string): Seed => ({ systemuserid: CustomerEngagement.idOf(fullname), fullname, domainname: '' });
  const people = directory.people.map((person) => {
    const seed = record(person.givenName ?? '', person.sn ?? '', person.sAMAccountName);
    // The last of the people has left: the record is disabled, the account is not.
    return person === directory.people.at(-1) ? { ...seed, isdisabled: true } : seed;
  });
  const bulk = Array.from({ length: linked }, (_, index) => bulkUser(index + 1)).map((user) =>
    record(user.givenName, user.sn, user.sAMAccountName),
  );
  const service: Seed = {
    systemuserid: CustomerEngagement.idOf(LISTENER),
    fullname: 'Namesake Service',
    domainname: `${directory.netbios}\\${LISTENER}`,
  };
  return [...people, service, special('SYSTEM'), special('INTEGRATION'), ...bulk];
}
