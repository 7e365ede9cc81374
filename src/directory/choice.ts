import { DirectoryError, type DirectorySession } from '../../streams/directory-source.ts';
import type { Candidate } from './candidates.ts';
import { LastResort, Unfit } from './fitness.ts';

export type PassedOver = DirectorySession['passedOver'][number];

/** An error that ends a choice, since it is not about one domain controller. */
export class WrongSettings extends DirectoryError {}

/** How a candidate is to be taken. */
export interface Terms {
  /** Those before it that were not taken. */
  readonly passedOver: readonly PassedOver[];
  /** It is known that it should not be taken, and there is no other. */
  readonly asLastResort: boolean;
}

interface Refused {
  readonly candidate: Candidate;
  readonly error: DirectoryError;
}

/**
 * Takes the first candidate that is well. When there is none, one that is only a last resort is better than none: the one that is
 * least behind. A refused logon ends the choice, so that the password is not tried on the next one too, until the account is locked out.
 *
 * @param take tries one; rejects with a DirectoryError when it cannot be taken
 * @param onRefused is told of each that cannot
 * @throws DirectoryError that says of each why not
 */
export async function choose<Taken>(
  candidates: readonly Candidate[],
  take: (candidate: Candidate, terms: Terms) => Promise<Taken>,
  onRefused: (candidate: Candidate, error: DirectoryError) => void,
  signal: AbortSignal,
): Promise<Taken> {
  const refused: Refused[] = [];
  const refuse = (candidate: Candidate, error: unknown) => {
    const isOfThisOne = error instanceof DirectoryError && !(error instanceof WrongSettings);
    if (!isOfThisOne || signal.aborted) throw error;
    if (error.failure === 'credentials') {
      // It may be this one alone that does not know the password: the next choice begins with another.
      onRefused(candidate, error);
      throw error;
    }
    refused.push({ candidate, error });
    onRefused(candidate, error);
  };
  for (const candidate of candidates) {
    try {
      return await take(candidate, { passedOver: refused.map(passedOver), asLastResort: false });
    } catch (error) {
      refuse(candidate, error);
    }
  }
  const lastResorts = refused.flatMap(({ candidate, error }) => (error instanceof LastResort ? [{ candidate, error }] : []));
  for (const { candidate, error } of lastResorts.toSorted((a, b) => (a.error.lag < b.error.lag ? -1 : Number(a.error.lag > b.error.lag)))) {
    const others = refused.filter((each) => each.candidate !== candidate).map(passedOver);
    const note = { dc: error.dc, reason: `taken although ${reasonOf(error, error.dc)}: no other one can be listened to` };
    try {
      return await take(candidate, { passedOver: [...others, note], asLastResort: true });
    } catch (again) {
      refused.splice(
        refused.findIndex((each) => each.candidate === candidate),
        1,
      );
      refuse(candidate, again);
    }
  }
  throw noneOf(refused);
}

export function passedOver({ candidate, error }: Refused): PassedOver {
  const dc = error instanceof Unfit ? error.dc : candidate.endpoint.url;
  return { dc, reason: reasonOf(error, dc) };
}

/** Without the name that the message begins with. */
function reasonOf({ message }: DirectoryError, dc: string): string {
  return message.startsWith(`${dc}: `) ? message.slice(dc.length + 2) : message;
}

function noneOf(refused: readonly Refused[]): DirectoryError {
  const [first] = refused;
  const failures = refused.map(({ error }) => error.failure);
  const failure = failures.includes('unavailable') ? 'unavailable' : (failures[0] ?? 'unavailable');
  const all = refused.map(passedOver).map(({ dc, reason }) => `${dc}: ${reason}`);
  return new DirectoryError(failure, all.join('; '), { cause: first?.error });
}
