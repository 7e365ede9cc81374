import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Authority } from '../../infra/testbed/authority.ts';
import type { Bed } from '../../infra/testbed/bed.ts';
import { ManagedProcess } from '../../infra/testbed/process.ts';
import { reachable } from '../../infra/testbed/samba.ts';

const PORT = 9443;
const MODULES = [
  'mpm_event',
  'authn_core',
  'authz_core',
  'authz_user',
  'auth_gssapi',
  'headers',
  'proxy',
  'proxy_http',
  'ssl',
  'socache_shmcb',
];

/** The name that clients know the server by. */
export const WEB_SERVER = 'crm.corp.example.test';

/** What gives a process another clock, for LD_PRELOAD; by the linker's $LIB, whatever the machine. */
export const FAKETIME = '/usr/$LIB/faketime/libfaketimeMT.so.1';

/** Apache with mod_auth_gssapi in front of the bed's CE: lets in whom the domain's KDC vouches for. Its clock can be set. */
export class Apache extends ManagedProcess {
  readonly url: string;
  readonly #clockFile: string;

  private constructor(path: string, url: string, address: string, config: string, clockFile: string) {
    super({
      name: 'apache',
      command: '/usr/sbin/apache2',
      args: ['-f', config, '-DFOREGROUND'],
      cwd: path,
      env: { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: clockFile, FAKETIME_NO_CACHE: '1' },
      log: join(path, 'apache.log'),
      ready: () => reachable(address, PORT),
      startWithin: 10_000,
      stopWithin: 5_000,
    });
    this.url = url;
    this.#clockFile = clockFile;
  }

  /** From now on its clock is so many minutes ahead of the machine's. */
  async setClock(minutes: number): Promise<void> {
    await writeFile(this.#clockFile, `${minutes < 0 ? '' : '+'}${minutes}m`);
  }

  /** @param keytab of the service principal name HTTP/ with the name above, readable by www-data */
  static async prepare(bed: Bed, keytab: string): Promise<Apache> {
    const path = join(bed.path, 'apache');
    await mkdir(path, { recursive: true, mode: 0o755 });
    const authority = await Authority.open(join(bed.path, 'authority'));
    const { certFile, keyFile } = await authority.issue(`apache-${bed.address}`, [WEB_SERVER, bed.address]);
    const config = join(path, 'apache.conf');
    const modules = MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
    const origin = new URL(bed.crm.url).origin;
    const lines = [
      ...modules,
      `ServerRoot ${path}`,
      `DefaultRuntimeDir ${path}`,
      `PidFile ${path}/apache.pid`,
      `ServerName ${WEB_SERVER}`,
      `Listen ${bed.address}:${PORT}`,
      'User www-data',
      'Group www-data',
      `ErrorLog ${path}/error.log`,
      'LogLevel info',
      'KeepAlive On',
      'SSLEngine on',
      `SSLCertificateFile ${certFile}`,
      `SSLCertificateKeyFile ${keyFile}`,
      'SSLProxyEngine on',
      'SSLProxyVerify none',
      'SSLProxyCheckPeerName off',
      '<Location />',
      '  AuthType GSSAPI',
      '  AuthName crm',
      `  GssapiCredStore keytab:${keytab}`,
      '  GssapiAllowedMech krb5',
      '  Require valid-user',
      '  RequestHeader set X-Remote-User "expr=%{REMOTE_USER}"',
      `  RequestHeader set X-Proxy-Secret "${bed.crm.proxySecret}"`,
      '  RequestHeader unset Authorization',
      `  ProxyPass ${origin}/`,
      '</Location>',
    ];
    await writeFile(config, `${lines.join('\n')}\n`);
    // Beside the keytab, where www-data can read it.
    const clockFile = `${keytab}.clock`;
    await writeFile(clockFile, '+0');
    return new Apache(path, `https://${bed.address}:${PORT}/contoso`, bed.address, config, clockFile);
  }
}
