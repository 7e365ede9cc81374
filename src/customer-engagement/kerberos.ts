import { mkdirSync } from 'node:fs';
import { CustomerEngagementError } from '../../streams/customer-engagement.ts';
import type { Answer, Request } from './transport.ts';
import { challengeOf, type Mechanism, MechanismUnavailable } from './windows.ts';

export interface KerberosSettings {
  /** `HTTP@host`, as the library writes service principal names. */
  readonly service: string;
  /** Who logs on, where a keytab or cache knows several. */
  readonly principal?: string | undefined;
  /** Whether an answer of a server that does not prove who it is is refused. */
  readonly mutual: boolean;
  /** Milliseconds for a ticket: a KDC that is silent would cost 25 s. */
  readonly deadline: number;
}

/** What MIT Kerberos is told by the environment of the process, once and for all of it. */
export interface KerberosEnvironment {
  readonly keytab?: string | undefined;
  readonly cache?: string | undefined;
  readonly config?: string | undefined;
  /** Where tickets are kept that a keytab gets. */
  readonly stateDirectory: string;
}

/**
 * Sets what the library reads before its first use. On Windows the service's own identity is used, and nothing is set.
 *
 * @throws Error when another organization has set something else: a process has one environment
 */
export function prepareKerberos({ keytab, cache, config, stateDirectory }: KerberosEnvironment): void {
  const directory = `${stateDirectory}/krb5cc`;
  if (cache === undefined && keytab !== undefined) mkdirSync(directory, { recursive: true, mode: 0o700 });
  set('KRB5_CONFIG', config);
  set('KRB5_CLIENT_KTNAME', keytab);
  set('KRB5CCNAME', cache ?? (keytab === undefined ? undefined : `DIR:${directory}`));
}

const prepared = new Map<string, string>();

function set(name: string, value: string | undefined): void {
  if (value === undefined) return;
  const before = prepared.get(name);
  if (before !== undefined && before !== value) {
    throw new Error(`two organizations ask for different Kerberos files (${before} and ${value}): put both principals into one`);
  }
  prepared.set(name, value);
  process.env[name] = value;
}

/** What is used of the npm package kerberos. */
interface Library {
  initializeClient(service: string, options: { mechOID: unknown; principal?: string }): Promise<Context>;
  readonly GSS_MECH_OID_SPNEGO: unknown;
}

interface Context {
  step(challenge: string): Promise<string>;
  readonly contextComplete: boolean;
}

/**
 * Kerberos in SPNEGO (RFC 4559): each request carries a token of its own, and each answer one that proves the server.
 *
 * The library is optional and native; it is loaded at the first use.
 */
export function kerberos(settings: KerberosSettings, load: () => Promise<Library> = loadLibrary): Mechanism {
  return {
    name: 'kerberos',
    async send(request, connection, signal) {
      const library = await load();
      const { context, token } = await begin(library, settings);
      const headers = { ...request.headers, authorization: `Negotiate ${token}` };
      const answer = await connection.exchange({ ...request, headers }, signal);
      await check(answer, request, context, settings);
      return answer;
    },
  };
}

async function loadLibrary(): Promise<Library> {
  try {
    // Not resolved by the compiler: it need not be there.
    const name = 'kerberos';
    const loaded = (await import(name)) as { default?: Library } & Library;
    return loaded.default ?? loaded;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new MechanismUnavailable(
      `the npm package kerberos cannot be loaded (${why}): install it beside namesake; it is compiled with libkrb5-dev`,
    );
  }
}

async function begin({ initializeClient, GSS_MECH_OID_SPNEGO }: Library, { service, principal, deadline }: KerberosSettings) {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no ticket within ${deadline / 1000} s: no KDC answers`)), deadline);
  const work = async () => {
    const context = await initializeClient(service, { mechOID: GSS_MECH_OID_SPNEGO, ...(principal !== undefined && { principal }) });
    return { context, token: await context.step('') };
  };
  try {
    return await Promise.race([work(), late]);
  } catch (error) {
    throw new MechanismUnavailable(explained(error));
  } finally {
    clearTimeout(timer);
  }
}

/** The server says in its token who it is, or what it did not like about ours. */
async function check(answer: Answer, { method }: Request, context: Context, { mutual }: KerberosSettings): Promise<void> {
  const token = challengeOf(answer, 'Negotiate');
  if (answer.status === 401) {
    if (token === undefined) throw new MechanismUnavailable('the server does not offer it');
    const why = token === '' ? undefined : await context.step(token).then(() => undefined, explained);
    throw new MechanismUnavailable(why ?? 'the server refused the ticket');
  }
  const proof = token === undefined || token === '' ? 'it sent no token' : await context.step(token).then(() => undefined, explained);
  if (!mutual || (proof === undefined && context.contextComplete)) return;
  const failure = method === 'GET' ? 'credentials' : 'unknown-outcome';
  throw new CustomerEngagementError(failure, `the server did not prove who it is (${proof ?? 'the exchange is not complete'})`);
}

/** Texts of MIT Kerberos, with what to do where that is known. */
const ADVICE: readonly (readonly [text: RegExp, advice: string])[] = [
  [/Preauthentication failed/i, 'the keytab is not of the present password: export it again'],
  [/have been revoked/i, 'the account of the service is locked, disabled or expired'],
  [/Password has expired/i, 'the password of the account of the service has expired'],
  [/not found in Kerberos database.*Client|Client.*not found in Kerberos database/i, 'there is no such account: correct principal'],
  [/Server .*not found in Kerberos database|Server not found/i, 'no account has this service principal name: setspn, or correct spn'],
  [/Clock skew|Ticket not yet valid/i, 'the clocks of this machine, the server and the domain controller differ by more than 5 min'],
  [/Ticket expired/i, 'the ticket has expired: renew the cache (kinit) or set keytab, unless it is the clock of the server that is wrong'],
  [/Cannot contact any KDC|no KDC answers/i, 'no domain controller of the realm can be reached (port 88)'],
  [
    /mechanisms to negotiate|No credentials were supplied|No Kerberos credentials/i,
    'there is no ticket and no keytab: set keytab or cache',
  ],
  [
    /ticket isn.t for us|Key version is not available|Wrong principal/i,
    'the service principal name belongs to another account than the server runs as',
  ],
];

function explained(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').trim();
  const advice = ADVICE.find(([pattern]) => pattern.test(text))?.[1];
  return advice === undefined ? text : `${advice} (${text})`;
}
