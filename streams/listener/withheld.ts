/** From how many deletions on in one read a person is asked first. */
export interface DeletionLimit {
  readonly count: number;
  /** Of the accounts that are known; at least `AT_LEAST` deletions go through however few are known. */
  readonly percent: number;
}

const AT_LEAST = 5;

export function isTooMany(deletions: number, known: number, { count, percent }: DeletionLimit): boolean {
  return deletions > Math.min(count, Math.max(AT_LEAST, Math.floor((known * percent) / 100)));
}

/**
 * The same for the same accounts in any order, so that what a person accepts is what was shown to them. FNV-1a over the sorted
 * objectGUIDs, 64 bits: nobody chooses objectGUIDs to deceive.
 */
export function digestOf(objectGUIDs: Iterable<string>): string {
  let hash = 0xcbf29ce484222325n;
  for (const character of [...objectGUIDs].sort().join()) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(character.charCodeAt(0))) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}
