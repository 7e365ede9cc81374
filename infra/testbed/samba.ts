import { connect } from 'node:net';
import { join } from 'node:path';
import type { Certificate } from './authority.ts';
import type { DomainPlan } from './content.ts';
import type { ProcessPlan } from './process.ts';

/** What one Samba domain controller is started with; its database files are in `domain` below its path. */
export interface SambaOptions {
  /** Its own directory. */
  readonly path: string;
  readonly address: string;
  /** Without its domain, in capitals. */
  readonly hostName: string;
  readonly domain: DomainPlan;
  /** Absent: no TLS. */
  readonly tls?: Certificate & { readonly caFile: string };
  readonly readOnly: boolean;
  /** Absent: it is alone. */
  readonly partners?: Partners;
  /** Whether it checks NTLM logons for others. */
  readonly winbind?: boolean;
}

/** What a domain controller has to know of the others of its domain. */
export interface Partners {
  /** Seconds after its start at which it first pulls from them. */
  readonly firstPull: number;
  /** Those that it asks for Kerberos tickets. */
  readonly kdcs: readonly string[];
}

/** Those of a domain controller alone. */
export const DIRECTORY_PORTS: readonly number[] = [88, 389, 464, 636, 3268, 3269];
export const REPLICATION_PORTS: readonly number[] = [...DIRECTORY_PORTS, 135];

const ALONE = 'ldap, cldap, kdc';
const WINBIND = 'rpc, winbindd';
const REPLICATING = 'rpc, ldap, cldap, kdc, drepl, kcc';

/** Written at each start: nothing of it is in the cached domain. */
export function smbConf({ path, address, hostName, domain, tls, readOnly, partners, winbind }: SambaOptions): string {
  const files = join(path, 'domain');
  // The defaults below /run/samba would be shared by all domain controllers of the machine.
  const run = join(files, 'run');
  return `[global]
netbios name = ${hostName}
realm = ${domain.realm}
workgroup = ${domain.netbios}
server role = active directory domain controller
server services = ${partners === undefined ? ALONE : REPLICATING}${winbind ? `, ${WINBIND}` : ''}
# With /32 Samba finds no interface.
interfaces = ${address}/8
bind interfaces only = yes
name resolve order = host
private dir = ${files}/private
state directory = ${files}/state
cache directory = ${files}/cache
binddns dir = ${files}/bind-dns
lock directory = ${run}
pid directory = ${run}
ncalrpc dir = ${run}/ncalrpc
winbindd socket directory = ${run}/winbindd
ntp signd socket directory = ${run}/ntp
log file = ${path}/samba.log
${tls === undefined ? 'tls enabled = no' : `tls cafile = ${tls.caFile}\ntls certfile = ${tls.certFile}\ntls keyfile = ${tls.keyFile}`}
${partners === undefined ? '' : replication(partners, readOnly)}[sysvol]
path = ${files}/state/sysvol
[netlogon]
path = ${files}/state/sysvol/netlogon
`;
}

/**
 * A change is told a second later, and one that has just started asks for what it missed. A read-only one is told nothing and asks
 * every two seconds. Who replicates with whom was settled when the domain was joined and is not computed again.
 */
function replication({ firstPull }: Partners, readOnly: boolean): string {
  return `dreplsrv:notify_interval = 1
dreplsrv:periodic_startup_interval = ${firstPull}
dreplsrv:periodic_interval = ${readOnly ? 2 : 300}
kccsrv:periodic_startup_interval = 100000
kccsrv:periodic_interval = 100000
`;
}

export function krb5Conf(realm: string, kdcs: readonly string[]): string {
  return `[libdefaults]
 default_realm = ${realm}
 kdc_timeout = 2
 dns_lookup_realm = false
 dns_lookup_kdc = false
 rdns = false
 dns_canonicalize_hostname = false
[realms]
 ${realm} = {
${kdcs.map((address) => `  kdc = ${address}\n`).join('')} }
[domain_realm]
 .${realm.toLowerCase()} = ${realm}
 ${realm.toLowerCase()} = ${realm}
`;
}

/** How Samba's programs are run for a domain controller of this path. */
export function sambaEnv(krb5ConfFile: string): Record<string, string> {
  return { KRB5_CONFIG: krb5ConfFile, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
}

/** A plan for the server, but for what makes it ready. `name` is what it is called in errors. */
export function sambaPlan(name: string, path: string, krb5ConfFile: string): Omit<ProcessPlan, 'ready'> {
  return {
    name,
    command: 'samba',
    args: ['-i', '-M', 'single', '-s', join(path, 'smb.conf'), '--debug-stdout'],
    cwd: path,
    env: sambaEnv(krb5ConfFile),
    log: join(path, 'samba.log'),
    startWithin: 30_000,
    stopWithin: 5_000,
  };
}

/** Rejects when nothing listens there. */
export async function reachable(address: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, address);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}
