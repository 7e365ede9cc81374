import { EXPLANATIONS } from '../../streams/repair-reasons.ts';
import { type Drift, type DriftRow, findDrift } from '../../streams/repairer/drift.ts';
import type { Suggestion } from '../../streams/repairer/evidence.ts';
import type { Configuration } from '../config/schema.ts';
import { repairerSettings } from '../runtime/parts.ts';
import { lookAtLog, openOrganizations, organizationsNamed } from './context.ts';
import { asCsv, asTable, type Column } from './table.ts';

export interface DriftQuery {
  readonly organization: string | undefined;
  readonly format: 'table' | 'json' | 'csv';
  readonly only?: (row: DriftRow) => boolean;
}

/** Of one organization, or of all. @throws CustomerEngagementError @throws LogError */
export async function driftOf(configuration: Configuration, organization: string | undefined): Promise<Drift[]> {
  const names = organizationsNamed(configuration, organization);
  await using log = await lookAtLog(configuration);
  await using look = await log.look();
  await using organizations = await openOrganizations(configuration, names);
  const found: Drift[] = [];
  for (const ce of organizations.all) found.push(await findDrift(ce, look, repairerSettings(configuration, ce.name)));
  return found;
}

/** Prints who is out of step. */
export async function printDrift(
  configuration: Configuration,
  { organization, format, only = () => true }: DriftQuery,
): Promise<DriftRow[]> {
  const found = await driftOf(configuration, organization);
  const rows = found.flatMap((drift) => drift.rows.filter(only));
  if (format === 'json') console.log(JSON.stringify(rows, null, 2));
  else if (format === 'csv') console.log(asCsv(COLUMNS, rows));
  else console.log([...(rows.length === 0 ? [] : [asTable(COLUMNS, rows), '']), ...found.map(summary)].join('\n'));
  return rows;
}

const COLUMNS: Column<DriftRow>[] = [
  ['ORGANIZATION', ({ organization }) => organization],
  ['RECORD', ({ systemuserid }) => systemuserid],
  ['PERSON', ({ fullname, isdisabled }) => (isdisabled ? `${fullname} (disabled)` : fullname)],
  ['SHOWS', ({ userName }) => userName],
  ['SHOULD SHOW', ({ should }) => should],
  ['SINCE', ({ since }) => since],
  ['WHAT', whatOf],
];

function whatOf({ action, reason, message, suggestions }: DriftRow): string {
  if (action === 'link') {
    const [first, ...others] = suggestions;
    if (first === undefined) return `belongs to no account that is known${message === null ? '' : ` (${message})`}`;
    return `may belong to ${described(first)}${others.length === 0 ? '' : `, or ${others.map(described).join(', ')}`}`;
  }
  const why = [reason, message ?? (reason !== null && reason in EXPLANATIONS ? meaningOf(reason) : null)].filter((part) => part !== null);
  return [action === 'repair' ? 'would be repaired' : 'nothing', ...(why.length === 0 ? [] : [why.join(': ')])].join(', ');
}

function meaningOf(reason: NonNullable<DriftRow['reason']>): string | null {
  return reason === 'unmatched' || reason === 'parked' ? null : EXPLANATIONS[reason].meaning;
}

function described({ account, evidence, confidence }: Suggestion): string {
  return `${account} (${confidence}: ${evidence.join(', ')})`;
}

function summary({ organization, records, inStep, others, rows }: Drift): string {
  const toRepair = rows.filter(({ action }) => action === 'repair').length;
  const toLink = rows.filter(({ action }) => action === 'link').length;
  const parts = [`${inStep} of ${records} records in step`, `${toRepair} to be repaired`, `${toLink} of unknown account`];
  return `${organization}: ${parts.join(', ')}, ${rows.length - toRepair - toLink} out of step for a reason; ${others} are of no concern here (special users, other domains, accounts that are gone)`;
}
