import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The work tree. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Where beds live unless told otherwise; git ignores it. */
export const BEDS = join(ROOT, '.testbed');

/** Outside the work tree, so that a fresh clone finds what another one made. */
export function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'namesake');
}

/** A short name for something made from these texts. */
export function fingerprint(...texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) {
    hash.update(text).update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
