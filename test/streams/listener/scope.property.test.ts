import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Identity } from '../../../streams/identity.ts';
import { PROFILE_ATTRIBUTES } from '../../../streams/identity.ts';
import { guid, MemoryDirectory } from '../../support/memory-directory.ts';
import { MINUTE, passed, SECOND, world } from './listener-world.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const ACCOUNTS = 6;

const account = fc.oneof(fc.integer({ min: 1, max: ACCOUNTS + 3 }), fc.integer({ min: 100, max: 102 }));
const deed = fc.oneof(
  fc.record({ do: fc.constant('put' as const), account, isIn: fc.boolean(), isStirred: fc.boolean() }),
  fc.record({ do: fc.constantFrom('create', 'rename', 'title', 'delete', 'restore', 'read', 'compare') as fc.Arbitrary<Simple>, account }),
  fc.record({ do: fc.constant('restart' as const), scope: fc.constantFrom('a', 'b', undefined), hasTitle: fc.boolean() }),
  fc.record({ do: fc.constant('fail over' as const), isBehind: fc.boolean() }),
);
type Simple = 'create' | 'rename' | 'title' | 'delete' | 'restore' | 'read' | 'compare';
type Deed = typeof deed extends fc.Arbitrary<infer D> ? D : never;

test('SPEC rules 1 and 3: whatever happens to accounts, scope and settings, in the end exactly those in scope are known, by chains of events', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { maxLength: 25 }), async (deeds) => {
      const w = world({ accounts: ACCOUNTS });
      const [one, other] = [w.directory, new MemoryDirectory({ number: 2, numbers: { next: 100 } })];
      other.replicateFrom(one);
      const members = { a: new Set([1, 2, 3].map(guidOf)), b: new Set([3, 4, 5].map(guidOf)) };
      const scope = (text: 'a' | 'b' | undefined) => {
        w.source.scope = text && { text, has: (objectGUID) => members[text].has(objectGUID) };
      };
      scope('a');
      w.start();
      await passed(SECOND);
      const baseline = new Map(w.log.known.identities);
      let names = 0;
      const perform = async (deed: Deed) => {
        const { directory } = w.source;
        const title = `title ${++names}`;
        switch (deed.do) {
          case 'put': {
            const set = members[w.source.scope?.text === 'b' ? 'b' : 'a'];
            if (deed.isIn) set.add(guidOf(deed.account));
            else set.delete(guidOf(deed.account));
            w.source.stirred ||= deed.isStirred;
            return;
          }
          case 'restart':
            scope(deed.scope);
            w.source.attributes = deed.hasTitle ? [...PROFILE_ATTRIBUTES, 'title'] : PROFILE_ATTRIBUTES;
            w.source.lose();
            return await passed(5 * SECOND);
          case 'fail over': {
            const next = directory === one ? other : one;
            if (!deed.isBehind) next.replicateFrom(directory);
            w.source.directory = next;
            w.source.lose();
            return await passed(5 * SECOND);
          }
          case 'compare':
            w.log.requests.push({ id: title, kind: 'compare', namingContext: w.source.namingContext, time: new Date().toISOString() });
            return await passed(10 * SECOND);
          case 'read':
            w.source.wakes.next();
            return await passed(SECOND);
          case 'create':
            directory.create({ sAMAccountName: `new${names}`, profile: { title } });
            return;
          default:
            if (!directory.guids().includes(guidOf(deed.account))) return;
            if (deed.do === 'rename') directory.rename(guidOf(deed.account), `name${names}`);
            else if (deed.do === 'title') directory.set(guidOf(deed.account), { title });
            else if (deed.do === 'delete') directory.delete(guidOf(deed.account));
            else directory.restore(guidOf(deed.account), `back${names}`);
        }
      };
      for (const each of deeds) await perform(each);
      // Replicated, and the next look at everybody in scope is due.
      for (const [to, from] of [
        [one, other],
        [other, one],
        [one, other],
      ] as const)
        to.replicateFrom(from);
      await passed(7 * MINUTE);
      w.abort.abort();
      await passed(SECOND);
      const hasTitle = w.source.attributes.includes('title');
      const expected = [...w.source.directory.identities()].filter(([objectGUID]) => w.source.scope?.has(objectGUID) ?? true);
      expect(w.log.known.identities).toEqual(
        new Map(expected.map(([objectGUID, identity]) => [objectGUID, hasTitle ? identity : bare(identity)])),
      );
      expect(w.log.positions.get(w.source.namingContext)).toMatchObject({ held: {} });
      // Other settings are told of; nothing else is lost.
      const reasons = new Set(w.log.notices.map(({ reason }) => reason));
      expect([...reasons].filter((reason) => !['the scope was changed', 'other attributes are watched'].includes(reason))).toEqual([]);
      const last = new Map<string, Identity | null>(baseline);
      for (const { objectGUID, kind, before, after } of w.log.events) {
        // What was learned of titles is told by no event.
        expect(before && bare(before), kind).toEqual(bare(last.get(objectGUID) ?? null));
        expect([kind, after === null]).toEqual([kind, kind === 'left-scope' || kind === 'deleted']);
        last.set(objectGUID, after);
      }
    }),
    { numRuns: 150 },
  );
}, 120_000);

function guidOf(number: number): string {
  return guid('account', number);
}

function bare<Known extends Identity | null>(identity: Known): Known {
  if (identity === null) return identity;
  const { title: _, ...rest } = identity;
  return rest as Known;
}
