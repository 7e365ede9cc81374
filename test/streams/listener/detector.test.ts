import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHANGE_KINDS, type Change } from '../../../streams/change.ts';
import { type Identity, sameName } from '../../../streams/identity.ts';
import { detect } from '../../../streams/listener/detector.ts';
import { Draft } from '../../../streams/listener/draft.ts';
import type { Observation } from '../../../streams/observation.ts';
import { Knowledge } from '../../support/memory-change-log.ts';
import { COMPUTER, guid, MemoryDirectory, PERSON } from '../../support/memory-directory.ts';

const OBSERVED = { time: '2026-01-01T00:00:00.000Z', dc: 'dc1.corp.example.test', via: 'dirsync', dn: 'CN=x' } as const;

/** Reads a directory as a listener does, page by page over a Draft, and beside it over a store changed after each observation. */
class Reader {
  readonly changes: Change[] = [];
  readonly #log = new Knowledge();
  readonly #store = new Knowledge();
  readonly #directory: MemoryDirectory;
  #usn = 0;

  constructor(directory: MemoryDirectory) {
    this.#directory = directory;
  }

  get known(): Map<string, Identity> {
    return this.#log.identities;
  }

  /** @param pages how many observations each page has; the rest makes the last page @param again observations reported once more */
  read({
    full = false,
    report = true,
    pages = [],
    again = 0,
  }: {
    full?: boolean;
    report?: boolean;
    pages?: number[];
    again?: number;
  } = {}): Change[] {
    const observations = this.#directory.changesSince(full ? 0 : this.#usn);
    this.#usn = this.#directory.usn;
    const all = [...observations, ...observations.slice(0, again)];
    const changes: Change[] = [];
    for (const size of [...pages, all.length]) changes.push(...this.#page(all.splice(0, size), report));
    this.changes.push(...changes);
    return changes;
  }

  #page(observations: readonly Observation[], report: boolean): Change[] {
    const draft = new Draft(this.#log);
    for (const observation of observations) {
      const detected = this.#detect(observation, draft);
      expect(this.#detect(observation, this.#store)).toEqual(detected);
      if (detected.outcome !== 'changed') continue;
      const order = detected.changes.map(({ kind }) => CHANGE_KINDS.indexOf(kind));
      expect(order).toEqual([...new Set(order)].sort((a, b) => a - b));
      draft.add(observation.objectGUID, detected.identity, report ? detected.changes : []);
      this.#store.put(observation.objectGUID, detected.identity);
      if (report) for (const change of detected.changes) this.#store.putEvent(change);
      expect(this.#detect(observation, draft)).toEqual({ outcome: 'nothing' });
      for (const name of ['a', 'b', 'c', ...detected.changes.map(({ after }) => after?.sAMAccountName ?? 'a')]) {
        expect(draft.holder('CORP', name)).toBe(this.#store.holder('CORP', name));
        expect(draft.formerHolder('CORP', name)).toBe(this.#store.formerHolder('CORP', name));
      }
    }
    for (const [objectGUID, identity] of draft.identities) this.#log.put(objectGUID, identity);
    for (const change of draft.changes) this.#log.putEvent(change);
    return draft.changes;
  }

  #detect(observation: Observation, known: Draft | Knowledge) {
    const detection = detect(observation, 'CORP', OBSERVED, known);
    if (detection.outcome !== 'incomplete') return detection;
    const whole = this.#directory.readObject(observation.objectGUID);
    if (whole === undefined) throw new Error('a reported object is there');
    return detect(whole.deleted ? whole : { ...observation, seen: whole.seen }, 'CORP', OBSERVED, known);
  }
}

function person(objectGUID: string, sAMAccountName: string, rest: Partial<Identity> = {}): Identity {
  return { objectGUID, domain: 'CORP', sAMAccountName, enabled: true, ...rest };
}

function knowing(...identities: Identity[]): Knowledge {
  const known = new Knowledge();
  for (const identity of identities) known.put(identity.objectGUID, identity);
  return known;
}

function changesOf(observation: Partial<Observation>, known: Knowledge, objectGUID = guid('account', 1)): readonly Change[] {
  const detection = detect({ objectGUID, dn: '', seen: {}, ...observation }, 'CORP', OBSERVED, known);
  return detection.outcome === 'changed' ? detection.changes : [];
}

const NAMES = ['a', 'A', 'b', 'c', 'd', 'svc$'];
const who = fc.nat(9);
const name = fc.constantFrom(...NAMES);
const value = fc.option(fc.constantFrom('x', 'y'), { nil: null });
const operation = fc.oneof(
  fc.record({ op: fc.constant('create' as const), name, enabled: fc.boolean(), computer: fc.boolean(), mail: value }),
  fc.record({ op: fc.constant('rename' as const), who, name }),
  fc.record({ op: fc.constant('case' as const), who }),
  fc.record({ op: fc.constant('swap' as const), who, other: who }),
  fc.record({ op: fc.constant('set' as const), who, attribute: fc.constantFrom('userPrincipalName', 'displayName', 'sn', 'mail'), value }),
  fc.record({ op: fc.constant('enable' as const), who, enabled: fc.boolean() }),
  fc.record({ op: fc.constant('delete' as const), who }),
  fc.record({ op: fc.constant('restore' as const), who, name: fc.option(name, { nil: undefined }) }),
  fc.record({ op: fc.constant('read' as const), full: fc.boolean(), pages: fc.array(fc.integer({ min: 1, max: 3 })), again: fc.nat(3) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function apply(directory: MemoryDirectory, reader: Reader, step: Operation): void {
  const pick = (index: number) => directory.guids()[index % Math.max(1, directory.guids().length)];
  const one = 'who' in step ? pick(step.who) : undefined;
  if (step.op === 'create') {
    const profile = step.mail === null ? {} : { mail: step.mail };
    directory.create({ sAMAccountName: step.name, enabled: step.enabled, objectClass: step.computer ? COMPUTER : PERSON, profile });
  } else if (step.op === 'read') {
    reader.read(step);
  } else if (one === undefined) {
    return;
  } else if (step.op === 'rename') {
    directory.rename(one, step.name);
  } else if (step.op === 'case') {
    directory.rename(one, (directory.nameOf(one) ?? '').toUpperCase());
  } else if (step.op === 'swap') {
    directory.swap(one, pick(step.other) ?? one);
  } else if (step.op === 'set') {
    directory.set(one, { [step.attribute]: step.value });
  } else if (step.op === 'enable') {
    directory.enable(one, step.enabled);
  } else if (step.op === 'delete') {
    directory.delete(one);
  } else if (directory.nameOf(one) === undefined) {
    directory.restore(one, step.name);
  }
}

const histories = fc.record({ before: fc.array(operation, { maxLength: 8 }), after: fc.array(operation, { maxLength: 40 }) });

function played({ before, after }: { before: readonly Operation[]; after: readonly Operation[] }) {
  const directory = new MemoryDirectory();
  const reader = new Reader(directory);
  for (const step of before) if (step.op !== 'read') apply(directory, reader, step);
  reader.read({ report: false });
  const baseline = new Map(reader.known);
  expect(reader.changes).toEqual([]);
  for (const step of after) apply(directory, reader, step);
  reader.read();
  return { directory, reader, baseline };
}

describe('random histories of accounts', () => {
  test('SPEC rule 1: what is known in the end is what the directory says, and reading everything again gives nothing', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { directory, reader } = played(history);
        expect(reader.known).toEqual(directory.identities());
        expect(reader.read({ full: true })).toEqual([]);
      }),
    );
  });

  test('SPEC rule 3: before of an event is after of the one before it, and replaying the events gives the identities', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { reader, baseline } = played(history);
        const replayed = new Map(baseline);
        for (const { kind, objectGUID, before, after } of reader.changes) {
          expect(before).toEqual(replayed.get(objectGUID) ?? null);
          expect(before === null).toBe(kind === 'created' || kind === 'restored');
          expect(after === null).toBe(kind === 'deleted');
          if (after) replayed.set(objectGUID, after);
          else replayed.delete(objectGUID);
        }
        expect(replayed).toEqual(reader.known);
      }),
    );
  });

  test('SPEC rule 1: each event says exactly what differs, the kinds of one observation in the order of CHANGE_KINDS', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { reader } = played(history);
        for (const { kind, changed, before, after, caseOnly } of reader.changes) {
          const attributes = before && after ? ([...new Set([...Object.keys(before), ...Object.keys(after)])] as (keyof Identity)[]) : [];
          expect([...changed].sort()).toEqual(attributes.filter((key) => before?.[key] !== after?.[key]).sort());
          expect(caseOnly).toBe(kind === 'renamed' && sameName(before?.sAMAccountName ?? '', after?.sAMAccountName ?? ''));
        }
      }),
    );
  });

  test('SPEC rule 1: a name taken over names its former holder, as anyone can tell from the events alone', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { reader, baseline } = played(history);
        const names = new Knowledge();
        for (const [objectGUID, identity] of baseline) names.put(objectGUID, identity);
        for (const change of reader.changes) {
          const { objectGUID, after, before, formerHolder } = change;
          const took = after && !(before && sameName(before.sAMAccountName, after.sAMAccountName)) ? after.sAMAccountName : undefined;
          const others = took ? [names.holder('CORP', took), names.formerHolder('CORP', took)] : [];
          expect(formerHolder).toBe(others.find((holder) => holder !== undefined && holder !== objectGUID) ?? null);
          names.put(objectGUID, after);
          names.putEvent(change);
        }
      }),
    );
  });
});

describe('one observation', () => {
  const guid1 = guid('account', 1);
  const guid2 = guid('account', 2);

  test('SPEC rule 1: several differences are several events in the order of CHANGE_KINDS', () => {
    const known = knowing(person(guid1, 'alee', { mail: 'a@example.test', userPrincipalName: 'alee@example.test', enabled: false }));
    const seen = { mail: null, userAccountControl: 0x200, userPrincipalName: 'ann@example.test', sAMAccountName: 'ann', sn: 'Lee' };
    const changes = changesOf({ seen }, known);
    expect(changes.map(({ kind, changed }) => [kind, changed])).toEqual([
      ['renamed', ['sAMAccountName']],
      ['upn-changed', ['userPrincipalName']],
      ['profile-updated', ['sn', 'mail']],
      ['enabled', ['enabled']],
    ]);
    expect(changes.at(-1)?.after).toEqual(person(guid1, 'ann', { userPrincipalName: 'ann@example.test', sn: 'Lee' }));
  });

  test('SPEC rule 1: an attribute that was not seen is not changed, a cleared one is absent afterwards', () => {
    const known = knowing(person(guid1, 'alee', { mail: 'a@example.test', sn: 'Lee' }));
    const [change] = changesOf({ seen: { mail: null } }, known);
    expect(change?.after).toStrictEqual(person(guid1, 'alee', { sn: 'Lee' }));
    expect(changesOf({ seen: {} }, known)).toEqual([]);
    expect(changesOf({ seen: { displayName: null } }, known)).toEqual([]);
  });

  test('SPEC rule 1: a change of case alone is a rename, marked, and taken from nobody', () => {
    const known = knowing(person(guid1, 'alee'));
    known.putEvent({ kind: 'deleted', objectGUID: guid2, before: person(guid2, 'ALEE'), after: null } as Change);
    expect(changesOf({ seen: { sAMAccountName: 'ALee' } }, known)).toMatchObject([{ kind: 'renamed', caseOnly: true, formerHolder: null }]);
  });

  test('SPEC rule 1: a swap is two renames, each marked with the other, whichever is seen first and however it is paged', () => {
    for (const [first, second] of [
      [guid1, guid2],
      [guid2, guid1],
    ] as const) {
      for (const pages of [[], [1]]) {
        const directory = new MemoryDirectory();
        const reader = new Reader(directory);
        directory.create({ sAMAccountName: 'a' });
        directory.create({ sAMAccountName: 'b' });
        reader.read({ report: false });
        directory.swap(second, first);
        const changes = reader.read({ pages });
        expect(changes.map(({ objectGUID, formerHolder }) => [objectGUID, formerHolder])).toEqual([
          [first, second],
          [second, first],
        ]);
      }
    }
  });

  test('SPEC rule 1: a name taken over later, and one taken back, name who had it in between', () => {
    const directory = new MemoryDirectory();
    const reader = new Reader(directory);
    directory.create({ sAMAccountName: 'a' });
    directory.create({ sAMAccountName: 'b' });
    reader.read({ report: false });
    const steps = [
      [guid1, 'x', null],
      [guid2, 'a', guid1],
      [guid2, 'y', null],
      [guid1, 'a', guid2],
      [guid1, 'x', null],
      [guid2, 'z', null],
      [guid2, 'a', guid1],
    ] as const;
    for (const [who, name, formerHolder] of steps) {
      directory.rename(who, name);
      expect(reader.read()).toMatchObject([{ objectGUID: who, formerHolder }]);
    }
  });

  test("SPEC rule 1: a new account with a deleted one's name is marked with it", () => {
    const directory = new MemoryDirectory();
    const reader = new Reader(directory);
    directory.create({ sAMAccountName: 'a' });
    reader.read({ report: false });
    directory.delete(guid1);
    directory.create({ sAMAccountName: 'A' });
    expect(reader.read().map(({ kind, formerHolder }) => [kind, formerHolder])).toEqual([
      ['deleted', null],
      ['created', guid1],
    ]);
  });

  test('SPEC rule 1: created and deleted between two reads is nothing', () => {
    const directory = new MemoryDirectory();
    const reader = new Reader(directory);
    const objectGUID = directory.create({ sAMAccountName: 'a' });
    if (objectGUID) directory.delete(objectGUID);
    expect(reader.read()).toEqual([]);
  });

  test('SPEC rule 1: an account that came back is restored; deleted and restored between two reads is what differs', () => {
    const directory = new MemoryDirectory();
    const reader = new Reader(directory);
    directory.create({ sAMAccountName: 'a', profile: { mail: 'a@example.test' } });
    reader.read({ report: false });
    directory.delete(guid1);
    expect(reader.read().map(({ kind }) => kind)).toEqual(['deleted']);
    directory.restore(guid1, 'b');
    expect(reader.read()).toMatchObject([{ kind: 'restored', before: null, after: { sAMAccountName: 'b' } }]);
    directory.delete(guid1);
    directory.restore(guid1);
    expect(reader.read()).toEqual([]);
    directory.set(guid1, { mail: 'b@example.test' });
    reader.read();
    directory.delete(guid1);
    directory.restore(guid1);
    expect(reader.read()).toMatchObject([{ kind: 'profile-updated', changed: ['mail'] }]);
  });

  test('SPEC rule 1: computers and other classes are left out by class, names that end in $ are not', () => {
    const whole = { sAMAccountName: 'pc1', userAccountControl: 0x1000 };
    expect(changesOf({ seen: { ...whole, objectClass: COMPUTER } }, knowing())).toEqual([]);
    expect(changesOf({ seen: { ...whole, objectClass: ['TOP', 'Person', 'User', 'Computer'] } }, knowing())).toEqual([]);
    expect(changesOf({ seen: { ...whole, objectClass: ['top', 'person', 'contact'] } }, knowing())).toEqual([]);
    expect(changesOf({ seen: { ...whole, sAMAccountName: 'svc$', objectClass: PERSON } }, knowing())).toMatchObject([{ kind: 'created' }]);
  });

  test('SPEC rule 1: too little of an unknown account asks for the whole; a known other class does not', () => {
    const detected = (seen: Observation['seen']) => detect({ objectGUID: guid1, dn: '', seen }, 'CORP', OBSERVED, knowing()).outcome;
    expect(detected({ sAMAccountName: 'a' })).toBe('incomplete');
    expect(detected({ sAMAccountName: 'a', objectClass: PERSON })).toBe('incomplete');
    expect(detected({ objectClass: COMPUTER })).toBe('nothing');
  });

  test('SPEC rule 1: another domain is a move, before anything else of the same observation', () => {
    const known = knowing(person(guid1, 'alee', { domain: 'OLD', objectSid: 'S-1-5-21-9-9-9-1' }));
    const changes = changesOf({ seen: { objectSid: 'S-1-5-21-1-1-1-1', sAMAccountName: 'ann' } }, known);
    expect(changes.map(({ kind, changed, after }) => [kind, changed, after?.domain, after?.sAMAccountName])).toEqual([
      ['moved-domain', ['domain', 'objectSid'], 'CORP', 'alee'],
      ['renamed', ['sAMAccountName'], 'CORP', 'ann'],
    ]);
  });
});
