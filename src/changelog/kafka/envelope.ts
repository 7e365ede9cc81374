import { CloudEvent, Kafka as KafkaBinding } from 'cloudevents';
import type { IHeaders, KafkaMessage, Message } from 'kafkajs';
import { z } from 'zod';
import { Identity } from '../../../streams/identity.ts';
import { isNotice, type LogEvent } from '../../../streams/notice.ts';
import { Origins } from '../../../streams/origin.ts';
import { Repair } from '../../../streams/repair.ts';
import { idOf, parsedEvent } from '../events.ts';

const TYPE_PREFIX = { change: 'namesake.identity.', notice: 'namesake.listener.' };
/** Digits of ce_sequence: zero-padded, since the CloudEvents extension compares it as text. */
const SEQUENCE_DIGITS = 16;

/**
 * An event as it stands on the topic: CloudEvents 1.0, Kafka protocol binding, binary mode. The key is the objectGUID, so that
 * everything of one account stays in order; that of a notice is the naming context.
 *
 * @param source RFC 4516 LDAP URL of the naming context
 */
export function toMessage(event: LogEvent, source: string): Message & { key: string } {
  const [prefix, subject, time] = isNotice(event)
    ? [TYPE_PREFIX.notice, event.namingContext, event.time]
    : [TYPE_PREFIX.change, event.objectGUID, event.observed.time];
  const cloudEvent = new CloudEvent({
    id: idOf(event),
    source,
    type: prefix + event.kind,
    subject,
    time,
    datacontenttype: 'application/json',
    sequence: String(event.sequence).padStart(SEQUENCE_DIGITS, '0'),
  });
  // The binding wants datacontenttype in the content-type header alone; the SDK repeats it as an attribute.
  const { ce_datacontenttype: _repeated, ...headers } = KafkaBinding.binary(cloudEvent).headers as Record<string, unknown>;
  const present = Object.entries(headers).filter((header): header is [string, string] => typeof header[1] === 'string');
  return { key: subject, value: JSON.stringify(event), headers: Object.fromEntries(present) as IHeaders };
}

/** Header of an identity on its topic: the last event of the log when the identity was so. */
const SEQUENCE_HEADER = 'sequence';
/** The writes that its values come from; absent when none is known. */
const ORIGINS_HEADER = 'origins';

/** What is known of an account from now on, as it stands on the topic; null when the account is gone. */
export function toStateMessage(
  objectGUID: string,
  identity: Identity | null,
  sequence: number,
  origins: Origins = {},
): Message & { key: string } {
  const headers: IHeaders = { [SEQUENCE_HEADER]: String(sequence) };
  if (Object.keys(origins).length > 0) headers[ORIGINS_HEADER] = JSON.stringify(origins);
  return { key: objectGUID, value: identity && JSON.stringify(identity), headers };
}

/** @throws when it is not an identity of ours */
export function fromStateMessage(message: KafkaMessage): { objectGUID: string; identity: Identity | null; sequence: number } {
  const objectGUID = z.guid().parse(message.key?.toString());
  const identity = message.value === null ? null : Identity.parse(JSON.parse(message.value.toString()));
  if (identity !== null && identity.objectGUID !== objectGUID) throw new Error('the key is not the objectGUID of the identity');
  const sequence = z.coerce.number().int().nonnegative().parse(message.headers?.[SEQUENCE_HEADER]?.toString());
  return { objectGUID, identity, sequence };
}

/** The origins that came with an identity. @throws when its header is not ours */
export function originsOf(message: KafkaMessage): Origins {
  return Origins.parse(JSON.parse(message.headers?.[ORIGINS_HEADER]?.toString() ?? '{}'));
}

/** @throws when the value is not an event of ours */
export function fromMessage(message: { value: Buffer | null }): LogEvent {
  return parsedEvent(message.value?.toString('utf8') ?? 'null');
}

/** An event of ours, or undefined after telling why the message is set aside (SPEC rule 9). */
export function parseEvent(...[topic, partition, message, onSetAside]: Parsing): LogEvent | undefined {
  return parsedOrSetAside(fromMessage, topic, partition, message, onSetAside);
}

/** The same of a record of the journal of repairs. */
export function parseRepair(...[topic, partition, message, onSetAside]: Parsing): Repair | undefined {
  const fromJournal = ({ value }: Parsing[2]) => Repair.parse(JSON.parse(value?.toString('utf8') ?? 'null'));
  return parsedOrSetAside(fromJournal, topic, partition, message, onSetAside);
}

type Parsing = [
  topic: string,
  partition: number,
  message: { value: Buffer | null; offset: string },
  onSetAside: (where: string, why: string) => void,
];

function parsedOrSetAside<T>(parse: (message: Parsing[2]) => T, ...[topic, partition, message, onSetAside]: Parsing): T | undefined {
  try {
    return parse(message);
  } catch (error) {
    onSetAside(`${topic}/${partition}@${message.offset}`, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** RFC 4516 URL of a naming context as the domain controllers of its domain serve it: no host, since any of them may answer. */
export function ldapUrl(namingContext: string): string {
  return `ldap:///${encodeURIComponent(namingContext).replaceAll('%3D', '=').replaceAll('%2C', ',')}`;
}
