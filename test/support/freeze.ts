import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';

/** Freezes a process that has an SQLite log, but not in the middle of a write: then nobody else could use the file either. */
export async function freezeBetweenWrites(process: { pause(): void; resume(): void }, file: string): Promise<void> {
  for (;;) {
    process.pause();
    if (isWritable(file)) return;
    process.resume();
    await delay(20);
  }
}

function isWritable(file: string): boolean {
  using database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK;');
    return true;
  } catch {
    return false;
  }
}
