import { readFileSync } from 'node:fs';

/** Files end with a line break that is no part of the secret. Read at once: a round through the thread pool takes a millisecond of each request. */
export function secret(value: string | undefined, file: string | undefined): () => string {
  return () => value ?? readFileSync(file ?? '', 'utf8').replace(/\r?\n$/, '');
}
