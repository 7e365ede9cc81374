import { z } from 'zod';
import type { ChangeEvent } from './change.ts';

/** What the log says about itself, between the changes: for whoever has to know how far it can be relied upon. */
export const Notice = z.looseObject({
  /** The listener could not go on where it had stood; differences found by comparing follow. */
  kind: z.literal('position-lost'),
  namingContext: z.string(),
  /** dnsHostName of the domain controller that is read now. */
  dc: z.string(),
  reason: z.string(),
  time: z.iso.datetime(),
});
export type Notice = z.infer<typeof Notice>;

/** A notice as it stands in the log, numbered together with the changes. */
export const NoticeEvent = Notice.extend({ sequence: z.int().positive() });
export type NoticeEvent = z.infer<typeof NoticeEvent>;

export type LogEvent = ChangeEvent | NoticeEvent;

export function isNotice(event: LogEvent): event is NoticeEvent {
  return event.kind === 'position-lost';
}

/** The id of a notice: unique within its log. */
export function noticeId({ kind, sequence }: Pick<NoticeEvent, 'kind' | 'sequence'>): string {
  return `${kind}-${sequence}`;
}
