import { z } from 'zod';
import { ChangeEvent, eventId } from '../../streams/change.ts';
import type { Batch } from '../../streams/change-log.ts';
import { isNotice, type LogEvent, NoticeEvent, noticeId } from '../../streams/notice.ts';

const AnyEvent = z.discriminatedUnion('kind', [NoticeEvent, ChangeEvent]);

/** @param text JSON @throws when it is no event of ours */
export function parsedEvent(text: string): LogEvent {
  return AnyEvent.parse(JSON.parse(text));
}

export function idOf(event: LogEvent): string {
  return isNotice(event) ? noticeId(event) : eventId(event);
}

/** What a batch adds to the log, with its place there. */
export interface Entries {
  readonly notices: readonly NoticeEvent[];
  readonly changes: readonly ChangeEvent[];
  /** The sequence of the last one; that of the log before when there is none. */
  readonly last: number;
  /** For each account of the batch the last of its changes, or the last event before the batch when it has none. */
  readonly sequences: ReadonlyMap<string, number>;
}

/** @param before the sequence of the last event so far */
export function numbered({ changes, identities, notices = [] }: Batch, before: number): Entries {
  const told = notices.map((notice, index) => ({ sequence: before + 1 + index, ...notice }));
  const events = changes.map((change, index) => ({ sequence: before + told.length + 1 + index, ...change }));
  const own = new Map(events.map(({ objectGUID, sequence }) => [objectGUID, sequence]));
  return {
    notices: told,
    changes: events,
    last: before + told.length + events.length,
    sequences: new Map(Array.from(identities.keys(), (objectGUID) => [objectGUID, own.get(objectGUID) ?? before])),
  };
}
