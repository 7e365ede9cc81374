import { closeSync, type FSWatcher, fstatSync, openSync, readSync, watch } from 'node:fs';

type Match = (line: string) => boolean;

/** Follows the lines that are appended to a file, without asking whoever writes it. Made before what is awaited can happen. */
export class LineTail implements Disposable {
  readonly #file: number;
  readonly #watcher: FSWatcher;
  readonly #waiting = new Map<Match, (line: string) => void>();
  #position: number;
  #rest = '';

  constructor(path: string) {
    this.#file = openSync(path, 'a+', 0o600);
    this.#position = fstatSync(this.#file).size;
    this.#watcher = watch(path, () => this.#read());
  }

  /**
   * The first line from now on that this is true of.
   *
   * @param within milliseconds
   */
  async next(match: Match, what: string, within = 30_000): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const timer = setTimeout(() => reject(new Error(`not within ${within} ms: ${what}`)), within);
    this.#waiting.set(match, resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(match);
    }
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    closeSync(this.#file);
  }

  #read(): void {
    const chunk = Buffer.alloc(Math.max(0, fstatSync(this.#file).size - this.#position));
    this.#position += readSync(this.#file, chunk, 0, chunk.length, this.#position);
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      for (const [match, resolve] of this.#waiting) if (match(line)) resolve(line);
    }
  }
}
