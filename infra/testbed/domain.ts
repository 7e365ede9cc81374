import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached } from './cache.ts';
import { type DomainPlan, LISTENER, LOOKUP, PARKING } from './content.ts';
import { joinControllers } from './join.ts';
import { fingerprint } from './paths.ts';
import { run } from './run.ts';
import type { Member } from './site.ts';

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

export interface DomainRecipe {
  readonly plan: DomainPlan;
  /** Bulk users besides the people. */
  readonly users: number;
  /** The first is the one the domain begins with. */
  readonly members: readonly [Member, ...Member[]];
}

const SCRIPT = fileURLToPath(new URL('provision.py', import.meta.url));
const JOIN = fileURLToPath(new URL('join.ts', import.meta.url));

/**
 * The database files of a fresh domain, those of each member in the place of the same number: a copy of the cached ones, or what is
 * there already. Rejects when a place holds those of another recipe.
 */
export async function placeDomain(recipe: DomainRecipe, places: readonly [string, ...string[]]): Promise<DomainContent> {
  const { members } = recipe;
  const text = textOf(recipe);
  const sources = [await readFile(SCRIPT, 'utf8'), ...(members.length > 1 ? [await readFile(JOIN, 'utf8')] : [])];
  const key = fingerprint(...sources, text, await run('samba', ['--version']));
  for (const [index, path] of places.entries()) {
    const marker = join(path, 'recipe');
    const present = await readFile(marker, 'utf8').catch(() => undefined);
    if (present !== undefined && present !== key) {
      throw new Error(`${path} holds a domain made by another recipe; remove it, or start without its data`);
    }
    if (present === undefined) {
      const made = await cached(`domain-${key}`, (fresh) => make(fresh, recipe, text, key));
      await rm(path, { recursive: true, force: true });
      await mkdir(path, { recursive: true, mode: 0o700 });
      // Database files are mostly holes; the marker comes last, so that a cut-off copy is not taken for whole.
      await run('cp', ['-a', '--sparse=always', `${join(made, members[index]?.hostName ?? '', 'domain')}/.`, path]);
      await rename(join(path, 'made'), marker);
    }
  }
  return JSON.parse(await readFile(join(places[0], 'content.json'), 'utf8')) as DomainContent;
}

async function make(path: string, { plan, members }: DomainRecipe, text: string, key: string): Promise<void> {
  const [first, ...others] = members;
  // Not any python3 in PATH: Samba's modules are Debian's.
  const domain = join(path, first.hostName, 'domain');
  await mkdir(domain, { recursive: true });
  await run('/usr/bin/python3', [SCRIPT, domain], text);
  if (others.length > 0) {
    await joinControllers(path, plan, first, others);
  }
  for (const { hostName } of members) {
    await writeFile(join(path, hostName, 'domain', 'made'), key);
  }
}

function textOf({ plan, users, members }: DomainRecipe): string {
  return JSON.stringify({
    ...plan,
    hostName: members[0].hostName,
    parking: PARKING,
    service: [LISTENER, LOOKUP],
    listener: LISTENER,
    users,
    joined: members.slice(1),
  });
}
