/** One benchmark. It starts its own parts, prints what it measures, and leaves nothing running. */
export interface Bench {
  readonly name: string;
  /** One line for the list of benchmarks. */
  readonly summary: string;
  run(options: BenchOptions, print: Print): Promise<Outcome>;
}

export interface BenchOptions {
  /** Fewer runs, no large directories: to see that a benchmark works, not for its figures. */
  readonly quick: boolean;
  /** How long to watch where nothing happens. */
  readonly seconds: number;
}

export type Print = (text: string) => void;

/** Milliseconds unless the name says otherwise. A ratio is a median or percentile of ours divided by the floor's of the same run. */
export interface Outcome {
  readonly figures: Readonly<Record<string, number>>;
  readonly ratios: Readonly<Record<string, number>>;
}

/** Users of the directory that is measured against. */
export const USERS = 10_000;
