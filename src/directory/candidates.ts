import type { SrvRecord } from 'node:dns';
import { DirectoryError } from '../../streams/directory-source.ts';
import { type Endpoint, parseEndpoint } from './endpoint.ts';
import type { Warn } from './entry.ts';
import type { Names } from './names.ts';
import { inOrder } from './srv.ts';

/** A domain controller that may be listened to. */
export interface Candidate {
  readonly endpoint: Endpoint;
  /** The lower the better; of the same rank each is as good as the other. */
  readonly rank: number;
}

/** Finds the candidates of now, in order of preference; at least one. @throws DirectoryError */
export type FindCandidates = (signal: AbortSignal) => Promise<readonly Candidate[]>;

/** In order of preference. @throws DirectoryError of kind 'configuration' */
export function named(urls: readonly string[], allowClearText: boolean): Candidate[] {
  return urls.map((url, rank) => ({ endpoint: parseEndpoint(url, allowClearText), rank }));
}

export interface DomainInDns {
  /** DNS name. */
  readonly domain: string;
  /** The Active Directory site whose domain controllers are preferred. */
  readonly site?: string | undefined;
  readonly protocol?: 'ldaps' | 'ldap' | undefined;
  readonly allowClearText: boolean;
}

/** The domain controllers that DNS tells of (MS-ADTS 6.3.2.3); while it tells nothing, those that it told of before. */
export function inDns({ domain, site, protocol = 'ldaps', allowClearText }: DomainInDns, names: Names, warn: Warn): FindCandidates {
  const everywhere = `_ldap._tcp.dc._msdcs.${domain}`;
  const inSite = site === undefined ? undefined : `_ldap._tcp.${site}._sites.dc._msdcs.${domain}`;
  let known: readonly Candidate[] = [];

  const find = async (signal: AbortSignal): Promise<readonly Candidate[]> => {
    const [near, all] = await Promise.allSettled([
      inSite === undefined ? [] : names.services(inSite, signal),
      names.services(everywhere, signal),
    ]);
    if (near.status === 'rejected') warn(near.reason.message);
    else if (inSite !== undefined && near.value.length === 0) warn(`DNS knows no domain controller of the site ${site} (${inSite})`);
    const tiers = [near, all].map((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const candidates = ranked(tiers, ({ name, port }) => endpointOf(name, port));
    if (candidates.length > 0) return candidates;
    if (all.status === 'rejected') throw all.reason;
    throw new DirectoryError(
      'configuration',
      `DNS knows no domain controller of ${domain} that can be used (SRV records of ${everywhere})`,
    );
  };

  /** SRV records tell the port of LDAP; that of LDAPS is always the same. */
  const endpointOf = (name: string, port: number): Endpoint | undefined => {
    // Whoever answers for DNS would have the password sent to a host of theirs, whose certificate is in order.
    if (!isBelow(name, domain)) {
      warn(`DNS names a domain controller of ${domain} that is not below it: ${JSON.stringify(name)}; if it is one, name it in urls`);
      return undefined;
    }
    try {
      return parseEndpoint(protocol === 'ldaps' ? `ldaps://${name}` : `ldap://${name}:${port}`, allowClearText);
    } catch {
      warn(`DNS names a domain controller of ${domain} that cannot be one: ${JSON.stringify(name)}`);
      return undefined;
    }
  };

  return async (signal) => {
    try {
      known = await find(signal);
    } catch (error) {
      if (!(error instanceof DirectoryError) || known.length === 0 || signal.aborted) throw error;
      warn(`${error.message}; going on with the domain controllers that it told of before`);
    }
    return known;
  };
}

/** Whoever is in an earlier tier goes before all of a later one; in each, whoever has the same priority has the same rank. */
function ranked(tiers: readonly (readonly SrvRecord[])[], endpointOf: (record: SrvRecord) => Endpoint | undefined): Candidate[] {
  const candidates = new Map<string, Candidate>();
  let rank = -1;
  for (const tier of tiers) {
    let priority: number | undefined;
    for (const record of inOrder(tier)) {
      if (record.priority !== priority) rank += 1;
      priority = record.priority;
      // A dot alone says that there is no such service.
      const endpoint = record.name === '' || record.name === '.' ? undefined : endpointOf(record);
      if (endpoint !== undefined && !candidates.has(endpoint.url)) candidates.set(endpoint.url, { endpoint, rank });
    }
  }
  return [...candidates.values()];
}

function isBelow(name: string, domain: string): boolean {
  return `.${name.toLowerCase().replace(/\.$/, '')}`.endsWith(`.${domain.toLowerCase()}`);
}

/** The naming context of a domain, whose DN is its DNS name in other words. */
export function namingContextOf(domain: string): string {
  return domain
    .split('.')
    .map((label) => `DC=${label}`)
    .join(',');
}
