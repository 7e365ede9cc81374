import type { DirectorySession, Page, PageReader, WholeObject } from '../directory-source.ts';

/** A page, and its objects read whole where that was asked for. */
export interface ReadyPage extends Page {
  readonly wholes: Promise<ReadonlyMap<string, WholeObject>> | undefined;
}

/**
 * Has the next page ready while one is being published, as long as that comes from an answer which the directory has begun anyway: so at
 * most two pages are in memory, and nothing is asked of the directory that it was not asked before.
 */
export class AheadReader {
  readonly #reader: PageReader;
  readonly #readObjects: DirectorySession['readObjects'] | undefined;
  #next: Promise<ReadyPage> | undefined;

  /** @param readObjects undefined: whoever takes a page knows better which of its objects are worth it */
  constructor(reader: PageReader, readObjects: DirectorySession['readObjects'] | undefined) {
    this.#reader = reader;
    this.#readObjects = readObjects;
  }

  /** @throws DirectoryError when the read was refused or cut off */
  async next(): Promise<ReadyPage> {
    const page = await (this.#next ?? this.#read());
    this.#next = page.isHalfAnAnswer ? this.#read() : undefined;
    this.#next?.catch(() => {}); // told when it is asked for
    return page;
  }

  async #read(): Promise<ReadyPage> {
    const page = await this.#reader.next();
    const wholes = page.observations.length === 0 ? undefined : this.#readObjects?.(page.observations.map(({ objectGUID }) => objectGUID));
    wholes?.catch(() => {}); // told where they are used
    return { ...page, wholes };
  }
}
