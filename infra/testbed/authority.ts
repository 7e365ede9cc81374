import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from './paths.ts';
import { run } from './run.ts';

/** PEM files of one server. */
export interface Certificate {
  readonly keyFile: string;
  readonly certFile: string;
}

const DAYS = '3650';
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
// The machine's openssl.cnf would add extensions of its own to every certificate.
const CONFIG = '[req]\ndistinguished_name = dn\n[dn]\n';

/** One certificate authority per bed. What it has issued before is used again. */
export class Authority {
  readonly caFile: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.caFile = join(directory, 'ca.pem');
  }

  static async open(directory: string): Promise<Authority> {
    const authority = new Authority(directory);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(join(directory, 'openssl.cnf'), CONFIG);
    await authority.#make('ca', '/CN=Test bed CA', [
      ['basicConstraints', 'critical,CA:TRUE'],
      ['keyUsage', 'critical,keyCertSign,cRLSign'],
      ['subjectKeyIdentifier', 'hash'],
    ]);
    return authority;
  }

  /** `names` are DNS names and IPv4 addresses; a file issued for other names before is replaced by giving it another `file`. */
  async issue(file: string, names: readonly string[]): Promise<Certificate> {
    const subject = names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
    return await this.#make(
      file,
      `/CN=${names[0]}`,
      [
        ['basicConstraints', 'critical,CA:FALSE'],
        ['keyUsage', 'critical,digitalSignature'],
        ['extendedKeyUsage', 'serverAuth'],
        ['subjectKeyIdentifier', 'hash'],
        ['authorityKeyIdentifier', 'keyid'],
        ['subjectAltName', subject],
      ],
      ['-CA', this.caFile, '-CAkey', join(this.#directory, 'ca.key')],
    );
  }

  async #make(
    file: string,
    subject: string,
    extensions: readonly [string, string][],
    signer: readonly string[] = [],
  ): Promise<Certificate> {
    const keyFile = join(this.#directory, `${file}.key`);
    const certFile = join(this.#directory, `${file}.pem`);
    if (!(await exists(certFile))) {
      const config = ['-config', join(this.#directory, 'openssl.cnf'), '-days', DAYS, '-subj', subject];
      const added = extensions.flatMap(([name, value]) => ['-addext', `${name}=${value}`]);
      await run('openssl', ['req', '-x509', ...KEY, ...config, ...added, ...signer, '-keyout', keyFile, '-out', `${certFile}.new`]);
      await rename(`${certFile}.new`, certFile);
    }
    return { keyFile, certFile };
  }
}
