import { join } from 'node:path';
import { ldapDirectorySource } from '../../src/directory/source.ts';
import type { ListenerReport } from '../../streams/listener/listener.ts';
import { Random } from '../support/chain-random.ts';
import { READING } from '../support/reading-settings.ts';
import { Accounts } from './accounts.ts';
import type { Controller } from './controller.ts';
import { Journal } from './journal.ts';
import type { RolledBack } from './order.ts';
import type { Pair } from './pair.ts';
import { TorturedListener } from './tortured-listener.ts';

/** Milliseconds. Long enough for nothing to be taken for true only because time has passed; the end of a run is another matter. */
const PATIENT = 600_000;

/** Milliseconds between two looks who is in scope. */
export const SCOPE_EVERY = 500;

/** All that one run is made of. */
export class World implements AsyncDisposable {
  readonly pair: Pair;
  readonly random: Random;
  readonly journal = new Journal();
  readonly accounts: Accounts;
  readonly listener: TorturedListener;
  /** What happened, for whoever has to find out why. */
  readonly trace: string[] = [];
  rolledBack: RolledBack | undefined;
  /** Whoever is in the unit that keeps its name is not followed, from the next start of the listener on. */
  excludesUnit = false;
  /** Whether that was ever so: then people come in and leave. */
  wasScoped = false;
  /** A stored position was deleted, and with it what had been seen. */
  forgot = false;
  /** One that was rolled back, and has lost what the listener had seen; and how many reports there were before. */
  forgetful: { readonly controller: Controller; readonly after: number } | undefined;
  /** Losses of the position that the listener has to tell of, and how many reports there were before. */
  readonly losses: { readonly what: string; readonly reason: RegExp; readonly after: number }[] = [];
  /** The number of the last event when it was seen that the two will never agree again. */
  apartAfter = Number.POSITIVE_INFINITY;
  readonly #began = performance.now();

  /** Of such a run it cannot be said in the end who was followed when. */
  readonly rollsBack: boolean;

  constructor(pair: Pair, seed: number, folder: string, rollsBack: boolean) {
    this.pair = pair;
    this.rollsBack = rollsBack;
    this.random = new Random(seed);
    this.accounts = new Accounts(`${seed}`, pair.namingContext, this.random, this.journal);
    const { caFile, service } = pair.bed.directory;
    const { random } = this;
    const chosen = {
      pageSize: random.pick([1, 3, 10, 500]),
      maxLag: random.pick([1_000, PATIENT]),
      failBackAfter: random.pick([200, 1_000, PATIENT]),
    };
    this.note(`settings ${JSON.stringify(chosen)}`);
    const source = () =>
      ldapDirectorySource({
        urls: pair.all.map(({ url }) => url),
        bindDn: service.bindDn,
        password: () => service.password,
        caFile,
        deadline: 3_000,
        heartbeat: 500,
        probeEvery: 300,
        ...chosen,
        ...(this.excludesUnit && { scope: { exclude: { ous: [this.accounts.fixedUnit] } } }),
      });
    const settings = {
      ...READING,
      readEvery: 500,
      readGap: 5,
      requestsEvery: 100,
      positionEvery: 200,
      scopeEvery: SCOPE_EVERY,
      maxLag: PATIENT,
    };
    this.listener = new TorturedListener(join(folder, `seed-${seed}.db`), source, settings, (report) => this.note(told(report)));
  }

  note(line: string): void {
    if (line === '') return;
    this.trace.push(`${(performance.now() - this.#began).toFixed(0).padStart(7)} ms  ${line}`);
  }

  /** What it did not tell of, in sentences. */
  untold(): string[] {
    const isTold = ({ reason, after }: World['losses'][number]) =>
      this.listener.reports.slice(after).some((report) => report.type === 'position-lost' && reason.test(report.reason));
    return this.losses.filter((loss) => !isTold(loss)).map(({ what }) => `nobody was told that ${what}`);
  }

  isFollowed(dn: string): boolean {
    return !(this.excludesUnit && dn.toLowerCase().endsWith(`,${this.accounts.fixedUnit.toLowerCase()}`));
  }

  /** One that takes writes; after a roll-back either. */
  get writable(): Controller[] {
    return this.pair.all.filter(({ isUp }) => isUp);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener[Symbol.asyncDispose]();
  }
}

function told(report: ListenerReport): string {
  switch (report.type) {
    case 'published':
      return report.events
        .map(({ sequence, kind, objectGUID, changed, after, observed }) => {
          const values = changed.map((attribute) => `${attribute}=${after?.[attribute] ?? ''}`).join(' ');
          const { origin, dc, via } = observed;
          const write = origin ? `v${origin.version} ${origin.time} ${origin.dc?.slice(0, 3)} ${origin.usn}` : 'no origin';
          return `  event ${sequence} ${kind} ${objectGUID.slice(0, 8)} ${after?.sAMAccountName ?? ''} ${values} (${dc.slice(0, 3)} ${via}; ${write})`;
        })
        .join('\n            ');
    case 'leaving':
    case 'waiting':
      return `  ${report.type}: ${report.error.message}`;
    case 'read-progress':
      return report.done ? `  everything was read: ${report.objects} objects, ${report.differences} differences` : '';
    default:
      return `  ${JSON.stringify(report)}`;
  }
}
