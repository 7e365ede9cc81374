import type { ChangeLog } from '../../streams/change-log.ts';
import type { Program, Work } from './program.ts';

/** One log of a test's own, empty at first. */
export interface Place {
  /** The log as a process sees it. Two that are open at once need different names, as two machines have. */
  open(instance?: string): ChangeLog;
  /** The log for whoever only looks, beside whatever else is at work on this machine. */
  look(): ChangeLog;
  program(work: Work): Program;
  /** Another writer takes over, and whoever holds the lease does not notice. */
  takeOver(): Promise<AsyncDisposable>;
}

export interface Engine {
  readonly name: string;
  place(): Promise<Place>;
  /** Milliseconds in which the lease of a killed process must have passed on. */
  readonly passesOnWithin: number;
  /** How often a process is killed, and how often properties are tried. */
  readonly kills: number;
  readonly runs: number;
}

export const NEVER = new AbortController().signal;
