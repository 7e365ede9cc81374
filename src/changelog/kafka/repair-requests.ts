import type { KafkaMessage } from 'kafkajs';
import { RepairAnswer, RepairRequest } from '../../../streams/repair-request.ts';
import type { StateStore } from '../state-store.ts';

/** Before the keys of answers; organizations have no slash in their names. */
const ANSWER = 'answer/';

type Message = { readonly key: string; readonly value: string };

/** The last request for a record is all that compaction has to leave. */
export function requestMessage(request: RepairRequest): Message {
  return { key: `${request.organization}/${request.systemuserid}`, value: JSON.stringify(request) };
}

export function answerMessage(answer: RepairAnswer): Message {
  return { key: `${ANSWER}${answer.organization}/${answer.systemuserid}`, value: JSON.stringify(answer) };
}

/** @throws when it is neither a request nor an answer of ours */
export function putRepairMessage(store: StateStore, message: KafkaMessage): void {
  const key = message.key?.toString();
  const value: unknown = JSON.parse(message.value?.toString() ?? 'null');
  if (key?.startsWith(ANSWER)) store.putAnswer(checked(key, answerMessage, RepairAnswer.parse(value)));
  else store.putRepairRequest(checked(key, requestMessage, RepairRequest.parse(value)));
}

function checked<T>(key: string | undefined, messageOf: (content: T) => Message, content: T): T {
  if (messageOf(content).key !== key) throw new Error('the key is not that of its content');
  return content;
}
