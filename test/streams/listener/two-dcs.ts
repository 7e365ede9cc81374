import fc from 'fast-check';
import { expect } from 'vitest';
import type { ReadingSettings } from '../../../streams/listener/reading.ts';
import { isNewer, type Origin } from '../../../streams/origin.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import type { MemoryDirectorySource } from '../../support/memory-directory-source.ts';
import { passed, SECOND, SETTINGS, world } from './listener-world.ts';

interface TwoDcsOptions {
  readonly accounts?: number;
  readonly settings?: ReadingSettings;
  readonly scope?: MemoryDirectorySource['scope'];
  /** Before the first read. */
  readonly prepare?: (one: MemoryDirectory) => void;
}

/** Two domain controllers of one domain, a listener on the first, and everybody known. */
export async function twoDcs({ accounts = 3, settings = SETTINGS, scope, prepare = () => {} }: TwoDcsOptions = {}) {
  const w = world({ accounts: 0, settings });
  const numbers = { next: 1 };
  const [one, two] = [new MemoryDirectory({ number: 1, numbers }), new MemoryDirectory({ number: 2, numbers })];
  for (let i = 1; i <= accounts; i++) one.create({ sAMAccountName: `user${i}` });
  prepare(one);
  two.replicateFrom(one);
  one.replicateFrom(two);
  w.source.directory = one;
  w.source.scope = scope;
  w.start();
  await passed(0);
  const read = async () => {
    w.source.wakes.next();
    await passed(SECOND);
  };
  const failOver = async (to: MemoryDirectory) => {
    w.source.directory = to;
    w.source.lose();
    await passed(2 * SECOND);
  };
  const replicate = () => {
    two.replicateFrom(one);
    one.replicateFrom(two);
  };
  const names = () => w.log.events.map(({ before, after }) => [before?.sAMAccountName, after?.sAMAccountName]);
  return { ...w, one, two, read, failOver, replicate, names };
}

export type TwoDcs = Awaited<ReturnType<typeof twoDcs>>;

/** Of no attribute of any account an older write is told after a newer one. */
export function expectNothingOld({ log }: Pick<TwoDcs, 'log'>): void {
  const newest = new Map<string, Origin>();
  for (const { objectGUID, changed, observed } of log.events) {
    if (changed.length !== 1 || !observed.origin) continue;
    const key = `${objectGUID} ${changed[0]}`;
    const before = newest.get(key);
    if (before !== undefined) expect(isNewer(observed.origin, before)).toBe(true);
    newest.set(key, observed.origin);
  }
}

const who = fc.nat(7);
const where = fc.constantFrom('one' as const, 'two' as const);
/** Something that happens to an account, to replication, to the listener, or nothing but time. */
export const operation = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('rename' as const), where, who, name: fc.constantFrom('a', 'A', 'b', 'c', 'd', 'e') }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('set' as const), where, who, value: fc.constantFrom('x', 'y', null) }) },
  fc.record({ op: fc.constant('create' as const), where, name: fc.constantFrom('f', 'g', 'h') }),
  fc.record({ op: fc.constant('delete' as const), where, who }),
  fc.record({ op: fc.constant('restore' as const), where, who }),
  fc.record({ op: fc.constant('enable' as const), where, who, enabled: fc.boolean() }),
  { weight: 3, arbitrary: fc.record({ op: fc.constant('replicate' as const), where }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('fail-over' as const), where }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('read' as const) }) },
  fc.record({ op: fc.constant('time' as const), seconds: fc.integer({ min: 1, max: 90 }) }),
);
export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

export async function carryOut(step: Operation, w: TwoDcs): Promise<void> {
  const dc = 'where' in step ? w[step.where] : w.one;
  const objectGUID = guid('account', 'who' in step ? step.who + 1 : 1);
  const isThere = dc.guids().includes(objectGUID);
  switch (step.op) {
    case 'rename':
      if (isThere) dc.rename(objectGUID, step.name);
      return;
    case 'set':
      if (isThere) dc.set(objectGUID, { mail: step.value });
      return;
    case 'create':
      dc.create({ sAMAccountName: step.name });
      return;
    case 'delete':
      dc.delete(objectGUID);
      return;
    case 'restore':
      if (isThere) dc.restore(objectGUID);
      return;
    case 'enable':
      if (isThere) dc.enable(objectGUID, step.enabled);
      return;
    case 'replicate':
      dc.replicateFrom(dc === w.one ? w.two : w.one);
      return;
    case 'fail-over':
      return await w.failOver(dc);
    case 'read':
      return await w.read();
    case 'time':
      await passed(step.seconds * SECOND);
  }
}
