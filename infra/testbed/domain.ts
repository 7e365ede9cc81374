import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached } from './cache.ts';
import { HOST_NAME, LISTENER, LOOKUP, NETBIOS, PARKING, PEOPLE, REALM } from './content.ts';
import { fingerprint } from './paths.ts';
import { run } from './run.ts';

/** An account as it was made; attributes that are not set are absent. */
export interface Person {
  readonly dn: string;
  readonly objectGUID: string;
  readonly objectSid: string;
  readonly sAMAccountName: string;
  readonly userPrincipalName: string;
  readonly displayName?: string;
  readonly givenName?: string;
  readonly sn?: string;
  readonly mail?: string;
}

/** What provision.py says about the domain it made. */
export interface DomainContent {
  readonly namingContext: string;
  readonly people: readonly Person[];
  readonly parking: readonly Person[];
}

const SCRIPT = fileURLToPath(new URL('provision.py', import.meta.url));

/**
 * The database files of a fresh domain with `users` bulk users below `path`: a copy of the cached one, or what is there already.
 * Rejects when `path` holds a domain of another recipe.
 */
export async function placeDomain(path: string, users: number): Promise<DomainContent> {
  const recipe = recipeOf(users);
  const key = fingerprint(await readFile(SCRIPT, 'utf8'), recipe, await run('samba', ['--version']));
  const marker = join(path, 'recipe');
  const present = await readFile(marker, 'utf8').catch(() => undefined);
  if (present !== undefined && present !== key) {
    throw new Error(`${path} holds a domain made by another recipe; remove it, or start without its data`);
  }
  if (present === undefined) {
    const made = await cached(`domain-${key}`, (fresh) => provision(fresh, recipe, key));
    await rm(path, { recursive: true, force: true });
    await mkdir(path, { recursive: true, mode: 0o700 });
    // Database files are mostly holes; the marker comes last, so that a cut-off copy is not taken for whole.
    await run('cp', ['-a', '--sparse=always', `${made}/.`, path]);
    await rename(join(path, 'made'), marker);
  }
  return JSON.parse(await readFile(join(path, 'content.json'), 'utf8')) as DomainContent;
}

async function provision(path: string, recipe: string, key: string): Promise<void> {
  // Not any python3 in PATH: Samba's modules are Debian's.
  await run('/usr/bin/python3', [SCRIPT, path], recipe);
  await writeFile(join(path, 'made'), key);
}

function recipeOf(users: number): string {
  return JSON.stringify({
    realm: REALM,
    netbios: NETBIOS,
    hostName: HOST_NAME,
    people: PEOPLE,
    parking: PARKING,
    service: [LISTENER, LOOKUP],
    listener: LISTENER,
    users,
  });
}
