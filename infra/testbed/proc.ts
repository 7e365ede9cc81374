import { readFile } from 'node:fs/promises';

/** A process that no later one with the same pid is taken for. */
export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks since the machine started. */
  readonly since: string;
}

export interface ProcessView {
  /** Resident, in bytes. */
  readonly memory: number;
  readonly paused: boolean;
}

/** Rejects when there is no such process. */
export async function processMark(pid: number): Promise<ProcessMark> {
  return { pid, since: fields(await readFile(`/proc/${pid}/stat`, 'utf8'))[19] ?? '' };
}

/** Absent when the process has ended. */
export async function findProcess(mark: ProcessMark): Promise<ProcessView | undefined> {
  try {
    const stat = fields(await readFile(`/proc/${mark.pid}/stat`, 'utf8'));
    if (stat[19] !== mark.since || stat[0] === 'Z') {
      return undefined;
    }
    const status = await readFile(`/proc/${mark.pid}/status`, 'utf8');
    return { memory: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024, paused: stat[0] === 'T' };
  } catch {
    return undefined;
  }
}

/** proc(5): what follows the command's name, which may hold blanks and parentheses. State is first, the start time is 20th. */
function fields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
