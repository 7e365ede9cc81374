import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'ldapts';
import type { Authority } from './authority.ts';
import { ADMINISTRATOR, type DomainPlan, LISTENER, LOOKUP } from './content.ts';
import type { DomainContent, Person } from './domain.ts';
import { exists } from './paths.ts';
import { ManagedProcess } from './process.ts';
import { run } from './run.ts';
import { krb5Conf, reachable, sambaPlan, smbConf } from './samba.ts';
import type { Member, Site } from './site.ts';

/** What is needed to bind as one account. */
export interface Account {
  readonly bindDn: string;
  readonly password: string;
  readonly passwordFile: string;
}

export interface DirectoryOptions {
  /** What it is called in the bed, such as `dc1`. */
  readonly name: string;
  /** Its own directory, with its database files in `domain`. */
  readonly path: string;
  readonly address: string;
  readonly authority: Authority;
  readonly plan: DomainPlan;
  readonly content: DomainContent;
  readonly member: Member;
  /** Where the passwords are: the path of the domain's first. */
  readonly passwords: string;
  /** Absent: it is alone. */
  readonly site?: Site;
  /** Whether it checks NTLM logons for others. Default false. */
  readonly winbind?: boolean;
}

const PROBE = 2_000;

/** A Samba domain controller on an address of its own. */
export class Directory extends ManagedProcess {
  readonly address: string;
  readonly url: string;
  readonly hostName: string;
  readonly realm: string;
  readonly netbios: string;
  readonly namingContext: string;
  readonly readOnly: boolean;
  readonly caFile: string;
  readonly krb5ConfFile: string;
  readonly smbConfFile: string;
  readonly admin: Account;
  /** The account meant for the product. */
  readonly service: Account;
  /** The account meant for the CE stand-in's look-ups. */
  readonly lookup: Account;
  readonly people: readonly Person[];
  /** As CE writes them: `CORP\ns-park-01`. */
  readonly parkingAccounts: readonly string[];
  readonly #path: string;
  readonly #account: (name: string) => Promise<Account>;

  private constructor(options: DirectoryOptions, accounts: readonly [Account, Account, Account]) {
    const { name, path, address, authority, plan, content, member, site } = options;
    const url = `ldaps://${address}`;
    const ports = site === undefined ? [88] : [88, 135];
    // A read-only one has no other password to check, and asks nobody.
    const prober = member.readOnly ? accounts[1] : accounts[0];
    const krb5ConfFile = join(path, 'krb5.conf');
    const process = sambaPlan(name, path, krb5ConfFile);
    super({
      ...process,
      ...site?.inside(process.command, process.args),
      ready: () => answers(url, address, ports, authority.caFile, prober),
    });
    this.address = address;
    this.url = url;
    this.hostName = fullName(member, plan);
    this.realm = plan.realm;
    this.netbios = plan.netbios;
    this.namingContext = content.namingContext;
    this.readOnly = member.readOnly;
    this.caFile = authority.caFile;
    this.krb5ConfFile = site?.krb5ConfFile ?? krb5ConfFile;
    this.smbConfFile = join(path, 'smb.conf');
    [this.admin, this.service, this.lookup] = accounts;
    this.people = content.people;
    this.parkingAccounts = content.parking.map((account) => `${plan.netbios}\\${account.sAMAccountName}`);
    this.#path = path;
    this.#account = (account) => accountOf(options, account);
  }

  /** Everything up to the start, but for the database files: certificate and configuration. */
  static async prepare(options: DirectoryOptions): Promise<Directory> {
    const { path, address, authority, plan, member, site, winbind = false } = options;
    await mkdir(path, { recursive: true, mode: 0o700 });
    const certificate = await authority.issue(`dc-${address}`, [fullName(member, plan), plan.realm.toLowerCase(), address]);
    const tls = { ...certificate, caFile: authority.caFile };
    const accounts = await Promise.all([accountOf(options, ADMINISTRATOR), accountOf(options, LISTENER), accountOf(options, LOOKUP)]);
    const partners = site?.partnersOf(address);
    await writeFile(
      join(path, 'smb.conf'),
      smbConf({ path, address, ...member, domain: plan, tls, winbind, ...(partners && { partners }) }),
    );
    await writeFile(join(path, 'krb5.conf'), krb5Conf(plan.realm, partners?.kdcs ?? [address]));
    return new Directory(options, accounts);
  }

  /** The account of one of the people. */
  async account(sAMAccountName: string): Promise<Account> {
    return await this.#account(sAMAccountName);
  }

  /**
   * The command that checks the NTLM logon of one connection for a server, as a helper of Squid would (`YR`, `TT`, `KK`, `AF`, `NA`). The
   * library that it uses looks for winbind in one place of the machine only, so that place is this domain controller's there.
   */
  get logonHelper(): readonly string[] {
    const socket = join(this.#database, 'run', 'winbindd');
    const script =
      'mkdir -p /run/samba/winbindd && mount --bind "$0" /run/samba/winbindd && exec ntlm_auth --helper-protocol=squid-2.5-ntlmssp --configfile="$1"';
    return ['unshare', '--mount', 'sh', '-c', script, socket, this.smbConfFile];
  }

  /** Gives an account a service principal name, and writes its keytab, with AES keys only. */
  async keytab(sAMAccountName: string, file: string, spn?: string): Promise<void> {
    const samba = async (...args: string[]) => await run('samba-tool', [...args, '-s', this.smbConfFile]);
    if (spn !== undefined) await samba('spn', 'add', spn, sAMAccountName);
    const aes = `dn: ${(await samba('user', 'show', sAMAccountName, '--attributes=dn')).replace(/^dn: /, '').trim()}`;
    await run(
      'ldbmodify',
      ['-H', join(this.#database, 'private', 'sam.ldb')],
      `${aes}\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\nmsDS-SupportedEncryptionTypes: 24\n`,
    );
    await samba('domain', 'exportkeytab', file, `--principal=${spn ?? `${sAMAccountName}@${this.realm}`}`);
  }

  /** Keeps a copy of its database under this name. It is down meanwhile, and afterwards up if it was. */
  async save(name: string): Promise<void> {
    await this.#whileDown(() => this.#copy(this.#database, this.#saved(name)));
  }

  /**
   * Puts that copy in place of its database, as somebody who restores a snapshot would: it does not know that it has been there
   * before (a USN rollback). It is down meanwhile, and afterwards up if it was.
   */
  async rollBack(name: string): Promise<void> {
    const saved = this.#saved(name);
    if (!(await exists(saved))) {
      throw new Error(`nothing of ${this.name} was saved as ${name}`);
    }
    await this.#whileDown(() => this.#copy(saved, this.#database));
  }

  get #database(): string {
    return join(this.#path, 'domain');
  }

  #saved(name: string): string {
    if (!/^\w[\w.-]*$/.test(name)) {
      throw new Error(`${name} cannot be the name of a copy: letters, digits, _, . and - are expected`);
    }
    return join(this.#path, 'saved', name);
  }

  async #whileDown(work: () => Promise<void>): Promise<void> {
    const wasUp = this.pid !== undefined;
    await this.stop();
    await work();
    if (wasUp) {
      await this.start();
    }
  }

  async #copy(from: string, to: string): Promise<void> {
    await rm(to, { recursive: true, force: true });
    await mkdir(to, { recursive: true, mode: 0o700 });
    await run('cp', ['-a', '--sparse=always', `${from}/.`, to]);
  }
}

function fullName({ hostName }: Member, { realm }: DomainPlan): string {
  return `${hostName}.${realm}`.toLowerCase();
}

async function accountOf({ passwords, plan }: DirectoryOptions, name: string): Promise<Account> {
  const passwordFile = join(passwords, name);
  const bindDn = `${name}@${plan.realm.toLowerCase()}`;
  return { bindDn, passwordFile, password: await readFile(passwordFile, 'utf8') };
}

/** LDAPS with a real bind, and the ports of the other services. */
async function answers(url: string, address: string, ports: readonly number[], caFile: string, account: Account): Promise<void> {
  const ca = await readFile(caFile);
  const client = new Client({ url, timeout: PROBE, connectTimeout: PROBE, tlsOptions: { ca } });
  try {
    await client.bind(account.bindDn, account.password);
  } finally {
    await client.unbind();
  }
  for (const port of ports) {
    await reachable(address, port);
  }
}
