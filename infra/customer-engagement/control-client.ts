import type { FaultRule } from './injected-faults.ts';
import type { Logon } from './logon.ts';
import type { Seed } from './seeding.ts';
import type { Settings } from './settings.ts';
import type { Defect, RequestEntry } from './traffic.ts';

export type { Defect, FaultRule, Logon, RequestEntry, Seed, Settings };

/** A record as the control port shows it, with what the API hides. */
export interface ShownRecord {
  readonly systemuserid: string;
  readonly domainname: string;
  readonly fullname: string;
  readonly isdisabled: boolean;
  readonly versionnumber: number;
  readonly objectGUID: string | null;
  readonly objectSid: string | null;
  readonly [column: string]: string | number | boolean | null;
}

/** The control port of a running stand-in. Every method rejects with the port's own words when it refuses. */
export class ControlClient {
  readonly #base: string;

  /** @param url address of the control port, such as `http://127.0.0.1:8444` */
  constructor(url: string) {
    this.#base = url.replace(/\/$/, '');
  }

  /** Can this AD account log on to CE right now? By sAMAccountName, `DOMAIN\name` or objectGUID. */
  async logon(account: string): Promise<Logon> {
    return await this.#call('GET', `/logon?account=${encodeURIComponent(account)}`);
  }

  async records(): Promise<ShownRecord[]> {
    return await this.#call('GET', '/records');
  }

  /** Adds records that are not there yet. Returns how many. */
  async addRecords(records: readonly Seed[]): Promise<number> {
    const { added } = await this.#call<{ added: number }>('POST', '/records', records);
    return added;
  }

  /** Every request since the start or the last clear, in the order in which they ended. */
  async requests(): Promise<RequestEntry[]> {
    return await this.#call('GET', '/requests');
  }

  /** The caller's careless requests. */
  async defects(): Promise<Defect[]> {
    return await this.#call('GET', '/defects');
  }

  /** Forgets requests and defects; the log file stays. */
  async clear(): Promise<void> {
    await this.#call('DELETE', '/requests');
  }

  /** Replaces all rules; their counters start anew. */
  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    await this.#call('PUT', '/faults', rules);
  }

  /** The rules in force, with how often each matched and fired. */
  async faults(): Promise<{ rule: FaultRule; matched: number; fired: number }[]> {
    return await this.#call('GET', '/faults');
  }

  async clearFaults(): Promise<void> {
    await this.#call('DELETE', '/faults');
  }

  /** How long names lag behind the directory, in milliseconds. */
  async setLag(ms: number): Promise<void> {
    await this.#call('PUT', '/lag', { ms });
  }

  /** Replaces the settings; what is left out goes back to its default. */
  async setSettings(settings: Partial<Settings>): Promise<void> {
    await this.#call('PUT', '/settings', settings);
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#base}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} of the stand-in's control port: ${response.status} ${text}`);
    return text === '' ? (undefined as T) : (JSON.parse(text) as T);
  }
}
