import type { Vector } from '../../streams/origin.ts';
import { type LastHeard, lastHeard } from './last-heard.ts';
import { type LdapEntry, valuesOf } from './message.ts';

/** How a domain controller takes part in replication. */
export interface Replication {
  /** It is a read-only one (RODC). */
  readonly isReadOnly: boolean;
  /** Others get changes from it. */
  readonly isOutbound: boolean;
  readonly lastHeard: LastHeard;
  /** Its clock, in milliseconds since 1970; that of the times. */
  readonly now: number;
}

/** Of its NTDS Settings. */
export const REPLICATION_ATTRIBUTES = ['msDS-isRODC', 'objectCategory', 'objectClass', 'options'] as const;

/** NTDSDSA_OPT_DISABLE_OUTBOUND_REPL in `options` (MS-ADTS 6.1.1.2.2.1.2.1.1). */
const OUTBOUND_DISABLED = 0x4;

/**
 * @param settings its NTDS Settings
 * @param head of its naming context
 * @param currentTime as rootDSE tells it
 */
export function replicationOf(settings: LdapEntry | undefined, head: LdapEntry | undefined, currentTime: string | undefined): Replication {
  return {
    isReadOnly: isReadOnly(settings),
    isOutbound: (Number(textsOf(settings, 'options')[0] ?? 0) & OUTBOUND_DISABLED) === 0,
    lastHeard: lastHeard(head),
    now: timeOf(currentTime) ?? Date.now(),
  };
}

/**
 * What a domain controller has seen of the writes on every one. Those on a read-only one stay there, and nobody else can ever have seen
 * them.
 *
 * @param replicated of the others
 * @param usn up to which its own are seen
 */
export function seenOn(
  { invocationId, replication }: { readonly invocationId: string; readonly replication: Pick<Replication, 'isReadOnly'> },
  replicated: Vector,
  usn: string,
): Vector {
  return replication.isReadOnly ? replicated : { ...replicated, [invocationId]: usn };
}

/** Told in more than one way, not all of which every server has. */
function isReadOnly(settings: LdapEntry | undefined): boolean {
  return (
    textsOf(settings, 'msDS-isRODC')[0] === 'TRUE' ||
    textsOf(settings, 'objectClass').some((name) => name.toLowerCase() === 'ntdsdsaro') ||
    textsOf(settings, 'objectCategory').some((dn) => /^CN=NTDS-DSA-RO,/i.test(dn))
  );
}

function textsOf(entry: LdapEntry | undefined, name: string): string[] {
  return valuesOf(entry, name).map(String);
}

/** GeneralizedTime in UTC: 20260102030405.0Z; milliseconds since 1970. Undefined for a time that is none. */
export function timeOf(text: string | undefined): number | undefined {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:[.,]\d+)?Z$/.exec(text ?? '') ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = Date.parse(iso);
  // A day or an hour that there is not would become another one.
  return !Number.isNaN(time) && new Date(time).toISOString() === iso ? time : undefined;
}
