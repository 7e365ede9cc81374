/** Value below which this share of the samples lies, by linear interpolation. NaN without samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

const SPREAD = { min: 0, p50: 0.5, p90: 0.9, p99: 0.99, max: 1 };
export const SPREAD_COLUMNS: readonly string[] = ['n', ...Object.keys(SPREAD)];

/** How many samples, and where they lie: the cells under SPREAD_COLUMNS. */
export function spread(samples: readonly number[]): (string | number)[] {
  return [String(samples.length), ...Object.values(SPREAD).map((share) => quantile(samples, share))];
}

/** Figures for the JSON file: `kafka` gives `kafkaMin`, `kafkaP50` and so on. */
export function spreadFigures(name: string, samples: readonly number[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(SPREAD).map(([key, share]) => [
      `${name}${key.charAt(0).toUpperCase()}${key.slice(1)}`,
      rounded(quantile(samples, share)),
    ]),
  );
}

export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** A table for people: names on the left, numbers on the right. */
export function table(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [columns, ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? readable(cell) : cell)))];
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => row[index]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    widths.map((width, index) => (index === 0 ? (row[index] ?? '').padEnd(width) : (row[index] ?? '').padStart(width))).join('  ');
  return cells.map((row) => `  ${line(row)}`).join('\n');
}

function readable(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(2);
}
