import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Directory } from '../../infra/testbed/directory.ts';
import { ATTRIBUTES, FILTER, MAX_BYTES } from './raw-directory.ts';

export interface Search {
  readonly objects: number;
  readonly milliseconds: number;
}

/**
 * The same read by OpenLDAP's command, from its start to its end, its output counted and dropped. It takes what one answer
 * holds; Samba gives everything in one.
 */
export async function ldapsearch(directory: Directory): Promise<Search> {
  return await search(directory, ['-b', directory.namingContext, '-E', `!dirSync=0/${MAX_BYTES}`, FILTER, ...ATTRIBUTES]);
}

/** The same command that only logs on and asks for the root DSE: what its start and the logon take. */
export async function ldapsearchLogon(directory: Directory): Promise<Search> {
  return await search(directory, ['-b', '', '-s', 'base', '(objectClass=*)', 'defaultNamingContext']);
}

async function search({ url, service, caFile }: Directory, what: readonly string[]): Promise<Search> {
  const logon = ['-x', '-H', url, '-D', service.bindDn, '-y', service.passwordFile];
  const begun = performance.now();
  const child = spawn('ldapsearch', ['-LLL', '-o', 'ldif-wrap=no', ...logon, ...what], {
    env: { ...process.env, LDAPTLS_CACERT: caFile },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let objects = 0;
  let rest = '';
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('dn:')) objects += 1;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`ldapsearch ended with ${code}`);
  return { objects, milliseconds: performance.now() - begun };
}
