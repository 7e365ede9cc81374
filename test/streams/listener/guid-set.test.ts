import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GuidSet } from '../../../streams/listener/guid-set.ts';

test('contains what was added, in any case, and nothing else', () => {
  const set = new GuidSet();
  const guids = Array.from({ length: 20_000 }, () => randomUUID());
  for (const guid of guids) set.add(guid);
  for (const guid of guids) set.add(guid.toUpperCase());
  expect(set.size).toBe(guids.length);
  expect(guids.filter((guid) => !set.has(guid))).toEqual([]);
  expect(guids.filter(() => set.has(randomUUID()))).toEqual([]);
});

test('GUIDs that differ in little, as those that count up do, are told apart like strings', () => {
  const digit = fc.constantFrom('0', '1', 'f');
  const guid = fc.tuple(digit, digit, digit, digit).map(([a, b, c, d]) => `${a.repeat(8)}-000${b}-4000-900${c}-00000000${d.repeat(4)}`);
  fc.assert(
    fc.property(fc.array(guid), fc.array(guid), (added, asked) => {
      const set = new GuidSet();
      const strings = new Set(added);
      for (const each of added) set.add(each);
      expect(set.size).toBe(strings.size);
      expect(asked.map((each) => set.has(each))).toEqual(asked.map((each) => strings.has(each)));
    }),
  );
});

test('is empty after it was cleared, and refuses what is no GUID', () => {
  const set = new GuidSet();
  const guid = randomUUID();
  set.add(guid);
  set.clear();
  expect(set.has(guid)).toBe(false);
  expect(set.size).toBe(0);
  expect(() => set.add('somebody')).toThrow(TypeError);
});
