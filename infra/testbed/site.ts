import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DomainPlan } from './content.ts';
import { type RunOptions, run } from './run.ts';
import { krb5Conf, type Partners, sambaEnv } from './samba.ts';

/** A domain controller of a domain. */
export interface Member {
  /** Without its domain, in capitals. */
  readonly hostName: string;
  /** It holds no passwords but those of the service accounts. */
  readonly readOnly: boolean;
}

export interface Location extends Member {
  readonly address: string;
  /** objectGUID of its NTDS Settings, once it is known: domain controllers call each other by it. */
  readonly ntds?: string;
}

const HOSTS = 'hosts';
const RESOLV_CONF = 'resolv.conf';
// Everything is replaced by what comes next, so that the server has the pid, the parent and the death signal of the first.
const SCRIPT = `for file in ${HOSTS} ${RESOLV_CONF}; do
  test ! -e "/etc/$file" || mount --bind "$0/$file" "/etc/$file" || exit 1
done
exec "$@"`;

/**
 * Domain controllers of one domain that know each other by name without any DNS: what runs here sees a hosts file of its own
 * in place of the machine's.
 */
export class Site {
  /** For clients. */
  readonly krb5ConfFile: string;
  readonly #path: string;
  readonly #locations: readonly Location[];

  private constructor(path: string, locations: readonly Location[]) {
    this.#path = path;
    this.#locations = locations;
    this.krb5ConfFile = join(path, 'krb5.conf');
  }

  /** Written again when domain controllers have been added; what is running sees that. */
  static async write(path: string, { realm }: DomainPlan, locations: readonly Location[]): Promise<Site> {
    const zone = realm.toLowerCase();
    const lines = locations.flatMap(({ hostName, address, ntds }) => [
      `${address} ${hostName.toLowerCase()}.${zone} ${hostName.toLowerCase()}`,
      ...(ntds === undefined ? [] : [`${address} ${ntds}._msdcs.${zone}`]),
    ]);
    await mkdir(path, { recursive: true, mode: 0o700 });
    const site = new Site(path, locations);
    await writeFile(join(path, HOSTS), ['127.0.0.1 localhost', ...lines, ''].join('\n'));
    await writeFile(join(path, RESOLV_CONF), '');
    await writeFile(site.krb5ConfFile, krb5Conf(realm, kdcsOf(locations)));
    return site;
  }

  /**
   * For the domain controller of this address, which is one process: while it waits for a ticket it answers nothing. So it does not ask
   * itself, and two that start together do not wait for each other.
   */
  partnersOf(address: string): Partners {
    const rank = this.#locations.findIndex((location) => location.address === address);
    return { firstPull: 1 + rank, kdcs: kdcsOf(this.#locations.filter((location) => location.address !== address)) };
  }

  /** The command to run instead of this one. */
  inside(command: string, args: readonly string[]): { readonly command: string; readonly args: readonly string[] } {
    return { command: 'unshare', args: ['--mount', '/bin/sh', '-c', SCRIPT, this.#path, command, ...args] };
  }

  /** Runs one of Samba's tools to its end. */
  async run(tool: string, args: readonly string[], { env, ...options }: RunOptions = {}): Promise<string> {
    const inside = this.inside(tool, args);
    return await run(inside.command, inside.args, '', {
      title: [tool, ...args.slice(0, 2)].join(' '),
      ...options,
      env: { ...sambaEnv(this.krb5ConfFile), ...env },
    });
  }
}

/** A read-only one has no keys of the others. */
function kdcsOf(locations: readonly Location[]): string[] {
  return locations.filter(({ readOnly }) => !readOnly).map(({ address }) => address);
}
