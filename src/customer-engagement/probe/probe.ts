import { CustomerEngagementError } from '../../../streams/customer-engagement.ts';
import { type Finding, type Probing, QUESTIONS, type Question, type Verdict } from './questions.ts';

/** An answer, with what it is about. */
export interface Answered extends Finding {
  readonly number: Question['number'];
  readonly assumption: string;
  readonly verdict: Verdict;
}

/** What became of the record of the test user. */
export type PutBack = 'nothing written' | 'put back' | 'not put back';

export interface Probed {
  readonly findings: readonly Answered[];
  readonly putBack: PutBack;
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Asks one question after the other, and makes the record what it was after each that writes: whatever went wrong, and also when it is to
 * stop. What is under way then is not cut off, since its outcome would not be known.
 *
 * @param onQuestion told of each before it is asked
 */
export async function probe(probing: Probing, stop: AbortSignal, onQuestion: (question: Question) => void = () => {}): Promise<Probed> {
  const record = probing.writing?.record;
  const findings: Answered[] = [];
  let hindrance: string | undefined;
  for (const question of QUESTIONS) {
    const { number, assumption } = question;
    if (stop.aborted) hindrance ??= 'not asked: the probe was stopped';
    if (hindrance === undefined) onQuestion(question);
    const finding = hindrance === undefined ? await answer(question, probing) : unanswered(hindrance);
    findings.push({ number, assumption, ...finding });
    if (record !== undefined && hindrance === undefined && !(await record.putBack()))
      hindrance = 'not asked: the record could not be put back';
  }
  if (record === undefined || record.sent.length === 0) return { findings, putBack: 'nothing written', problems: [], notes: [] };
  const { problems, notes } = record;
  if (problems.length > 0) return { findings, putBack: 'not put back', problems, notes };
  try {
    await record.conclude();
  } catch (error) {
    // It is as it was; whoever repairs next finds that, and ends what the journal says.
    notes.push(`The end could not be noted in the log: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { findings, putBack: 'put back', problems, notes };
}

async function answer(question: Question, probing: Probing): Promise<Finding> {
  const { writing } = probing;
  try {
    if (writing !== undefined && question.write !== undefined) return await question.write(probing, writing);
    if (question.read !== undefined) return await question.read(probing);
    return unanswered('not asked: it takes writing (--write)');
  } catch (error) {
    if (error instanceof CustomerEngagementError) return unanswered(error.message);
    // The log failed, or there is a mistake: nothing more is written but what puts the record back.
    return unanswered(`broken off: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function unanswered(why: string): Finding {
  return { verdict: 'unknown', observations: [why] };
}
