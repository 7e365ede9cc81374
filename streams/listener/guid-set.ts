const WORDS = 4;
/** Slots that there are at first; a power of two. */
const SLOTS = 1_024;

/**
 * A set of objectGUIDs in which each takes at most 64 bytes and is no object of its own: of 100,000 in 4 MB where strings take 10, and go on
 * costing whenever memory is collected. Open addressing; a slot of zeros is free, so the nil GUID, which no object has, counts as contained.
 */
export class GuidSet {
  #slots = new Uint32Array(WORDS * SLOTS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param guid 8-4-4-4-12, in any case @throws TypeError when it is none */
  add(guid: string): void {
    const words = wordsOf(guid);
    const place = placeOf(words, this.#slots);
    if (isThere(words, place, this.#slots)) return;
    this.#slots.set(words, place);
    this.#size += 1;
    if (2 * WORDS * this.#size > this.#slots.length) this.#grow();
  }

  has(guid: string): boolean {
    const words = wordsOf(guid);
    return isThere(words, placeOf(words, this.#slots), this.#slots);
  }

  clear(): void {
    this.#slots = new Uint32Array(WORDS * SLOTS);
    this.#size = 0;
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.#slots.length);
    for (let place = 0; place < this.#slots.length; place += WORDS) {
      const words = this.#slots.subarray(place, place + WORDS);
      if (words.some((word) => word !== 0)) larger.set(words, placeOf(words, larger));
    }
    this.#slots = larger;
  }
}

type Words = ArrayLike<number>;

/** Where it is, or else the free slot where it belongs. At most half of the slots are taken. */
function placeOf(words: Words, slots: Uint32Array): number {
  const hash = (words[0] ?? 0) ^ (words[1] ?? 0) ^ (words[2] ?? 0) ^ (words[3] ?? 0);
  for (let place = (hash * WORDS) & (slots.length - WORDS); ; place = (place + WORDS) & (slots.length - WORDS)) {
    const isFree = !slots[place] && !slots[place + 1] && !slots[place + 2] && !slots[place + 3];
    if (isFree || isThere(words, place, slots)) return place;
  }
}

function isThere(words: Words, place: number, slots: Uint32Array): boolean {
  return slots[place] === words[0] && slots[place + 1] === words[1] && slots[place + 2] === words[2] && slots[place + 3] === words[3];
}

function wordsOf(guid: string): number[] {
  const digits = guid.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw new TypeError(`${guid} is no GUID`);
  return [0, 8, 16, 24].map((from) => Number.parseInt(digits.slice(from, from + 8), 16));
}
