import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from './paths.ts';

const UNUSED_AFTER_DAYS = 30;

/** The cached directory of this name, made by `make` when it is not there. A half-made one is never seen by anybody. */
export async function cached(name: string, make: (path: string) => Promise<void>): Promise<string> {
  const path = join(cacheDirectory(), name);
  try {
    await utimes(path, new Date(), new Date());
    return path;
  } catch {
    // Not there yet.
  }
  await mkdir(cacheDirectory(), { recursive: true, mode: 0o700 });
  await forgetUnused(name.replace(/-[^-]*$/, '-'));
  const fresh = await mkdtemp(join(cacheDirectory(), 'new-'));
  try {
    await make(fresh);
    await rename(fresh, path).catch(async (error: NodeJS.ErrnoException) => {
      // Another process was faster; what it made is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') {
        throw error;
      }
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return path;
}

async function forgetUnused(prefix: string): Promise<void> {
  const oldest = Date.now() - UNUSED_AFTER_DAYS * 86_400_000;
  for (const name of await readdir(cacheDirectory())) {
    const path = join(cacheDirectory(), name);
    const used = (name.startsWith(prefix) || name.startsWith('new-')) && (await stat(path).catch(() => undefined))?.mtimeMs;
    if (used && used < oldest) {
      await rm(path, { recursive: true, force: true });
    }
  }
}
