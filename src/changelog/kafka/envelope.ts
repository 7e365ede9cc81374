import { CloudEvent, Kafka as KafkaBinding } from 'cloudevents';
import type { IHeaders, KafkaMessage, Message } from 'kafkajs';
import { z } from 'zod';
import { ChangeEvent, eventId } from '../../../streams/change.ts';
import { Identity } from '../../../streams/identity.ts';

const TYPE_PREFIX = 'namesake.identity.';
/** Digits of ce_sequence: zero-padded, since the CloudEvents extension compares it as text. */
const SEQUENCE_DIGITS = 16;

/**
 * An event as it stands on the topic: CloudEvents 1.0, Kafka protocol binding, binary mode. The key is the objectGUID, so that
 * everything of one account stays in order.
 *
 * @param source RFC 4516 LDAP URL of the naming context
 */
export function toMessage(event: ChangeEvent, source: string): Message & { key: string } {
  const cloudEvent = new CloudEvent({
    id: eventId(event),
    source,
    type: TYPE_PREFIX + event.kind,
    subject: event.objectGUID,
    time: event.observed.time,
    datacontenttype: 'application/json',
    sequence: String(event.sequence).padStart(SEQUENCE_DIGITS, '0'),
  });
  // The binding wants datacontenttype in the content-type header alone; the SDK repeats it as an attribute.
  const { ce_datacontenttype: _repeated, ...headers } = KafkaBinding.binary(cloudEvent).headers as Record<string, unknown>;
  const present = Object.entries(headers).filter((header): header is [string, string] => typeof header[1] === 'string');
  return { key: event.objectGUID, value: JSON.stringify(event), headers: Object.fromEntries(present) as IHeaders };
}

/** Header of an identity on its topic: the last event of the log when the identity was so. */
const SEQUENCE_HEADER = 'sequence';

/** What is known of an account from now on, as it stands on the topic; null when the account is gone. */
export function toStateMessage(objectGUID: string, identity: Identity | null, sequence: number): Message & { key: string } {
  return { key: objectGUID, value: identity && JSON.stringify(identity), headers: { [SEQUENCE_HEADER]: String(sequence) } };
}

/** @throws when it is not an identity of ours */
export function fromStateMessage(message: KafkaMessage): { objectGUID: string; identity: Identity | null; sequence: number } {
  const objectGUID = z.guid().parse(message.key?.toString());
  const identity = message.value === null ? null : Identity.parse(JSON.parse(message.value.toString()));
  if (identity !== null && identity.objectGUID !== objectGUID) throw new Error('the key is not the objectGUID of the identity');
  const sequence = z.coerce.number().int().nonnegative().parse(message.headers?.[SEQUENCE_HEADER]?.toString());
  return { objectGUID, identity, sequence };
}

/** @throws when the value is not an event of ours */
export function fromMessage(message: { value: Buffer | null }): ChangeEvent {
  return ChangeEvent.parse(JSON.parse(message.value?.toString('utf8') ?? 'null'));
}

/** An event of ours, or undefined after telling why the message is set aside (SPEC rule 9). */
export function parseEvent(
  topic: string,
  partition: number,
  message: { value: Buffer | null; offset: string },
  onSetAside: (where: string, why: string) => void,
): ChangeEvent | undefined {
  try {
    return fromMessage(message);
  } catch (error) {
    onSetAside(`${topic}/${partition}@${message.offset}`, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** RFC 4516 URL of a naming context as the domain controllers of its domain serve it: no host, since any of them may answer. */
export function ldapUrl(namingContext: string): string {
  return `ldap:///${encodeURIComponent(namingContext).replaceAll('%3D', '=').replaceAll('%2C', ',')}`;
}
