import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client } from 'ldapts';
import type { Authority, Certificate } from './authority.ts';
import { ADMINISTRATOR, HOST_NAME, LISTENER, LOOKUP, NETBIOS, REALM } from './content.ts';
import { type DomainContent, type Person, placeDomain } from './domain.ts';
import { ManagedProcess } from './process.ts';

/** What is needed to bind as one account. */
export interface Account {
  readonly bindDn: string;
  readonly password: string;
  readonly passwordFile: string;
}

export interface DirectoryOptions {
  /** Its own directory. */
  readonly path: string;
  readonly address: string;
  readonly authority: Authority;
  /** How many bulk users there are besides the people. */
  readonly users: number;
}

export const DIRECTORY_PORTS: readonly number[] = [88, 389, 464, 636, 3268, 3269];

const PROBE = 2_000;

/** A Samba domain controller on an address of its own. */
export class Directory extends ManagedProcess {
  readonly address: string;
  readonly url: string;
  readonly hostName = `${HOST_NAME}.${REALM}`.toLowerCase();
  readonly realm = REALM;
  readonly netbios = NETBIOS;
  readonly namingContext: string;
  readonly caFile: string;
  readonly krb5ConfFile: string;
  readonly admin: Account;
  /** The account meant for the product. */
  readonly service: Account;
  /** The account meant for the CE stand-in's look-ups. */
  readonly lookup: Account;
  readonly people: readonly Person[];
  /** As CE writes them: `CORP\ns-park-01`. */
  readonly parkingAccounts: readonly string[];
  readonly #path: string;

  private constructor(options: DirectoryOptions, content: DomainContent, accounts: readonly [Account, Account, Account]) {
    const { path, address, authority } = options;
    const url = `ldaps://${address}`;
    const krb5ConfFile = join(path, 'krb5.conf');
    super({
      name: 'directory',
      command: 'samba',
      args: ['-i', '-M', 'single', '-s', join(path, 'smb.conf'), '--debug-stdout'],
      cwd: path,
      env: { KRB5_CONFIG: krb5ConfFile, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
      log: join(path, 'samba.log'),
      ready: () => answers(url, address, authority.caFile, accounts[0]),
      startWithin: 30_000,
      stopWithin: 5_000,
    });
    this.address = address;
    this.url = url;
    this.namingContext = content.namingContext;
    this.caFile = authority.caFile;
    this.krb5ConfFile = krb5ConfFile;
    [this.admin, this.service, this.lookup] = accounts;
    this.people = content.people;
    this.parkingAccounts = content.parking.map((account) => `${NETBIOS}\\${account.sAMAccountName}`);
    this.#path = path;
  }

  /** Everything up to the start: database files, certificate, configuration. */
  static async prepare(options: DirectoryOptions): Promise<Directory> {
    const { path, address, authority, users } = options;
    const domain = join(path, 'domain');
    await mkdir(path, { recursive: true, mode: 0o700 });
    const content = await placeDomain(domain, users);
    const certificate = await authority.issue(`dc-${address}`, [`${HOST_NAME}.${REALM}`.toLowerCase(), REALM.toLowerCase(), address]);
    const account = (name: string) => accountOf(domain, name);
    const accounts = await Promise.all([account(ADMINISTRATOR), account(LISTENER), account(LOOKUP)]);
    await writeFile(join(path, 'smb.conf'), smbConf(path, address, authority, certificate));
    await writeFile(join(path, 'krb5.conf'), krb5Conf(address));
    return new Directory(options, content, accounts);
  }

  /** The account of one of the people. */
  async account(sAMAccountName: string): Promise<Account> {
    return await accountOf(join(this.#path, 'domain'), sAMAccountName);
  }
}

async function accountOf(domain: string, name: string): Promise<Account> {
  const passwordFile = join(domain, 'passwords', name);
  const bindDn = `${name}@${REALM.toLowerCase()}`;
  return { bindDn, passwordFile, password: await readFile(passwordFile, 'utf8') };
}

/** LDAPS with a real bind, and the KDC's port. */
async function answers(url: string, address: string, caFile: string, admin: Account): Promise<void> {
  const ca = await readFile(caFile);
  const client = new Client({ url, timeout: PROBE, connectTimeout: PROBE, tlsOptions: { ca } });
  try {
    await client.bind(admin.bindDn, admin.password);
  } finally {
    await client.unbind();
  }
  await new Promise<void>((resolve, reject) => {
    const socket = connect(88, address);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}

/** Written at each start: nothing of it is in the cached domain. */
function smbConf(path: string, address: string, authority: Authority, certificate: Certificate): string {
  const domain = join(path, 'domain');
  // The defaults below /run/samba would be shared by all domain controllers of the machine.
  const run = join(domain, 'run');
  return `[global]
netbios name = ${HOST_NAME}
realm = ${REALM}
workgroup = ${NETBIOS}
server role = active directory domain controller
server services = ldap, cldap, kdc
# With /32 Samba finds no interface.
interfaces = ${address}/8
bind interfaces only = yes
name resolve order = host
private dir = ${domain}/private
state directory = ${domain}/state
cache directory = ${domain}/cache
binddns dir = ${domain}/bind-dns
lock directory = ${run}
pid directory = ${run}
ncalrpc dir = ${run}/ncalrpc
winbindd socket directory = ${run}/winbindd
ntp signd socket directory = ${run}/ntp
log file = ${path}/samba.log
tls cafile = ${authority.caFile}
tls certfile = ${certificate.certFile}
tls keyfile = ${certificate.keyFile}
[sysvol]
path = ${domain}/state/sysvol
[netlogon]
path = ${domain}/state/sysvol/netlogon
`;
}

function krb5Conf(address: string): string {
  return `[libdefaults]
 default_realm = ${REALM}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 rdns = false
[realms]
 ${REALM} = {
  kdc = ${address}
 }
[domain_realm]
 .${REALM.toLowerCase()} = ${REALM}
 ${REALM.toLowerCase()} = ${REALM}
`;
}
