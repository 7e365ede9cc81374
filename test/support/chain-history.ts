import { DatabaseSync } from 'node:sqlite';
import { run } from '../../infra/testbed/run.ts';
import type { ChangeEvent } from '../../streams/change.ts';
import type { Identity } from '../../streams/identity.ts';
import type { Link, Repair } from '../../streams/repair.ts';

/** Everything that a log holds, read by something that is not the product: kcat, or SQL. */
export interface History {
  /** In the order in which a reader gets them. */
  readonly events: readonly ChangeEvent[];
  /** What is known last of each objectGUID; null when the account is gone. */
  readonly identities: ReadonlyMap<string, Identity | null>;
  /** Every record of the journal, oldest first. */
  readonly journal: readonly Repair[];
  readonly links: readonly Link[];
}

/** One record of a topic as kcat prints it. */
export interface TopicRecord {
  readonly offset: number;
  readonly key: string | null;
  readonly payload: string | null;
  /** Names and values in turn. */
  readonly headers?: readonly string[];
}

/** All committed records of a topic, by kcat, which reads committed ones only unless told otherwise. */
export async function topicRecords(bootstrap: string, topic: string): Promise<TopicRecord[]> {
  const quick = ['-X', 'fetch.wait.max.ms=20', '-X', 'isolation.level=read_committed'];
  const text = await run('kcat', ['-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-J', ...quick]);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TopicRecord);
}

export async function kafkaHistory(bootstrap: string, prefix: string): Promise<History> {
  const topics = ['identity-change', 'identity-state', 'ce-repair', 'ce-link'];
  const [changes = [], states = [], repairs = [], links = []] = await Promise.all(
    topics.map((topic) => topicRecords(bootstrap, prefix + topic)),
  );
  return {
    events: changes.map(payloadOf<ChangeEvent>),
    identities: new Map(states.map((record) => [record.key ?? '', payloadOf<Identity | null>(record)])),
    journal: repairs.map(payloadOf<Repair>),
    links: links.map(payloadOf<Link>),
  };
}

export function sqliteHistory(file: string): History {
  using database = new DatabaseSync(file, { readOnly: true, timeout: 10_000 });
  const rows = (sql: string) => database.prepare(sql).all();
  const values = <T>(sql: string) => rows(sql).map(({ value }) => parsed<T>(value));
  return {
    events: values<ChangeEvent>('SELECT value FROM change ORDER BY sequence'),
    identities: new Map(rows('SELECT guid, value FROM identity').map(({ guid, value }) => [String(guid), parsed<Identity | null>(value)])),
    journal: values<Repair>('SELECT value FROM repair_history ORDER BY id'),
    links: values<Link>('SELECT value FROM link'),
  };
}

/** The last journal record of each systemuser. */
export function lastRepairs({ journal }: Pick<History, 'journal'>): Map<string, Repair> {
  return new Map(journal.map((repair) => [repair.systemuserid, repair]));
}

function payloadOf<T>({ payload }: TopicRecord): T {
  return parsed<T>(payload);
}

function parsed<T>(value: unknown): T {
  return JSON.parse(String(value)) as T;
}
