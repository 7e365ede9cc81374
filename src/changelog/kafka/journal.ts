import type { JournalEntries } from '../../../streams/change-log.ts';
import type { StateStore } from '../state-store.ts';
import type { topicNames } from './cache.ts';
import { answerMessage } from './repair-requests.ts';
import type { TransactionalWriter } from './transactions.ts';

interface Entry {
  readonly entries: JournalEntries;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes what repairs record; what comes in while a transaction is under way goes out together in the next one. */
export class Journal {
  readonly #writer: TransactionalWriter;
  readonly #store: StateStore;
  readonly #topics: ReturnType<typeof topicNames>;
  #waiting: Entry[] = [];
  #writing = false;

  constructor(writer: TransactionalWriter, store: StateStore, topics: ReturnType<typeof topicNames>) {
    this.#writer = writer;
    this.#store = store;
    this.#topics = topics;
  }

  record(entries: JournalEntries): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ entries, resolve, reject });
    if (!this.#writing) void this.#write();
    return promise;
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      const repairs = waiting.flatMap(({ entries }) => entries.repairs ?? []);
      const links = waiting.flatMap(({ entries }) => entries.links ?? []);
      const answers = waiting.flatMap(({ entries }) => entries.answers ?? []);
      try {
        await this.#writer.commit([
          { topic: this.#topics.repair, messages: repairs.map((repair) => ({ key: repair.systemuserid, value: JSON.stringify(repair) })) },
          {
            topic: this.#topics.link,
            messages: links.map((link) => ({ key: `${link.organization}/${link.objectGUID}`, value: JSON.stringify(link) })),
          },
          { topic: this.#topics.request, messages: answers.map(answerMessage) },
        ]);
        this.#store.transaction(() => {
          for (const link of links) this.#store.putLink(link);
          for (const repair of repairs) this.#store.putRepair(repair);
          for (const answer of answers) this.#store.putAnswer(answer);
        });
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        // Also when only the cache failed: it does not know now what the log does, and must not be written on.
        const failure = this.#writer.fail(error);
        for (const { reject } of waiting) reject(failure);
      }
    }
    this.#writing = false;
  }
}
