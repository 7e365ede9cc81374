/** A topic of the log, as subscribers and brokers know it. */
export interface Topic {
  /** Without the configured prefix. */
  readonly name: string;
  readonly cleanup: 'compact' | 'delete';
  /** Why it has to be so; part of the message to whoever set it otherwise. */
  readonly because: string;
  /** Fixed where the meaning depends on it; otherwise a setting. */
  readonly partitions?: number;
  /** Milliseconds for which a deletion stays visible in a compacted topic. */
  readonly deleteRetention?: number;
}

const WEEK = 7 * 24 * 3_600_000;

export const TOPICS = {
  /** Every event, for ever or as long as the retention says. Key: objectGUID. */
  change: { name: 'identity-change', cleanup: 'delete', because: 'compaction would delete history' },
  /** The present identity of each objectGUID, or null when it is gone. */
  state: { name: 'identity-state', cleanup: 'compact', because: 'identities that rarely change would be forgotten', deleteRetention: WEEK },
  /** Where the listeners stand, by naming context, and what the log is. */
  position: {
    name: 'identity-position',
    cleanup: 'compact',
    because: 'the position must never be forgotten',
    partitions: 1,
    deleteRetention: WEEK,
  },
  /** Every step of every repair. Key: systemuserid. */
  repair: { name: 'ce-repair', cleanup: 'delete', because: 'compaction would delete the history of repairs', partitions: 1 },
  /** Which record belongs to which account. Key: organization and objectGUID. */
  link: { name: 'ce-link', cleanup: 'compact', because: 'links must never be forgotten', partitions: 1, deleteRetention: WEEK },
  /** What people ask of repairers, and what became of it. Key: organization and systemuserid. */
  request: { name: 'ce-request', cleanup: 'compact', because: 'requests must never be forgotten', partitions: 1, deleteRetention: WEEK },
} as const satisfies Record<string, Topic>;
