import { Attribute, Change, type Client, Control } from 'ldapts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DirectorySession, PageReader } from '../../streams/directory-source.ts';
import type { Observation } from '../../streams/observation.ts';
import type { Position } from '../../streams/position.ts';

const TREE_DELETE = new Control('1.2.840.113556.1.4.805', { critical: true });
const SHOW_DELETED = new Control('1.2.840.113556.1.4.417', { critical: true });

/** What the contract is tried on. */
export interface Place {
  /** As an administrator. */
  readonly writer: Client;
  readonly namingContext: string;
  /** Reads in the way that is to be tried. */
  open(stored?: Position): Promise<DirectorySession>;
}

export interface Read {
  readonly observations: Observation[];
  readonly position: Position;
}

export async function readAll(reader: PageReader): Promise<Read> {
  const observations: Observation[] = [];
  for (;;) {
    const page = await reader.next();
    observations.push(...page.observations);
    if (page.last && page.position !== undefined) return { observations, position: page.position };
  }
}

/** What an administrator does, below one organizational unit. */
export class Staff {
  readonly #writer: Client;
  readonly base: string;

  constructor(writer: Client, namingContext: string, unit = 'Staff') {
    this.#writer = writer;
    this.base = `OU=${unit},${namingContext}`;
  }

  /** The unit itself, and another one in it. */
  async open(): Promise<void> {
    for (const dn of [this.base, `OU=Elsewhere,${this.base}`]) await this.#writer.add(dn, { objectClass: 'organizationalUnit' });
  }

  /** Deletes the unit with everybody in it, which gives their names free. */
  async close(): Promise<void> {
    await this.#writer.del(this.base, [TREE_DELETE]);
  }

  dnOf(cn: string): string {
    return `CN=${cn},${this.base}`;
  }

  async set(dn: string, type: string, ...values: string[]): Promise<void> {
    await this.#writer.modify(dn, new Change({ operation: 'replace', modification: new Attribute({ type, values }) }));
  }

  async create(cn: string, more: Record<string, string | string[]> = {}): Promise<string> {
    await this.#writer.add(this.dnOf(cn), { objectClass: 'user', sAMAccountName: cn, userAccountControl: '544', ...more });
    return this.dnOf(cn);
  }

  async reanimate(deletedDn: string, dn: string): Promise<void> {
    await this.#writer.modify(
      deletedDn,
      [
        new Change({ operation: 'delete', modification: new Attribute({ type: 'isDeleted', values: [] }) }),
        new Change({ operation: 'replace', modification: new Attribute({ type: 'distinguishedName', values: [dn] }) }),
      ],
      [SHOW_DELETED],
    );
  }
}

interface Difference {
  readonly objectGUID: string;
  readonly dn: string;
  /** Attributes that differ from what was known; null for one that was known and is cleared. */
  readonly changed: Record<string, unknown>;
  readonly deleted?: boolean;
}

/** Everything that was seen, laid over each other as the detector does it. */
class Seen {
  readonly #known = new Map<string, Record<string, unknown>>();
  readonly #gone = new Set<string>();

  take({ objectGUID, dn, seen, deleted }: Observation): Difference[] {
    if (deleted) {
      this.#known.delete(objectGUID);
      this.#gone.add(objectGUID);
      return [{ objectGUID, dn, changed: {}, deleted }];
    }
    const known: Record<string, unknown> = { ...this.#known.get(objectGUID) };
    const changed = Object.fromEntries(Object.entries(seen).filter(([name, value]) => !same(known[name], value)));
    this.#known.set(objectGUID, { ...known, ...changed });
    const isBack = deleted === false && this.#gone.delete(objectGUID);
    return Object.keys(changed).length === 0 && !isBack ? [] : [{ objectGUID, dn, changed, ...(isBack && { deleted }) }];
  }
}

function same(known: unknown, value: unknown): boolean {
  return JSON.stringify(known ?? null) === JSON.stringify(value);
}

/** What a session has to report, in whatever way it reads. */
export function describeSession(name: string, place: () => Place): void {
  describe(name, () => {
    let session: DirectorySession;
    let position: Position;
    let seen: Seen;
    let staff: Staff;

    beforeAll(async () => {
      staff = new Staff(place().writer, place().namingContext, 'Contract');
      await staff.open();
    });

    afterAll(() => staff.close());

    beforeEach(async () => {
      session = await place().open();
      seen = new Seen();
      const { observations, position: first } = await readAll(session.read(undefined));
      for (const observation of observations) seen.take(observation);
      position = first;
    });

    afterEach(() => session[Symbol.asyncDispose]());

    /** What a read shows that was not known, in no order. */
    async function changes(from = session): Promise<Difference[]> {
      const { observations, position: next } = await readAll(from.read(position));
      position = next;
      return observations.flatMap((observation) => seen.take(observation));
    }

    async function created(cn: string, more: Record<string, string> = {}): Promise<{ dn: string; objectGUID: string }> {
      const dn = await staff.create(cn, more);
      const [difference] = await changes();
      expect(difference).toMatchObject({ dn, changed: { sAMAccountName: cn } });
      return { dn, objectGUID: difference?.objectGUID ?? '' };
    }

    it('reports nothing while nothing happens, and moves on all the same', async () => {
      expect(await changes()).toEqual([]);
      const { objectGUID } = await created('quiet1');
      const before = position;
      await staff.set(staff.dnOf('quiet1'), 'description', 'not watched');
      await place().writer.add(`OU=quiet,${staff.base}`, { objectClass: 'organizationalUnit' });
      expect(await changes()).toEqual([]);
      expect(BigInt(position.highestCommittedUSN)).toBeGreaterThan(BigInt(before.highestCommittedUSN));
      expect(position.seen).toEqual({ [session.invocationId]: position.highestCommittedUSN });
      // What was read before does not come again.
      const { observations } = await readAll(session.read(position));
      expect(observations.map((each) => each.objectGUID)).not.toContain(objectGUID);
    });

    it('reports a new account whole', async () => {
      const dn = await staff.create('new1', { mail: 'new1@example.test', displayName: 'New Öne' });
      expect(await changes()).toEqual([
        {
          objectGUID: expect.any(String),
          dn,
          changed: {
            objectClass: ['top', 'person', 'organizationalPerson', 'user'],
            objectSid: expect.stringContaining(`${position.domainSid}-`),
            sAMAccountName: 'new1',
            userAccountControl: 544,
            mail: 'new1@example.test',
            displayName: 'New Öne',
          },
        },
      ]);
    });

    it('reports a rename, one of case only, a modification, a cleared attribute, a disabling', async () => {
      const { dn, objectGUID } = await created('kind1', { mail: 'kind1@example.test' });
      for (const [type, values, changed] of [
        ['sAMAccountName', ['kind2'], { sAMAccountName: 'kind2' }],
        ['sAMAccountName', ['KIND2'], { sAMAccountName: 'KIND2' }],
        ['displayName', ['Kind Two'], { displayName: 'Kind Two' }],
        ['mail', [], { mail: null }],
        ['userAccountControl', ['546'], { userAccountControl: 546 }],
      ] as const) {
        await staff.set(dn, type, ...values);
        expect(await changes()).toEqual([{ objectGUID, dn, changed }]);
      }
      await staff.set(dn, 'userAccountControl', '546');
      expect(await changes()).toEqual([]);
    });

    it('reports a deletion, and an account that was brought back as such', async () => {
      const { dn, objectGUID } = await created('mortal', { givenName: 'Mort' });
      await place().writer.del(dn);
      const [deleted, ...others] = await changes();
      expect(others).toEqual([]);
      expect(deleted).toMatchObject({
        objectGUID,
        deleted: true,
        dn: expect.stringContaining(`\\0ADEL:${objectGUID},CN=Deleted Objects,`),
      });
      expect(await changes()).toEqual([]);
      await staff.reanimate(deleted?.dn ?? '', dn);
      const [reanimated, ...more] = await changes();
      expect(more).toEqual([]);
      expect(reanimated).toMatchObject({ objectGUID, dn, deleted: false });
    });

    it('reports an account that came and went between two reads as deleted', async () => {
      await place().writer.del(await staff.create('mayfly'));
      expect(await changes()).toMatchObject([{ deleted: true }]);
    });

    it('reports the last of several changes, and a swap as two', async () => {
      await created('left');
      await created('right');
      for (const [cn, name] of [
        ['left', 'interim'],
        ['right', 'left'],
        ['left', 'right'],
      ] as const)
        await staff.set(staff.dnOf(cn), 'sAMAccountName', name);
      expect((await changes()).map(({ dn, changed }) => [dn, changed]).sort()).toEqual([
        [staff.dnOf('left'), { sAMAccountName: 'right' }],
        [staff.dnOf('right'), { sAMAccountName: 'left' }],
      ]);
    });

    it('reports nothing new of an account that was moved or whose CN was changed, and what is changed of it later', async () => {
      const { objectGUID, dn } = await created('mover');
      const moved = `CN=moved,OU=Elsewhere,${staff.base}`;
      await place().writer.modifyDN(dn, moved);
      expect(await changes()).toEqual([]);
      await staff.set(moved, 'sn', 'Moved');
      expect(await changes()).toEqual([{ objectGUID, dn: moved, changed: { sn: 'Moved' } }]);
    });

    it('reports a computer with its class', async () => {
      await place().writer.add(staff.dnOf('PC1'), { objectClass: 'computer', sAMAccountName: 'PC1$' });
      expect(await changes()).toMatchObject([{ changed: { sAMAccountName: 'PC1$', objectClass: expect.arrayContaining(['computer']) } }]);
    });

    it('reads everything whole: what is not set is cleared, whatever was known of it (SPEC rule 5)', async () => {
      const { objectGUID } = await created('whole1');
      const { observations } = await readAll(session.read(undefined));
      expect(observations.find((each) => each.objectGUID === objectGUID)).toEqual({
        objectGUID,
        dn: staff.dnOf('whole1'),
        seen: {
          objectClass: expect.arrayContaining(['user']),
          objectSid: expect.any(String),
          sAMAccountName: 'whole1',
          userAccountControl: 544,
          userPrincipalName: null,
          displayName: null,
          givenName: null,
          sn: null,
          mail: null,
        },
      });
    });

    it('goes on in another session where the one before ended', async () => {
      await staff.create('resumed1');
      await using next = await place().open(position);
      expect(next.resume).toEqual({ position });
      expect(await changes(next)).toMatchObject([{ changed: { sAMAccountName: 'resumed1' } }]);
      expect(await changes(next)).toEqual([]);
    });

    it('notices that the domain controller was rolled back, restored, or that its domain was built anew', async () => {
      const nobody = '00000000-0000-4000-8000-000000000000';
      for (const [reason, change] of [
        ['rolled back', { highestCommittedUSN: '99999999' }],
        ['rolled back', { seen: { [session.invocationId]: '99999999' } }],
        ['restored', { invocationId: nobody }],
        ['built anew', { domainSid: 'S-1-5-21-1-2-3' }],
        ['remembers deletions for 180 days', { readAt: new Date(Date.now() - 181 * 86_400_000).toISOString() }],
      ] as const) {
        await using other = await place().open({ ...position, ...change });
        expect(other.resume).toMatchObject({ position: undefined, reason: expect.stringContaining(reason), lossy: true });
      }
    });

    it('wakes at a change, also at a deletion', async () => {
      let woken = 0;
      session.wakes.subscribe(() => {
        woken += 1;
      });
      const dn = staff.dnOf('waker');
      for (const change of [() => staff.create('waker'), () => staff.set(dn, 'sn', 'Up'), () => place().writer.del(dn)]) {
        const before = woken;
        await change();
        await expect.poll(() => woken, { interval: 2, timeout: 7_000 }).toBeGreaterThan(before);
      }
    });
  });
}
