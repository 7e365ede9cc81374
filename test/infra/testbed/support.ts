import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { Account, Directory } from '../../../infra/testbed/directory.ts';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whatever that is. `env` replaces single variables. */
export async function outcomeOf(command: string, args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Outcome> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (chunk: string) => {
      texts[stream] += chunk;
    });
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

/** A directory that goes with the test. */
export async function scratch(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'namesake-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Polls until it is true. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>, within = 10_000): Promise<void> {
  const deadline = Date.now() + within;
  while (!(await holds())) {
    if (Date.now() > deadline) {
      throw new Error(`not within ${within} ms: ${what}`);
    }
    await delay(20);
  }
}

const KINIT = `
import sys
from samba import param
from samba.credentials import Credentials, MUST_USE_KERBEROS
name, realm, password_file, conf, cache = sys.argv[1:]
lp = param.LoadParm()
lp.load(conf)
c = Credentials()
c.guess(lp)
c.set_username(name)
c.set_realm(realm)
c.set_password(open(password_file).read())
c.set_kerberos_state(MUST_USE_KERBEROS)
c.get_named_ccache(lp, 'FILE:' + cache)
`;

/** Gets a Kerberos ticket. @returns the size of the ticket cache in bytes */
export async function ticketFor(directory: Directory, account: Account): Promise<number> {
  const cache = join(await scratch(), 'tickets');
  const [name = ''] = account.bindDn.split('@');
  const args = [name, directory.realm, account.passwordFile, directory.smbConfFile, cache];
  const { code, stderr } = await outcomeOf('/usr/bin/python3', ['-', ...args], { KRB5_CONFIG: directory.krb5ConfFile }, KINIT);
  if (code !== 0) {
    throw new Error(`no ticket for ${name}: ${stderr}`);
  }
  return (await stat(cache)).size;
}

/** OpenLDAP's client: one of its own judgement. */
export async function ldap(
  directory: Directory,
  tool: 'ldapsearch' | 'ldapmodify',
  account: Account,
  args: readonly string[],
  input = '',
): Promise<Outcome> {
  const bind = ['-x', '-H', directory.url, '-D', account.bindDn, '-y', account.passwordFile];
  return await outcomeOf(tool, [...bind, ...args], { LDAPTLS_CACERT: directory.caFile }, input);
}

/** What DirSync shows of the domain from the beginning. */
export async function dirSync(directory: Directory, account: Account, filter: string, ...attributes: string[]): Promise<Outcome> {
  const control = ['-LLL', '-b', directory.namingContext, '-E', '!dirSync=0/2097152'];
  return await ldap(directory, 'ldapsearch', account, [...control, filter, ...attributes]);
}
