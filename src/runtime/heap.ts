import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type CollectGarbage = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * Trades some processor time of a long read for memory. Left to itself V8 lets the heap grow to several times of what is in use before
 * it collects: 300 MB where 20 are. To have an effect this comes before anything that fills the heap.
 */
export function keepHeapSmall(): void {
  // What is new stays at 1 MB; a full one is collected in about a millisecond.
  setFlagsFromString('--semi-space-growth-factor=1');
  // What is old is collected when it has become half as large again.
  setFlagsFromString('--heap-growing-percent=50');
}

/** Gives back what a long read has left unused, which V8 would keep while little happens. Takes some tenths of a second. */
export function giveMemoryBack(): void {
  setFlagsFromString('--expose-gc');
  const collectGarbage: CollectGarbage = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  collectGarbage({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
