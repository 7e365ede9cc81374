import type { IncomingHttpHeaders } from 'node:http';
import type { Dialect } from './api-error.ts';
import type { Names } from './names.ts';
import type { Records } from './records.ts';
import type { Settings } from './settings.ts';
import type { DefectKind } from './traffic.ts';

/** The organization behind the API. */
export interface Organization {
  readonly name: string;
  readonly organizationId: string;
  readonly businessUnitId: string;
  /** systemuserid of whoever calls. */
  readonly caller: string;
  readonly dialect: Dialect;
  readonly records: Records;
  readonly names: Names;
  settings: Settings;
}

/** A request that came through the gate. */
export interface Exchange {
  readonly method: string;
  /** What stands after `/api/data/vX.Y/`, without the query, decoded. */
  readonly resource: string;
  /** The query, still encoded. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Address of the service as the caller used it, with a slash at its end. */
  readonly base: string;
  readonly prefer: ReadonlyMap<string, string>;
  /** Notes a fault of the caller. */
  defect(kind: DefectKind, detail: string): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
}

export function json(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  return {
    status,
    headers: {
      'content-type': 'application/json; odata.metadata=minimal',
      'odata-version': '4.0',
      'cache-control': 'no-cache',
      ...headers,
    },
    body: typeof value === 'string' ? value : JSON.stringify(value),
  };
}

/** Preferences by name, such as `odata.maxpagesize` to `50`. */
export function parsePrefer(header: string | string[] | undefined): Map<string, string> {
  const parts = [header ?? []].flat().flatMap((text) => text.split(','));
  return new Map(
    parts.map((part) => {
      const [name = '', value = ''] = part.split('=');
      return [name.trim(), value.trim().replace(/^"(.*)"$/, '$1')];
    }),
  );
}
