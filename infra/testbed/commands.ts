import type { Bed } from './bed.ts';
import type { Directory } from './directory.ts';
import { DirectoryAdmin } from './ldap.ts';
import type { ManagedProcess } from './process.ts';

/** Something that people do to a bed that is up. */
export interface Command {
  /** Names of what follows it. */
  readonly parameters: readonly string[];
  /** What it does, for the help. */
  readonly summary: string;
  /** @returns what to tell when it is done */
  run(bed: Bed, args: readonly string[]): Promise<string>;
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  replicate: {
    parameters: ['TO', 'FROM'],
    summary: 'TO pulls what it lacks from FROM, such as: replicate dc2 dc1',
    run: async (bed, [to = '', from = '']) => {
      await bed.replication.replicate(controller(bed, to), controller(bed, from));
      return `${to} has what ${from} has`;
    },
  },
  'pause-replication': {
    parameters: [],
    summary: 'domain controllers pull nothing by themselves any more',
    run: async (bed) => {
      await bed.replication.pause();
      return 'replication is paused';
    },
  },
  'resume-replication': {
    parameters: [],
    summary: 'they do again, and have pulled what they missed',
    run: async (bed) => {
      await bed.replication.resume();
      return 'replication goes on; every domain controller has what the others have';
    },
  },
  stop: onPart('a part ends orderly', 'stopped', (part) => part.stop()),
  kill: onPart('a part is killed', 'killed', (part) => part.kill()),
  freeze: onPart('a part keeps its connections and answers nothing', 'frozen', async (part) => running(part).pause()),
  thaw: onPart('it answers again', 'thawed', async (part) => running(part).resume()),
  start: onPart('a part that was stopped or killed is back', 'answers', (part) => part.start()),
  save: onController('keep a copy of its database under NAME; it is stopped for that, and started again', 'saved as', (dc, name) =>
    dc.save(name),
  ),
  'roll-back': onController('put that copy back, behind its back; stopped and started, too', 'rolled back to', (dc, name) =>
    dc.rollBack(name),
  ),
  reanimate: {
    parameters: ['DC', 'ACCOUNT'],
    summary: 'an account that was deleted is back, in OU=Staff and disabled, as without a recycle bin',
    run: async (bed, [dc = '', account = '']) => {
      await using admin = await DirectoryAdmin.connect(controller(bed, dc));
      const deleted = await admin.findDeleted(account);
      if (deleted === undefined) throw new Error(`${dc} remembers no deleted account ${account}`);
      await admin.reanimate(deleted.objectGUID, account);
      return `${account} is back on ${dc}`;
    },
  },
};

/** What commands and people call a part. */
export function partName(part: { readonly name: string }): string {
  return part.name.replaceAll(' ', '-');
}

function onPart(summary: string, done: string, act: (part: ManagedProcess) => Promise<void>): Command {
  return {
    parameters: ['PART'],
    summary,
    run: async (bed, [name = '']) => {
      await act(named(bed.processes, name));
      return `${name} ${done}`;
    },
  };
}

function onController(summary: string, done: string, act: (controller: Directory, name: string) => Promise<void>): Command {
  return {
    parameters: ['DC', 'NAME'],
    summary,
    run: async (bed, [dc = '', name = '']) => {
      await act(controller(bed, dc), name);
      return `${dc} ${done} ${name}`;
    },
  };
}

function controller(bed: Bed, name: string): Directory {
  return named(bed.controllers, name);
}

function running(part: ManagedProcess): ManagedProcess {
  if (part.pid === undefined) {
    throw new Error(`${partName(part)} is not running`);
  }
  return part;
}

function named<Part extends ManagedProcess>(parts: readonly Part[], name: string): Part {
  const found = parts.find((part) => partName(part) === name);
  if (found === undefined) {
    throw new Error(`there is no ${name} here, only ${parts.map(partName).join(', ')}`);
  }
  return found;
}
