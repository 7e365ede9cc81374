import type { Change, ChangeKind, Observed } from '../change.ts';
import { type Identity, type KnownIdentities, PROFILE_ATTRIBUTES, sameName } from '../identity.ts';
import type { Observation, SeenAttributes } from '../observation.ts';

export type Detection =
  /** Nothing that concerns us: no difference, not a person's account, or gone before it was ever known. */
  | { readonly outcome: 'nothing' }
  /** Too little was seen of an account that is not known: it has to be read whole. */
  | { readonly outcome: 'incomplete' }
  /** `identity` is what is known from now on; null when the account is gone. */
  | { readonly outcome: 'changed'; readonly changes: readonly Change[]; readonly identity: Identity | null };

/** ACCOUNTDISABLE of userAccountControl (MS-ADTS 2.2.16). */
export const ACCOUNTDISABLE = 0x2;

/**
 * Compares what was seen with what is known. Pure: it neither asks where an observation came from nor remembers anything.
 * Several differences in one observation give several changes in the order of CHANGE_KINDS, each leading from one whole
 * identity to the next (SPEC rule 3); the same observation twice gives nothing the second time (rule 1).
 */
export function detect(observation: Observation, domain: string, observed: Observed, known: KnownIdentities): Detection {
  const before = known.identity(observation.objectGUID);
  if (observation.deleted) {
    // One that was moved away leaves a deleted object behind.
    return before === undefined || before.domain !== domain
      ? { outcome: 'nothing' }
      : { outcome: 'changed', changes: [change('deleted', before, null, [], observed)], identity: null };
  }
  if (before === undefined) {
    if (!isWhole(observation.seen)) {
      return isOtherClass(observation.seen) ? { outcome: 'nothing' } : { outcome: 'incomplete' };
    }
    if (isOtherClass(observation.seen)) {
      return { outcome: 'nothing' };
    }
    const after = {
      ...merged(observation.seen, { objectGUID: observation.objectGUID, domain, sAMAccountName: '', enabled: true }),
      domain,
    };
    const kind = observation.deleted === false ? 'restored' : 'created';
    return { outcome: 'changed', changes: [withFormerHolder(change(kind, null, after, [], observed), known)], identity: after };
  }
  const changes = differences(before, { ...merged(observation.seen, before), domain }, observed, known);
  const last = changes.at(-1);
  return last ? { outcome: 'changed', changes, identity: last.after } : { outcome: 'nothing' };
}

function isWhole(seen: SeenAttributes): boolean {
  return seen.objectClass !== undefined && seen.sAMAccountName !== undefined && seen.userAccountControl !== undefined;
}

/** Computers and managed service accounts are users to the directory's filter; their class tells, not a `$` at the end of the name. */
function isOtherClass(seen: SeenAttributes): boolean {
  const classes = seen.objectClass?.map((name) => name.toLowerCase());
  return classes !== undefined && (!classes.includes('user') || classes.includes('computer'));
}

/** The identity with everything that was seen laid over it. */
function merged(seen: SeenAttributes, base: Identity): Identity {
  const after: Identity = { ...base };
  if (seen.objectSid !== undefined) after.objectSid = seen.objectSid;
  if (seen.sAMAccountName !== undefined) after.sAMAccountName = seen.sAMAccountName;
  if (seen.userAccountControl !== undefined) after.enabled = (seen.userAccountControl & ACCOUNTDISABLE) === 0;
  for (const [attribute, value] of Object.entries(seen)) {
    if (MANDATORY.includes(attribute)) continue;
    if (value === null) delete after[attribute];
    else if (value !== undefined) after[attribute] = value;
  }
  return after;
}

/** Observed of every account; everything else is text that can be cleared. */
const MANDATORY: readonly string[] = ['objectClass', 'objectSid', 'sAMAccountName', 'userAccountControl'];

/** Which attributes make which kind of change, in the order of report; without any: all that are in no other kind. */
const KINDS_OF_DIFFERENCE: readonly (readonly [(after: Identity) => ChangeKind, readonly string[] | undefined])[] = [
  [() => 'moved-domain', ['domain', 'objectSid']],
  [() => 'renamed', ['sAMAccountName']],
  [() => 'upn-changed', ['userPrincipalName']],
  [() => 'profile-updated', undefined],
  [(after) => (after.enabled ? 'enabled' : 'disabled'), ['enabled']],
];
const NO_PROFILE = ['objectGUID', ...KINDS_OF_DIFFERENCE.flatMap(([, attributes]) => attributes ?? [])];

/** The usual attributes first, in their order. */
function profileOf(before: Identity, after: Identity): string[] {
  const all = [...PROFILE_ATTRIBUTES, ...Object.keys(before), ...Object.keys(after)];
  return [...new Set(all)].filter((attribute) => !NO_PROFILE.includes(attribute));
}

function differences(before: Identity, after: Identity, observed: Observed, known: KnownIdentities): Change[] {
  const changes: Change[] = [];
  let current = before;
  for (const [kind, attributes] of KINDS_OF_DIFFERENCE) {
    const changed = (attributes ?? profileOf(before, after)).filter((attribute) => current[attribute] !== after[attribute]);
    if (changed.length === 0) continue;
    const next = { ...current };
    for (const attribute of changed) {
      if (after[attribute] === undefined) delete next[attribute];
      else next[attribute] = after[attribute];
    }
    changes.push(withFormerHolder(change(kind(after), current, next, changed, observed), known));
    current = next;
  }
  return changes;
}

function change(kind: ChangeKind, before: Identity | null, after: Identity | null, changed: readonly string[], observed: Observed): Change {
  const objectGUID = (before ?? after)?.objectGUID ?? '';
  const caseOnly = kind === 'renamed' && before !== null && after !== null && sameName(before.sAMAccountName, after.sAMAccountName);
  return { kind, objectGUID, changed: [...changed], before, after, caseOnly, formerHolder: null, observed };
}

/** Marks a name that was taken over from another account. */
function withFormerHolder(change: Change, known: KnownIdentities): Change {
  const takesName = ['created', 'restored', 'moved-domain', 'renamed'].includes(change.kind) && !change.caseOnly;
  if (!takesName || change.after === null) return change;
  const { domain, sAMAccountName } = change.after;
  const other = [known.holder(domain, sAMAccountName), known.formerHolder(domain, sAMAccountName)].find(
    (holder) => holder !== undefined && holder !== change.objectGUID,
  );
  return { ...change, formerHolder: other ?? null };
}
