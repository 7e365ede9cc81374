import { ADMINISTRATOR } from './content.ts';
import type { Directory } from './directory.ts';
import { allowInbound, lags } from './replication-state.ts';
import type { Site } from './site.ts';

const TOOL_WITHIN = 30_000;
const SETTLE_WITHIN = 60_000;
// A connection to one that has been restarted is found broken once; two that have just started may have to wait for each other, and one
// of them may keep a request for good.
const ATTEMPTS = 4;

class ReplicationPaused extends Error {}

/** What tests and people do to the replication between the domain controllers of one domain. Left alone it takes a second or two. */
export class Replication {
  readonly #site: Site;
  readonly #all: readonly [Directory, ...Directory[]];

  /** `all`: the first takes writes; a read-only one has its changes from there. */
  constructor(site: Site, all: readonly [Directory, ...Directory[]]) {
    this.#site = site;
    this.#all = all;
  }

  /** `to` pulls from `from` what it lacks, also while replication is paused. Resolves when it has it. */
  async replicate(to: Directory, from: Directory): Promise<void> {
    await this.#pull(to, from, '--sync-forced');
  }

  /** None pulls anything by itself any more, over restarts too, until `resume`. */
  async pause(): Promise<void> {
    await this.#inbound(false);
  }

  /** They pull again, first of all what they have missed: a notification that was refused is not sent again. */
  async resume(): Promise<void> {
    await this.#inbound(true);
    await this.settled();
  }

  /** Pulls until each has what every other has. Rejects when that takes more than a minute, or is needed while replication is paused. */
  async settled(): Promise<void> {
    const deadline = Date.now() + SETTLE_WITHIN;
    for (let lagging = await this.#lagging(); lagging.length > 0; lagging = await this.#lagging()) {
      if (Date.now() > deadline) {
        const lacking = lagging.map(([to, from]) => `${to.name} lacks changes of ${from.name}`);
        throw new Error(`not settled within ${SETTLE_WITHIN} ms: ${lacking.join(', ')}`);
      }
      for (const [to, from] of lagging) {
        await this.#pull(to, from);
      }
    }
  }

  /** Each hears of the others: those that were made long ago would count as out of touch until they pull by themselves. */
  async refresh(): Promise<void> {
    for (const to of this.#all.filter(({ readOnly }) => !readOnly)) {
      for (const from of this.#sources(to)) {
        await this.#pull(to, from).catch((error: unknown) => {
          if (!(error instanceof ReplicationPaused)) throw error;
        });
      }
    }
  }

  async #lagging(): Promise<(readonly [to: Directory, from: Directory])[]> {
    const pairs = this.#all.flatMap((to) => this.#sources(to).map((from) => [to, from] as const));
    const late = await Promise.all(pairs.map(([to, from]) => lags(this.#up(to), this.#up(from))));
    return pairs.filter((_, index) => late[index]);
  }

  #sources(to: Directory): readonly Directory[] {
    return to.readOnly ? this.#all.slice(0, 1) : this.#all.filter((from) => from !== to && !from.readOnly);
  }

  async #pull(to: Directory, from: Directory, ...options: string[]): Promise<void> {
    // A read-only one lets no administrator in who would ask it to pull: the tool does it in its database.
    const how = to.readOnly ? ['--local'] : options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#drs(to, 'replicate', this.#up(to).hostName, this.#up(from).hostName, to.namingContext, ...how);
      } catch (error) {
        if (says(error, 'WERR_DS_DRA_SINK_DISABLED')) {
          throw new ReplicationPaused(`${to.name} lacks changes of ${from.name}, and its replication is paused`, { cause: error });
        }
        if (attempt === ATTEMPTS || !(says(error, 'DsReplicaSync failed') || says(error, 'no answer within'))) {
          throw error;
        }
      }
    }
  }

  async #inbound(isAllowed: boolean): Promise<void> {
    const option = `--dsa-option=${isAllowed ? '-' : '+'}DISABLE_INBOUND_REPL`;
    const writable = this.#all.filter(({ readOnly }) => !readOnly);
    await Promise.all(writable.map((dc) => this.#drs(dc, 'options', this.#up(dc).hostName, option)));
    const from = this.#all[0];
    for (const dc of this.#all.filter(({ readOnly }) => readOnly)) {
      // It takes no writes of its own: it has to hear of that one.
      await allowInbound(this.#up(from), this.#up(dc), isAllowed);
      await this.#drs(dc, 'replicate', dc.hostName, from.hostName, `CN=Configuration,${dc.namingContext}`, '--local');
    }
  }

  async #drs(dc: Directory, ...args: string[]): Promise<void> {
    const logon = ['-U', `${dc.netbios}\\${ADMINISTRATOR}`, '-s', dc.smbConfFile];
    const env = { PASSWD_FILE: dc.admin.passwordFile };
    await this.#site.run('samba-tool', ['drs', ...args, ...logon], { env, within: TOOL_WITHIN });
  }

  #up(directory: Directory): Directory {
    if (directory.pid === undefined) {
      throw new Error(`${directory.name} is not running`);
    }
    return directory;
  }
}

function says(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.includes(code);
}
