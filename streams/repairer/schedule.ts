/**
 * Who is to be looked at when: several side by side, each only once at a time, the most urgent first. Whoever is woken while it is being
 * looked at is looked at again afterwards.
 */
export class Schedule {
  readonly #look: (id: string) => Promise<void>;
  readonly #urgency: (id: string) => number;
  #atOnce: number;
  readonly #due = new Set<string>();
  readonly #busy = new Set<string>();
  #alongside = 0;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #ended = Promise.withResolvers<void>();
  #pause: NodeJS.Timeout | undefined;
  #pausedUntil = 0;
  #stopped = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(look: (id: string) => Promise<void>, urgency: (id: string) => number, atOnce: number) {
    this.#look = look;
    this.#urgency = urgency;
    this.#atOnce = atOnce;
    this.#ended.promise.catch(() => {}); // whoever asks for it is told
  }

  /**
   * Resolves when it was stopped and nothing is being looked at any more; rejects then, with the first error, when a look failed,
   * which stops it as well.
   */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** In so many milliseconds; an earlier alarm of the same id is forgotten. */
  wake(id: string, milliseconds = 0): void {
    if (this.#stopped) return;
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    if (milliseconds > 0) {
      const ring = () => {
        this.#timers.delete(id);
        this.#due.add(id);
        this.#next();
      };
      this.#timers.set(id, setTimeout(ring, milliseconds));
    } else {
      this.#due.add(id);
      this.#next();
    }
  }

  /** Begins nothing for so many milliseconds. */
  pause(milliseconds: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#pause);
    this.#pausedUntil = Date.now() + milliseconds;
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#next();
    }, milliseconds);
  }

  /** For how many milliseconds nothing is begun. */
  get pausedFor(): number {
    return this.#pause === undefined ? 0 : Math.max(0, this.#pausedUntil - Date.now());
  }

  /** Something that ends after a look, and that the end waits for; when it fails that is a failure of the look. */
  alongside(work: Promise<void>): void {
    this.#alongside++;
    work
      .catch((error: unknown) => {
        this.#failure ??= { error };
        this.stop();
      })
      .finally(() => {
        this.#alongside--;
        this.#next();
      });
  }

  /** So many side by side from now on; what is under way goes on. */
  limit(atOnce: number): void {
    this.#atOnce = atOnce;
    this.#next();
  }

  /** Who would be looked at next, the most urgent first. */
  upcoming(howMany: number): string[] {
    const waiting = [...this.#due].filter((id) => !this.#busy.has(id)).map((id) => ({ id, urgency: this.#urgency(id) }));
    return waiting
      .sort((a, b) => b.urgency - a.urgency)
      .slice(0, howMany)
      .map(({ id }) => id);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of [...this.#timers.values(), this.#pause]) clearTimeout(timer);
    this.#next();
  }

  #next(): void {
    while (!this.#stopped && this.#pause === undefined && this.#busy.size < this.#atOnce) {
      const next = this.#mostUrgent();
      if (next === undefined) break;
      void this.#begin(next);
    }
    if (!this.#stopped || this.#busy.size > 0 || this.#alongside > 0) return;
    if (this.#failure === undefined) this.#ended.resolve();
    else this.#ended.reject(this.#failure.error);
  }

  /** Of equals the one that came first. */
  #mostUrgent(): string | undefined {
    let most: { readonly id: string; readonly urgency: number } | undefined;
    for (const id of this.#due) {
      if (this.#busy.has(id)) continue;
      const urgency = this.#urgency(id);
      if (most === undefined || urgency > most.urgency) most = { id, urgency };
    }
    return most?.id;
  }

  async #begin(id: string): Promise<void> {
    this.#due.delete(id);
    this.#busy.add(id);
    try {
      await this.#look(id);
    } catch (error) {
      this.#failure ??= { error };
      this.stop();
    } finally {
      this.#busy.delete(id);
      this.#next();
    }
  }
}
