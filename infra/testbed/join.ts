import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { claimAddress } from './address.ts';
import { ADMINISTRATOR, type DomainPlan, LISTENER, LOOKUP } from './content.ts';
import { ManagedProcess } from './process.ts';
import { krb5Conf, REPLICATION_PORTS, reachable, sambaPlan, smbConf } from './samba.ts';
import { type Location, type Member, Site } from './site.ts';

const REVEALED_GROUP = 'Allowed RODC Password Replication Group';
const REVEALED = [LISTENER, LOOKUP];
const NTDS_FILE = 'ntds.json';

/** How each member is called by the others: host name to objectGUID of its NTDS Settings. `domain`: files of the first member. */
export async function ntdsOf(domain: string): Promise<Readonly<Record<string, string>>> {
  return JSON.parse(await readFile(join(domain, NTDS_FILE), 'utf8')) as Record<string, string>;
}

/**
 * Joins `others` to the domain that `first` was provisioned with, on addresses of their own, so that all have everything and
 * replicate with each other when they are started again, wherever that is. Expects and makes `HOSTNAME/domain` below `path`.
 */
export async function joinControllers(path: string, plan: DomainPlan, first: Member, others: readonly Member[]): Promise<void> {
  await using releases = new AsyncDisposableStack();
  const members = [first, ...others];
  const locations: Location[] = [];
  for (const member of members) {
    const claim = releases.use(await claimAddress(join(path, member.hostName), REPLICATION_PORTS));
    locations.push({ ...member, address: claim.address });
  }
  const joining = new Joining(path, plan, await Site.write(join(path, 'site'), plan, locations), first);
  for (const location of locations) {
    await joining.configure(location);
  }
  if (others.some(({ readOnly }) => readOnly)) {
    await joining.reveal(first);
  }
  // Without the names of its replication service nobody can pull from the first.
  await joining.site.run('samba_spnupdate', ['-s', joining.conf(first)]);
  for (const [index, member] of locations.entries()) {
    if (index > 0) {
      await joining.join(member, first);
      await Site.write(join(path, 'site'), plan, await joining.named(locations.slice(0, index + 1)));
    }
    await joining.link(members.slice(0, index + 1));
    await releases.use(joining.server(member)).start();
  }
  for (const member of others) {
    if (member.readOnly) {
      await joining.preload(member, first);
    } else {
      await joining.exchange(member, first);
    }
  }
  const names = (await joining.named(locations)).map(({ hostName, ntds }) => [hostName, ntds]);
  await writeFile(join(path, first.hostName, 'domain', NTDS_FILE), JSON.stringify(Object.fromEntries(names)));
  for (const { hostName } of others) {
    await rm(join(path, hostName, 'domain/etc'), { recursive: true, force: true });
  }
}

/** The steps, with Samba's own tools. */
class Joining {
  readonly site: Site;
  readonly #path: string;
  readonly #plan: DomainPlan;
  readonly #zone: string;
  readonly #first: Member;

  constructor(path: string, plan: DomainPlan, site: Site, first: Member) {
    this.site = site;
    this.#path = path;
    this.#plan = plan;
    this.#first = first;
    this.#zone = plan.realm.toLowerCase();
  }

  conf(member: Member): string {
    return join(this.#path, member.hostName, 'smb.conf');
  }

  async configure({ hostName, readOnly, address }: Location): Promise<void> {
    const path = join(this.#path, hostName);
    const partners = this.site.partnersOf(address);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'krb5.conf'), krb5Conf(this.#plan.realm, partners.kdcs));
    await writeFile(join(path, 'smb.conf'), smbConf({ path, address, hostName, readOnly, domain: this.#plan, partners }));
  }

  server({ hostName, address }: Location): ManagedProcess {
    const path = join(this.#path, hostName);
    const plan = sambaPlan(hostName.toLowerCase(), path, join(path, 'krb5.conf'));
    const ready = async () => {
      for (const port of [88, 135, 389]) {
        await reachable(address, port);
      }
    };
    return new ManagedProcess({ ...plan, ...this.site.inside(plan.command, plan.args), ready });
  }

  /** Lets read-only domain controllers hold the passwords of the service accounts; in the database files, while nothing runs. */
  async reveal(first: Member): Promise<void> {
    await this.#tool(first, ['group', 'addmembers', REVEALED_GROUP, REVEALED.join(), '-H', this.#database(first)]);
  }

  async join(member: Member, from: Member): Promise<void> {
    const target = join(this.#path, member.hostName, 'domain');
    const role = member.readOnly ? 'RODC' : 'DC';
    const server = [`--server=${this.#fullName(from)}`, `--realm=${this.#plan.realm}`, '--dns-backend=NONE', '--backend-store=mdb'];
    await this.#tool(member, ['domain', 'join', this.#zone, role, ...server, `--targetdir=${target}`, ...this.#administrator()]);
    for (const name of ['run', 'cache']) {
      await mkdir(join(target, name), { recursive: true });
    }
  }

  /** Settles who pulls from whom, at once instead of minutes later. */
  async link(members: readonly Member[]): Promise<void> {
    for (const member of members) {
      await this.site.run('samba_kcc', ['-H', this.#database(member), '-s', this.conf(member)]);
    }
  }

  /** The first pull from a new one reads everything: better once here than at each start. */
  async exchange(member: Member, first: Member): Promise<void> {
    for (const [to, from] of [
      [first, member],
      [member, first],
    ] as const) {
      for (const context of [`CN=Schema,CN=Configuration,${this.#root}`, `CN=Configuration,${this.#root}`, this.#root]) {
        await this.#tool(to, ['drs', 'replicate', this.#fullName(to), this.#fullName(from), context, ...this.#administrator()]);
      }
    }
  }

  async preload(member: Member, from: Member): Promise<void> {
    await this.#tool(member, ['rodc', 'preload', ...REVEALED, `--server=${this.#fullName(from)}`, ...this.#administrator()]);
  }

  /** With the NTDS names of those that have joined. */
  async named(locations: readonly Location[]): Promise<Location[]> {
    const named: Location[] = [];
    const database = this.#database(this.#first);
    for (const location of locations) {
      const settings = `CN=NTDS Settings,CN=${location.hostName},CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,${this.#root}`;
      const found = await this.site.run('ldbsearch', ['-H', database, '-b', settings, '-s', 'base', 'objectGUID']);
      const ntds = /^objectGUID: (\S+)$/m.exec(found)?.[1];
      if (ntds === undefined) {
        throw new Error(`${database} has no ${settings}`);
      }
      named.push({ ...location, ntds });
    }
    return named;
  }

  #database({ hostName }: Member): string {
    return join(this.#path, hostName, 'domain/private/sam.ldb');
  }

  get #root(): string {
    return `DC=${this.#zone.replaceAll('.', ',DC=')}`;
  }

  #fullName({ hostName }: Member): string {
    return `${hostName.toLowerCase()}.${this.#zone}`;
  }

  #administrator(): string[] {
    return ['-U', `${this.#plan.netbios}\\${ADMINISTRATOR}`, '-W', this.#plan.netbios];
  }

  async #tool(member: Member, args: readonly string[]): Promise<void> {
    const passwordFile = join(this.#path, this.#first.hostName, 'domain/passwords', ADMINISTRATOR);
    await this.site.run('samba-tool', [...args, '-s', this.conf(member)], { env: { PASSWD_FILE: passwordFile } });
  }
}
