import { type DestinationStream, destination, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

import { printable } from './printable.ts';

export type { Logger };

export interface LoggerSettings {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly format: 'auto' | 'json' | 'pretty';
}

/** JSON lines on standard output, or lines for people where that is a terminal. Written at once: nothing is lost when the process ends. */
export function createLogger({ level, format }: LoggerSettings): Logger {
  const forPeople = format === 'pretty' || (format === 'auto' && process.stdout.isTTY);
  const stream: DestinationStream = forPeople
    ? pretty({
        sync: true,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid,hostname,event,repair',
        messageFormat: (log, messageKey) => printable(String(log[messageKey])),
        hideObject: level !== 'debug',
      })
    : destination({ fd: 1, sync: true });
  return pino(
    { level, base: { name: 'namesake' }, timestamp: pino.stdTimeFunctions.isoTime, serializers: { error: describeError } },
    stream,
  );
}

/** An error as far as it may be shown: its words and causes, no fields that a library may have put credentials into. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const causes: string[] = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) causes.push(cause.message);
  return { type: error.name, message: error.message, ...(causes.length > 0 ? { causes } : {}), stack: error.stack };
}
