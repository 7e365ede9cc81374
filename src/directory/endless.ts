/** Of a directory of some millions of other objects, of which a domain controller may look through a thousand for an empty answer. */
const MOST_EMPTY_ANSWERS = 10_000;

/** Watches that a read in several answers comes to something. */
export class Endless {
  #empty = 0;

  /** @returns true when one answer too many has announced more and given nothing */
  announcesMore(entries: number): boolean {
    this.#empty = entries === 0 ? this.#empty + 1 : 0;
    return this.#empty > MOST_EMPTY_ANSWERS;
  }
}
