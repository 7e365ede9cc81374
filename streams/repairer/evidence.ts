import type { Look } from '../change-log.ts';
import type { SystemUser } from '../customer-engagement.ts';
import { domainName, domainNameParts } from '../identity.ts';
import { indexTraits, TRAITS, type Trait, traitKey } from './traits.ts';

/** What speaks for an account as that of a record; `former-name`: the history knows that it once had the name that the record shows. */
export type Evidence = Trait | 'former-name';

/** An account that a record may belong to. */
export interface Suggestion {
  readonly objectGUID: string;
  /** `DOMAIN\name`, as it is now. */
  readonly account: string;
  readonly evidence: readonly Evidence[];
  readonly confidence: 'high' | 'medium' | 'low';
}

/** Of evidence that only one account has; what several have counts as the weakest. */
const WEIGHTS: Record<Evidence, number> = { 'former-name': 3, employeeid: 3, upn: 3, email: 2, names: 1 };
const HIGH = 3;
const MEDIUM = 2;

type Known = Pick<Look, 'identity' | 'formerHolders' | 'identities'>;

/**
 * The accounts that records may belong to, the likeliest first. An account that has a record already is never one of them. Nothing is
 * decided by this: that takes a person, or evidence that the settings trust.
 *
 * @param isLinked whether an account has a record
 */
export async function suggestAccounts(
  records: readonly SystemUser[],
  known: Known,
  isLinked: (objectGUID: string) => boolean,
): Promise<Map<string, Suggestion[]>> {
  const index = await indexTraits(records, TRAITS, known.identities());
  return new Map(records.map((record) => [record.systemuserid, suggestionsFor(record, index, known, isLinked)]));
}

function suggestionsFor(
  record: SystemUser,
  index: ReadonlyMap<string, readonly string[]>,
  known: Known,
  isLinked: (objectGUID: string) => boolean,
): Suggestion[] {
  const { domain, sAMAccountName } = domainNameParts(record.domainname);
  const had = { evidence: 'former-name' as const, accounts: known.formerHolders(domain, sAMAccountName) };
  const common = TRAITS.map((trait) => ({ evidence: trait, accounts: index.get(traitKey(trait, record) ?? '') ?? [] }));
  const found = new Map<string, { evidence: Evidence[]; weight: number }>();
  for (const { evidence, accounts } of [had, ...common]) {
    const candidates = accounts.filter((objectGUID) => known.identity(objectGUID) !== undefined && !isLinked(objectGUID));
    for (const objectGUID of candidates) {
      const so = found.get(objectGUID) ?? { evidence: [], weight: 0 };
      so.evidence.push(evidence);
      so.weight += candidates.length === 1 ? WEIGHTS[evidence] : 1;
      found.set(objectGUID, so);
    }
  }
  const sorted = [...found].sort(([, a], [, b]) => b.weight - a.weight);
  const isRivalled = sorted.length > 1 && sorted[0]?.[1].weight === sorted[1]?.[1].weight;
  return sorted.flatMap(([objectGUID, { evidence, weight }], place) => {
    const identity = known.identity(objectGUID);
    if (identity === undefined) return [];
    const isFirst = place === 0 && !isRivalled;
    const confidence = isFirst && weight >= HIGH ? 'high' : isFirst && weight >= MEDIUM ? 'medium' : 'low';
    return [{ objectGUID, account: domainName(identity), evidence, confidence }];
  });
}
