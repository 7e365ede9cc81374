import { printable } from '../runtime/printable.ts';

/** A column: its heading, and what it shows of a row. */
export type Column<Row> = readonly [heading: string, show: (row: Row) => string | null | undefined];

/** Rows in columns of equal width, for a person. */
export function asTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [columns.map(([heading]) => heading), ...rows.map((row) => columns.map(([, show]) => printable(show(row) ?? '')))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  return cells
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** RFC 4180. What a spreadsheet would take for a formula is marked as text, since names are not written by whoever opens it. */
export function asCsv<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map(([heading]) => heading), ...rows.map((row) => columns.map(([, show]) => harmless(show(row) ?? '')))];
  return lines.map((line) => line.map(quoted).join(',')).join('\r\n');
}

function harmless(cell: string): string {
  return /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
