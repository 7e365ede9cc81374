import {
  type CustomerEngagement,
  CustomerEngagementError,
  type CustomerEngagementFailure,
  type PersonNames,
  type SystemUser,
} from '../../streams/customer-engagement.ts';
import { sameName } from '../../streams/identity.ts';
import type { MemoryDirectory } from './memory-directory.ts';

export interface MemoryRecord {
  systemuserid: string;
  domainname: string;
  fullname: string;
  isdisabled: boolean;
  special: boolean;
  firstname: string;
  lastname: string;
  internalemailaddress: string;
  employeeid: string;
  businessunitid: string;
  modifiedon: string;
  mark: string;
  /** The account that it is mapped to: what decides who can log on, and what the Web API does not show. */
  objectGUID: string | undefined;
}

export interface Call {
  readonly operation: 'whoAmI' | 'find' | 'all' | 'set' | 'set-columns';
  readonly systemuserid: string | undefined;
  readonly name: string | undefined;
  /** First and last name that are written with it. */
  readonly names?: PersonNames | undefined;
}

/** What becomes of a call; `lost`: a write is done, its answer is not seen. */
export type Fate = 'ok' | 'lost' | CustomerEngagementFailure;

const BUSINESS_UNIT = '00000000-0000-4000-8000-00000000b0b0';
const USER_ALREADY_EXISTS = 0x80041d2c;
const OBJECT_NOT_FOUND = 0x80041d2a;
const STRING_LENGTH_TOO_LONG = 0x80044331;
/** Longest first and last name. */
const LONGEST = 64;
export const CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME = 0x80044161;

/**
 * An organization that sets user names as the server does: a name is looked up in the directory, perhaps in an old view of
 * it; one whose account is on any record is refused, the same name changes nothing, and unknown names are refused.
 */
export class MemoryCustomerEngagement {
  readonly records: MemoryRecord[] = [];
  own = '';
  /** Milliseconds from a request to its effect, and again to its answer. */
  latency = 1;
  fate: (call: Call) => Fate | Promise<Fate> = () => 'ok';
  /** Told of each write when it is sent. */
  onSend: (record: MemoryRecord, name: string) => void = () => {};
  /** Told of each change that is made. */
  onWrite: (record: MemoryRecord, name: string) => void = () => {};
  readonly calls: Call[] = [];
  /** Writes that were refused since the account was on a record. */
  readonly refusals: { readonly systemuserid: string; readonly name: string }[] = [];
  /** Refuses a name that another record shows, too: no server is known to do so. */
  comparesNames = false;
  /** Writes that changed something. */
  readonly writes: { readonly systemuserid: string; readonly from: string; readonly to: string }[] = [];
  readonly #directory: MemoryDirectory;
  /** Who has which name in an old view. */
  #view: Map<string, string> | undefined;
  #killed = new AbortController();

  constructor(directory: MemoryDirectory) {
    this.#directory = directory;
  }

  add(record: Partial<MemoryRecord> & Pick<MemoryRecord, 'systemuserid' | 'domainname'>): MemoryRecord {
    const [, name = ''] = record.domainname.split('\\');
    const added: MemoryRecord = {
      fullname: record.domainname,
      isdisabled: false,
      special: false,
      firstname: '',
      lastname: '',
      internalemailaddress: '',
      employeeid: '',
      businessunitid: BUSINESS_UNIT,
      modifiedon: now(),
      mark: '',
      objectGUID: this.#directory.holder(name),
      ...record,
    };
    this.records.push(added);
    return added;
  }

  get(systemuserid: string): MemoryRecord {
    const record = this.records.find((candidate) => candidate.systemuserid === systemuserid);
    if (record === undefined) throw new Error(`no record ${systemuserid}`);
    return record;
  }

  /**
   * From now on the server's own domain controller hears of nothing new, until it catches up.
   *
   * @param remembered names that it still takes for accounts which have others already, and the objectGUIDs of these
   */
  lag(remembered: Readonly<Record<string, string>> = {}): void {
    this.#view = new Map([
      ...this.#directory.guids().map((objectGUID) => [this.#directory.nameOf(objectGUID)?.toLowerCase() ?? '', objectGUID] as const),
      ...Object.entries(remembered),
    ]);
  }

  catchUp(): void {
    this.#view = undefined;
  }

  /** The client's process is gone: what it asked for before may still be done, nothing is ever answered to it. */
  kill(): void {
    this.#killed.abort();
    this.#killed = new AbortController();
  }

  client(name = 'contoso'): CustomerEngagement {
    const { signal } = this.#killed;
    const exchange = async <T>(call: Call, effect: () => T): Promise<T> => {
      this.calls.push(call);
      const record = this.records.find(({ systemuserid }) => call.operation === 'set' && systemuserid === call.systemuserid);
      if (record !== undefined) this.onSend(record, call.name ?? '');
      const fate = await this.fate(call);
      await this.#travel(signal);
      if (fate !== 'ok' && fate !== 'lost') throw new CustomerEngagementError(fate, `${name}: ${fate}`);
      const answer = effect();
      await this.#travel(signal);
      if (fate === 'lost') {
        throw new CustomerEngagementError(call.operation === 'set' ? 'unknown-outcome' : 'transient', `${name}: cut off`);
      }
      return answer;
    };
    const all = (since = '') =>
      exchange({ operation: 'all', systemuserid: undefined, name: since }, () =>
        this.records.filter(({ modifiedon }) => modifiedon >= since).map(shown),
      );
    return {
      name,
      whoAmI: () => exchange({ operation: 'whoAmI', systemuserid: undefined, name: undefined }, () => this.own),
      find: ({ systemuserids = [], domainNames }) =>
        exchange({ operation: 'find', systemuserid: systemuserids[0], name: domainNames[0] }, () =>
          this.records
            .filter(
              (record) => systemuserids.includes(record.systemuserid) || domainNames.some((asked) => sameName(asked, record.domainname)),
            )
            .map(shown),
        ),
      async *all({ since }) {
        const records = await all(since);
        while (records.length > 0) yield records.splice(0, 5);
      },
      setDomainName: (systemuserid, domainName, { names } = {}) =>
        exchange({ operation: 'set', systemuserid, name: domainName, names }, () => {
          const domainname = this.#set(systemuserid, domainName, names);
          const { firstname, lastname, internalemailaddress } = this.get(systemuserid);
          return { domainname, person: { firstname, lastname, internalemailaddress } };
        }),
      setColumns: (systemuserid, columns) =>
        exchange({ operation: 'set-columns', systemuserid, name: undefined }, () => {
          Object.assign(this.get(systemuserid), columns);
        }),
      close: async () => {},
    };
  }

  #set(systemuserid: string, domainName: string, names: PersonNames = {}): string {
    const record = this.records.find((candidate) => candidate.systemuserid === systemuserid);
    if (record === undefined) throw new CustomerEngagementError('missing', 'no such record');
    if (systemuserid === this.own) {
      throw new CustomerEngagementError('impossible', 'own name', { code: CALLER_CANNOT_CHANGE_OWN_DOMAIN_NAME });
    }
    if (record.special) throw new CustomerEngagementError('impossible', 'special user');
    if (Object.values(names).some((name) => name.length > LONGEST)) {
      throw new CustomerEngagementError('refused', 'too long', { code: STRING_LENGTH_TOO_LONG });
    }
    if (sameName(record.domainname, domainName)) {
      Object.assign(record, names);
      return record.domainname;
    }
    const objectGUID = this.#resolve(domainName);
    if (objectGUID === undefined) {
      throw new CustomerEngagementError('not-in-directory', `${domainName} is not known`, { code: OBJECT_NOT_FOUND });
    }
    const isShown = this.comparesNames && this.records.some((other) => sameName(other.domainname, domainName));
    if (isShown || this.records.some((other) => other.objectGUID === objectGUID)) {
      this.refusals.push({ systemuserid, name: domainName });
      throw new CustomerEngagementError('held', 'already a user', { code: USER_ALREADY_EXISTS });
    }
    this.onWrite(record, domainName);
    this.writes.push({ systemuserid, from: record.domainname, to: domainName });
    Object.assign(record, { domainname: domainName, objectGUID, modifiedon: now(), ...names });
    return domainName;
  }

  #resolve(userName: string): string | undefined {
    if (userName.includes('@')) return this.#directory.holderOfUpn(userName);
    const [domain, name = ''] = userName.split('\\');
    if (domain !== this.#directory.domain) return undefined;
    return this.#view ? this.#view.get(name.toLowerCase()) : this.#directory.holder(name);
  }

  async #travel(killed: AbortSignal): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.latency));
    if (killed.aborted) await new Promise<never>(() => {});
  }
}

function shown({ objectGUID: _, ...record }: MemoryRecord): SystemUser {
  return record;
}

/** The server's database keeps whole seconds. */
function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
