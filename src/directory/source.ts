import { DirectoryError, type DirectorySession, type DirectorySource } from '../../streams/directory-source.ts';
import { PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import type { Position } from '../../streams/position.ts';
import { type Access, attempt, type Connect } from './attempt.ts';
import { type Candidate, type FindCandidates, inDns, named, namingContextOf } from './candidates.ts';
import { choose, type PassedOver, passedOver, type Terms, WrongSettings } from './choice.ts';
import type { LdapConnection } from './connection.ts';
import { DomainControllerNames } from './domain-controllers.ts';
import { trustedCertificates } from './endpoint.ts';
import type { Warn } from './entry.ts';
import { wellAgain } from './fail-back.ts';
import { failed } from './failure.ts';
import { checkCovers, checkLag, checkServes, Unfit } from './fitness.ts';
import { type MethodSettings, Methods } from './method.ts';
import { Names } from './names.ts';
import { type DomainController, readDomainController } from './root-dse.ts';
import type { ScopeSettings } from './scope.ts';
import { LdapSession } from './session.ts';
import { Standing } from './standing.ts';

export interface DirectorySettings extends MethodSettings {
  /** ldaps://HOST[:PORT], or ldap://HOST[:PORT] with StartTLS, each naming one domain controller; in order of preference. */
  readonly urls?: readonly string[] | undefined;
  /** Instead of urls: the DNS name of the domain, whose domain controllers are found by SRV records. */
  readonly domain?: string | undefined;
  /** With domain: the Active Directory site whose domain controllers are preferred. */
  readonly site?: string | undefined;
  /** With domain. Default ldaps; ldap is secured with StartTLS. */
  readonly protocol?: 'ldaps' | 'ldap' | undefined;
  /** IP addresses, with a port or without, of the DNS servers to ask; without it, those of this system. */
  readonly dnsServers?: readonly string[] | undefined;
  /** A DN, a userPrincipalName or DOMAIN\name. */
  readonly bindDn: string;
  /** Asked at each logon, so that a changed file counts. */
  readonly password: () => string | Promise<string>;
  /** PEM file of the CAs that sign the domain controllers' certificates; without it, the CAs that this system trusts. */
  readonly caFile?: string | undefined;
  /** Sends the password over ldap:// without encryption. */
  readonly allowClearText?: boolean | undefined;
  /** Milliseconds in which a domain controller has to be ready to be read, and then to give each answer. Default 5,000. */
  readonly deadline?: number | undefined;
  /** Milliseconds that a domain controller may be behind the stored position. Default 3,600,000. */
  readonly maxLag?: number | undefined;
  /** Milliseconds between two probes of better domain controllers than the one in use. Default 30,000. */
  readonly probeEvery?: number | undefined;
  /** Milliseconds for which a better one has to be well before it is gone back to. Default 120,000. */
  readonly failBackAfter?: number | undefined;
  /** Whose accounts are followed. Default: everybody's. */
  readonly scope?: ScopeSettings | undefined;
  /** What is watched besides what always is. Default displayName, givenName, sn, mail. */
  readonly attributes?: readonly string[] | undefined;
  /** Observations of one page at most. Default 500. */
  readonly pageSize?: number | undefined;
  /** Milliseconds that the first entry of a full read, and of the first read after opening, may take. Default 120,000, a domain controller's own limit. */
  readonly patience?: number | undefined;
  /** Milliseconds between two heartbeats, by which a server that hangs is noticed. Default: the deadline. */
  readonly heartbeat?: number | undefined;
  /** Told of values and entries that were set aside, and of DNS that does not answer. */
  readonly warn?: Warn | undefined;
}

/**
 * The users of an Active Directory domain, by DirSync or by uSNChanged, over LDAP.
 *
 * @throws DirectoryError of kind 'configuration' when an address is wrong
 */
export function ldapDirectorySource(settings: DirectorySettings): DirectorySource {
  return new LdapDirectorySource(settings);
}

type FindPosition = (namingContext: string) => Position | undefined;

/** A domain controller that has passed the checks. */
interface Checked {
  readonly connection: LdapConnection;
  readonly here: DomainController;
}

/** One on which a session has begun. */
interface Taken extends Checked {
  readonly candidate: Candidate;
  readonly session: LdapSession;
  readonly asLastResort: boolean;
}

class LdapDirectorySource implements DirectorySource {
  readonly name: string;
  readonly #settings: ReturnType<typeof complete>;
  readonly #names: Names;
  readonly #findCandidates: FindCandidates;
  readonly #standing: Standing;
  readonly #methods: Methods;
  readonly #controllers: DomainControllerNames;
  #candidates: readonly Candidate[] = [];
  #hasPassword = false;
  #refusedPassword: string | undefined;
  /** Of the last session, until that is told to have failed. */
  #inUse: Candidate | undefined;
  /** Of the domain that is listened to, once that is known. */
  #namingContext: string | undefined;

  constructor(settings: DirectorySettings) {
    this.#settings = complete(settings);
    this.#methods = new Methods(settings);
    this.#controllers = new DomainControllerNames(this.#settings.warn);
    const { urls = [], domain, dnsServers, allowClearText, deadline, failBackAfter, warn } = this.#settings;
    if ((urls.length === 0) === (domain === undefined))
      throw new DirectoryError('configuration', 'No domain controller is named: expected either urls or a domain');
    this.#names = new Names(dnsServers, deadline);
    this.#standing = new Standing(failBackAfter);
    if (domain === undefined) {
      const candidates = named(urls, allowClearText);
      this.#findCandidates = () => Promise.resolve(candidates);
      this.name = candidates.map(({ endpoint }) => endpoint.url).join(', ');
    } else {
      this.#findCandidates = inDns({ ...this.#settings, domain }, this.#names, warn);
      this.#namingContext = namingContextOf(domain);
      this.name = domain;
    }
  }

  async open(find: FindPosition, signal: AbortSignal): Promise<DirectorySession> {
    this.#inUse = undefined;
    const access = await this.#access();
    this.#candidates = await this.#findCandidates(signal);
    const order = this.#standing.order(this.#candidates);
    /** Whose domains are compared as long as none is known to be the right one. */
    const asked: DomainController[] = [];
    const take = (candidate: Candidate, { passedOver: tried, asLastResort }: Terms): Promise<Taken> =>
      attempt(candidate.endpoint, access, signal, async (connect) => {
        const checked = await this.#check(connect, asked);
        const stored = find(checked.here.namingContext);
        if (!asLastResort) this.#checkFit(checked.here, stored);
        const putOff = asLastResort ? [] : this.#putOff(order, candidate);
        const session = await this.#start(checked, connect, stored, [...tried, ...putOff]);
        return { ...checked, candidate, asLastResort, session };
      });
    const onRefused = (candidate: Candidate, error: DirectoryError) => {
      this.#standing.failed(candidate, error);
      if (error.failure === 'credentials') this.#refusedPassword = access.credentials.password;
    };
    const taken = await choose(order, take, onRefused, signal);
    this.#inUse = taken.candidate;
    this.#namingContext ??= taken.here.namingContext;
    this.#standing.taken(taken.candidate);
    this.#lookForBetter(taken, find);
    return taken.session;
  }

  failed(error: DirectoryError): boolean {
    const candidate = this.#inUse;
    this.#inUse = undefined;
    if (error.failure === 'preferred') return true;
    // Where no session was opened all have been tried. And a refused password or position is not for another one to try.
    if (candidate === undefined || error.failure === 'credentials' || error.failure === 'position') return false;
    this.#standing.failed(candidate, error);
    return this.#candidates.some((each) => this.#standing.failure(each) === undefined);
  }

  async hasOtherPassword(): Promise<boolean> {
    try {
      return (await this.#settings.password()) !== this.#refusedPassword;
    } catch {
      // Such as a file that is being replaced.
      return false;
    }
  }

  async #access(): Promise<Access> {
    const { bindDn, password, caFile, deadline } = this.#settings;
    const ca = trustedCertificates(caFile);
    try {
      const credentials = { dn: bindDn, password: await password() };
      this.#hasPassword = true;
      return { ca, deadline, lookup: this.#names.lookup, credentials };
    } catch (error) {
      // Once it was there, it is being replaced.
      throw failed(this.#hasPassword ? 'unavailable' : 'configuration', 'The password for the directory cannot be read', error);
    }
  }

  /** @param asked those that were asked before, which this one is added to */
  async #check(connect: Connect, asked: DomainController[]): Promise<Checked> {
    const connection = await connect();
    const here = await readDomainController(connection, this.#settings.warn);
    const [first] = asked;
    asked.push(here);
    if (this.#namingContext === undefined && first !== undefined && !isOf(here, first.namingContext)) {
      throw new WrongSettings(
        'configuration',
        `${here.dc} is of ${here.namingContext}, but ${first.dc} of ${first.namingContext}: one domain each`,
      );
    }
    if (this.#namingContext !== undefined && !isOf(here, this.#namingContext))
      throw new Unfit('configuration', here.dc, `it is of ${here.namingContext}, not of ${this.#namingContext}`);
    return { connection, here };
  }

  /** @throws Unfit */
  #checkFit(here: DomainController, stored: Position | undefined): void {
    checkServes(here, this.#settings.source);
    checkLag(here, stored, this.#settings.maxLag);
  }

  async #start(
    { connection, here }: Checked,
    connect: Connect,
    stored: Position | undefined,
    passedOver: readonly PassedOver[],
  ): Promise<LdapSession> {
    // A name can stand for several servers: the second connection goes to the very one that answered.
    const control = await connect(connection.address);
    const method = this.#methods.choose(stored, here);
    const onRefusal = (error: DirectoryError) => this.#methods.afterRefusal(error, here);
    return await LdapSession.start(connection, control, here, stored, {
      ...this.#settings,
      names: this.#controllers,
      passedOver,
      method,
      onRefusal,
    });
  }

  /** Better ones that are not even tried, since they have failed. */
  #putOff(order: readonly Candidate[], taken: Candidate): PassedOver[] {
    return order.slice(order.indexOf(taken) + 1).flatMap((candidate) => {
      const error = this.#standing.failure(candidate);
      return candidate.rank < taken.rank && error !== undefined ? passedOver({ candidate, error }) : [];
    });
  }

  /** Ends the session when a better domain controller is well again, as a lost connection would. */
  #lookForBetter({ candidate, connection, here, session, asLastResort }: Taken, find: FindPosition): void {
    const preferred = this.#candidates.filter((each) => each !== candidate && (asLastResort || each.rank < candidate.rank));
    if (preferred.length === 0) return;
    const { probeEvery } = this.#settings;
    const ended = new AbortController();
    void connection.lost.then(() => ended.abort());
    // The number of the one in use counts also what it only passed on, and in a quiet domain nobody hears of that for long. Of what was
    // written there the other one may lag behind: what is older than known is not told.
    const { [here.invocationId]: _, ...elsewhere } = here.vector;
    const probe = async ({ endpoint }: Candidate): Promise<string> =>
      attempt(endpoint, await this.#access(), ended.signal, async (connect) => {
        const better = await this.#check(connect, []);
        await using _ = better.connection;
        if (better.here.invocationId === here.invocationId) throw new Unfit('unavailable', here.dc, 'it is the one in use');
        this.#checkFit(better.here, find(better.here.namingContext));
        checkCovers(better.here, elsewhere);
        return better.here.dc;
      });
    // A read of everything that was cut off would begin anew.
    const mayLeave = () => {
      const position = find(here.namingContext);
      return position !== undefined && position.comparing === undefined && !session.readsEverything;
    };
    wellAgain({ preferred, probe, mayLeave, standing: this.#standing, every: probeEvery }, ended.signal).then(
      (dc) => dc && connection.fail(new DirectoryError('preferred', `${dc} is well again, and preferred to ${here.dc}`)),
      (error) => connection.fail(failed('unavailable', 'Looking for a better domain controller failed', error)),
    );
  }
}

/** With what is said where nothing is. */
function complete(settings: DirectorySettings) {
  const { deadline = 5_000, maxLag = 3_600_000, probeEvery = 30_000, failBackAfter = 120_000 } = settings;
  const {
    pageSize = 500,
    attributes = PROFILE_ATTRIBUTES,
    patience = 120_000,
    heartbeat = deadline,
    warn = () => {},
    allowClearText = false,
  } = settings;
  return { ...settings, deadline, maxLag, probeEvery, failBackAfter, pageSize, patience, heartbeat, warn, allowClearText, attributes };
}

function isOf(here: DomainController, namingContext: string): boolean {
  return here.namingContext.toLowerCase() === namingContext.toLowerCase();
}
