import type { LogLine, Namesake } from '../../infra/testbed/namesake.ts';
import { LineTail } from './line-tail.ts';

export const ENGINES = ['kafka', 'sqlite'] as const;
export type Engine = (typeof ENGINES)[number];

/** What the product says on its way, as a part of its log line. */
export const SAYS = {
  listening: '"msg":"listening, log on',
  connected: '"msg":"connected to',
  repairing: ': repairing with',
  readEverything: '"msg":"read everything',
} as const;

const DEADLINE = 180_000;

/** Starts the product and waits until it has said each of these texts. @returns the lines that they stand in */
export async function startUntil<Text extends string>(product: Namesake, texts: Record<Text, string>): Promise<Record<Text, LogLine>> {
  using tail = new LineTail(product.logFile);
  const said = Promise.all(
    Object.entries<string>(texts).map(async ([name, text]) => {
      const line = await tail.next((candidate) => candidate.includes(text), `${text} in ${product.logFile}`, DEADLINE);
      return [name, JSON.parse(line) as LogLine];
    }),
  );
  said.catch(() => {}); // a start that fails says more
  await product.start();
  return Object.fromEntries(await said) as Record<Text, LogLine>;
}

export function timeOf({ time }: LogLine): number {
  return Date.parse(time);
}
