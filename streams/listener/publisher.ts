import type { ListenerLog, ListenerRequest } from '../change-log.ts';
import type { DirectorySession } from '../directory-source.ts';
import { durationText } from '../duration.ts';
import type { Observation } from '../observation.ts';
import { joined, type Vector, without } from '../origin.ts';
import { begun, isNews, lastOf, type Position, recentOn, type SeenWrite } from '../position.ts';
import { AheadReader, type ReadyPage } from './ahead.ts';
import { Draft } from './draft.ts';
import { GuidSet } from './guid-set.ts';
import { learning } from './learning.ts';
import type { ListenerReport } from './listener.ts';
import { inPortions, lookUp } from './missing.ts';
import { takeMoved } from './moves.ts';
import type { Neighbours } from './neighbours.ts';
import { isPast, type Loss, lacking, modeOf, type PublisherSettings, positionAfter, type Read } from './read.ts';
import { crossings, ScopeWatch, unread } from './scope.ts';
import type { Shown } from './settle.ts';
import { deletionDrafts, isOfAnother, type Taken, type Taking, take } from './taking.ts';
import { isAccepted, Withholding } from './withholding.ts';

/** Milliseconds between two looks at accounts that wait for their domain controller to catch up. */
const LOOK_AGAIN = 30_000;
/** Milliseconds: a comparison is a load on the domain controller, and changes of others go on being reported in between. */
const PAUSE = { comparison: 300_000, changes: 5_000 };
/** From how many known accounts on that come whole where only changes were asked for the cookie was not understood. */
const REPEATED = 10;

/** Of a domain that is read for the first time nothing has to be looked up: its accounts come whole, and nobody is told. */
const NOBODY: Taking['known'] = { identity: () => undefined, holder: () => undefined, formerHolder: () => undefined, origins: () => ({}) };

const OUT_OF_SIGHT =
  'it is not shown any more, and not as deleted either: out of sight of the account that reads; what is known of it is kept';

/** Turns pages into events and known identities, and keeps where to read on. */
export class Publisher {
  readonly #session: DirectorySession;
  readonly #log: ListenerLog;
  readonly #neighbours: Neighbours;
  readonly #settings: PublisherSettings;
  readonly #scopeWatch: ScopeWatch;
  #loss: Loss | undefined;
  #position: Position | undefined;
  #read: Read;
  #writes: readonly SeenWrite[];
  #hasBegun = false;
  #stored = 0;
  readonly #withholding: Withholding;
  #lookedAgain = Number.NEGATIVE_INFINITY;

  /**
   * @param position where to read on; undefined: everything has to be read
   * @param loss why the stored position is lost, if it is
   */
  constructor(
    session: DirectorySession,
    position: Position | undefined,
    loss: Loss | undefined,
    log: ListenerLog,
    neighbours: Neighbours,
    settings: PublisherSettings,
  ) {
    this.#session = session;
    this.#log = log;
    this.#neighbours = neighbours;
    this.#settings = settings;
    this.#withholding = new Withholding(session, log, settings.deletionLimit);
    this.#scopeWatch = new ScopeWatch(session, settings.scopeEvery);
    this.#position = position;
    this.#loss = loss;
    this.#writes = position === undefined ? [] : recentOn(session.invocationId, position);
    this.#read = this.#newRead([]);
  }

  /** Begins the next read. @returns what gives the pages to publish */
  begin(requests: readonly ListenerRequest[]): AheadReader {
    this.#read = this.#newRead(requests);
    if (this.#read.mode !== 'changes') return new AheadReader(this.#session.read(undefined), undefined);
    // Whoever changed is read whole, except where most of them are nobody's business.
    const readObjects = (objectGUIDs: readonly string[]) => this.#session.readObjects(objectGUIDs);
    return new AheadReader(this.#session.read(this.#position), this.#session.scope === undefined ? readObjects : undefined);
  }

  /** Rejects when the signal aborts before there is anything to publish. */
  async publish(page: ReadyPage, signal: AbortSignal): Promise<ListenerReport[]> {
    const read = this.#read;
    const reports = this.#loss === undefined ? [] : await this.#tellLoss(this.#loss);
    if (read.mode !== 'changes') read.members ??= await this.#scopeWatch.members(signal);
    const draft = await this.#take(page.observations, reports, signal, { members: read.members, wholes: page.wholes });
    read.objects += page.observations.length;
    if (page.last && page.position !== undefined) {
      reports.push(...(await this.#finish(page.position, draft, signal)));
    } else if (read.mode === 'baseline') {
      reports.push(...(await this.#append(draft, this.#baselineBegun())));
    } else {
      // A position in the middle is good only where nothing has been put off to the end.
      const isGood = read.mode === 'changes' && read.deletions.size === 0 && page.position !== undefined;
      reports.push(...(await this.#append(draft, isGood ? this.#midway(page.position) : undefined)));
    }
    // In a later answer of the same read an account of an earlier one can come again, also as deleted.
    if (page.position) read.known = this.#log;
    if (read.mode !== 'changes') {
      const { objects, differences } = read;
      const milliseconds = Math.round(performance.now() - read.began);
      const { namingContext } = this.#session;
      const waiting = page.last ? Object.keys(this.#position?.held ?? {}).length : 0;
      reports.push({ type: 'read-progress', namingContext, objects, differences, done: page.last, waiting, milliseconds });
    }
    return reports;
  }

  /** Milliseconds before the same is read again while it waits for a person or a domain controller; undefined: nothing waits. */
  get pause(): number | undefined {
    if (this.#position?.withheld === undefined && this.#position?.heldSince === undefined) return undefined;
    return this.#read.mode === 'comparison' ? PAUSE.comparison : PAUSE.changes;
  }

  /** What is known of the accounts of a domain of which nobody is known: some may have been moved there from another one. */
  get #strangers(): Taking['known'] {
    return this.#neighbours.isAny ? { ...NOBODY, identity: (objectGUID) => this.#log.identity(objectGUID) } : NOBODY;
  }

  /** Milliseconds until a look at who is in scope that was put off; undefined: none was. */
  get scopeWait(): number | undefined {
    return this.#scopeWatch.wait;
  }

  get #before(): Position | undefined {
    return this.#position ?? this.#log.position(this.#session.namingContext);
  }

  #newRead(requests: readonly ListenerRequest[]): Read {
    const { namingContext, domain } = this.#session;
    const mine = requests.filter((request) => request.namingContext.toLowerCase() === namingContext.toLowerCase());
    const stored = this.#log.position(namingContext);
    const mode = this.#loss === undefined ? modeOf(this.#position, stored, mine, this.#session, this.#settings.compareEvery) : 'comparison';
    return {
      mode,
      lossy: (stored?.comparing ?? this.#loss)?.lossy ?? false,
      rebuilt: (stored?.comparing ?? this.#loss)?.rebuilt ?? false,
      seen: this.#seenBefore(),
      found: new GuidSet(),
      deletions: new Map(),
      waiting: new Set(),
      setAside: new Map(mode === 'changes' ? Object.entries(this.#before?.setAside ?? {}) : []),
      requests: mine,
      began: performance.now(),
      members: undefined,
      learning: mode === 'comparison' && stored !== undefined ? learning(stored.profile, this.#session.attributes) : undefined,
      known: mode === 'baseline' && !this.#log.knows(domain) ? this.#strangers : this.#log,
      objects: 0,
      differences: 0,
      repeated: 0,
      told: {},
      lookedAgain: false,
    };
  }

  #seenBefore(): Vector {
    return this.#loss?.rebuilt ? {} : without(this.#before?.seen ?? {}, this.#loss?.forget ?? []);
  }

  /** Stays in the log until everything has been compared, also over a restart; it is told once. */
  async #tellLoss({ reason, lossy, rebuilt, forget }: Loss): Promise<ListenerReport[]> {
    const { namingContext, dc } = this.#session;
    const before = this.#before ?? begun(namingContext, dc);
    const position = {
      ...before,
      seen: this.#seenBefore(),
      comparing: { reason, lossy, ...(rebuilt && { rebuilt }) },
      ...(rebuilt ? { held: {}, told: {} } : { told: without(before.told, forget) }),
    };
    const notice = { kind: 'position-lost', namingContext, dc, reason, time: new Date().toISOString() } as const;
    await this.#log.append({ namingContext, changes: [], identities: new Map(), notices: [notice], position });
    this.#position = position;
    this.#loss = undefined;
    return [{ type: 'position-lost', namingContext, dc, reason }];
  }

  async #take(
    observations: readonly Observation[],
    reports: ListenerReport[],
    signal: AbortSignal,
    { members, wholes, ...more }: Partial<Pick<Taking, 'members' | 'wholes'>> & { shown?: Shown; overdue?: boolean } = {},
  ): Promise<Draft> {
    const read = this.#read;
    const { session, via } = { session: this.#session, via: read.mode === 'comparison' ? ('comparison' as const) : this.#session.via };
    const view = { seen: read.seen, ...more };
    const taken = await take(observations, {
      session,
      known: read.known,
      view,
      members,
      wholes,
      learning: read.learning,
      via,
      isBaseline: read.mode === 'baseline',
      signal,
    });
    for (const { objectGUID } of observations) {
      if (read.mode === 'comparison') read.found.add(objectGUID);
      read.deletions.delete(objectGUID);
      read.waiting.delete(objectGUID);
      read.setAside.delete(objectGUID);
    }
    for (const deletion of taken.deletions) read.deletions.set(deletion.objectGUID, deletion);
    for (const objectGUID of taken.waiting) read.waiting.add(objectGUID);
    for (const about of taken.setAside) this.#setAside(about, reports);
    read.differences += taken.draft.changes.length;
    read.repeated += taken.repeated;
    for (const { origin } of taken.writes) read.told = joined(read.told, { [origin.invocationId]: origin.usn });
    this.#writes = lastOf([...this.#writes, ...taken.writes]);
    return taken.draft;
  }

  #setAside(about: Taken['setAside'][number], reports: ListenerReport[]): void {
    this.#read.setAside.set(about.objectGUID, about.reason);
    reports.push({ type: 'set-aside', ...about });
  }

  async #finish(position: Position, draft: Draft, signal: AbortSignal): Promise<ListenerReport[]> {
    const read = this.#read;
    const reports: ListenerReport[] = [];
    let rest = draft;
    if (read.mode === 'comparison') {
      reports.push(...(await this.#append(rest, undefined)));
      rest = await this.#missing(reports, signal);
    }
    if (read.mode !== 'changes' || (await this.#scopeWatch.isDue(signal))) {
      rest = await this.#lookWhoIsInScope(rest, reports, signal);
    }
    if (this.#hasToLookAgain()) {
      reports.push(...(await this.#append(rest, undefined)));
      rest = await this.#lookAgain(reports, signal);
    }
    const patience = await this.#takeMoved(reports, signal);
    if (this.#withholding.isNeeded(read, this.#before)) {
      const told = joined(this.#before?.told ?? {}, read.told);
      this.#position = { ...this.#withholding.position(read, this.#before), told };
      reports.push(...(await this.#append(rest, this.#position)), ...this.#withholding.remind(this.#position));
      return reports;
    }
    this.#putOff(patience);
    const drafts = deletionDrafts(rest, [...read.deletions.values()], read.mode !== 'baseline');
    if (read.mode !== 'baseline') read.differences += read.deletions.size;
    const after = this.#after(position);
    for (const [index, each] of drafts.entries()) {
      reports.push(...(await this.#append(each, index === drafts.length - 1 ? after : undefined)));
    }
    this.#position = after;
    this.#withholding.over();
    if (this.#session.via === 'dirsync' && read.mode === 'changes' && read.repeated >= REPEATED && read.repeated * 2 > read.objects) {
      this.#loss = {
        reason: `${this.#session.dc} did not understand the position and answered with everything`,
        lossy: false,
        forget: [],
        rebuilt: false,
      };
    }
    this.#loss ??= this.#neverCame(after, position);
    return reports;
  }

  /** What was seen on another domain controller and has not come to this one for so long was lost with it, and nobody may tell of it. */
  #neverCame({ dc, seen, told, lackingSince }: Position, position: Position): Loss | undefined {
    const { maxLag } = this.#settings;
    const isWaitedFor = lackingSince === undefined || !isPast(lackingSince, maxLag);
    if (this.#read.mode !== 'changes' || isWaitedFor || lacking(position, told).length === 0) return undefined;
    return {
      reason: `${dc} has not heard for ${durationText(maxLag)} of everything that was seen on another domain controller: it may be lost`,
      lossy: true,
      // It may be this one that was put back: then it has given numbers of its own, that were seen by way of the other one, to other writes.
      forget: [...lacking(position, seen), position.invocationId],
      rebuilt: false,
    };
  }

  /** Who is known and was not in the read, looked up one by one before anything is called deleted. */
  async #missing(reports: ListenerReport[], signal: AbortSignal): Promise<Draft> {
    const read = this.#read;
    let draft = new Draft(this.#log);
    const shown = { vector: await this.#session.vector(), invocationId: this.#session.invocationId };
    for (const guids of inPortions(this.#log.objectGUIDs(this.#session.domain), (guid) => !read.found.has(guid))) {
      const { present, absent } = await lookUp(guids, this.#session, this.#log, { seen: read.seen, shown }, signal);
      reports.push(...(await this.#append(draft, undefined)));
      // Other settings hold for those as well of whom nothing is shown.
      draft = await this.#take([...present, ...unread(absent.map(({ objectGUID }) => objectGUID))], reports, signal, { shown });
      for (const { objectGUID, isBehind, isRefused, observed } of absent) {
        if (!read.lossy || isRefused) this.#setAside({ objectGUID, dn: '', reason: OUT_OF_SIGHT }, reports);
        else if (isBehind && !read.rebuilt) read.waiting.add(objectGUID);
        else read.deletions.set(objectGUID, { objectGUID, observed });
      }
    }
    read.found.clear();
    return draft;
  }

  /** @returns milliseconds for which who seems to be deleted may still turn up in another domain */
  async #takeMoved(reports: ListenerReport[], signal: AbortSignal): Promise<number> {
    const { deletions, mode } = this.#read;
    const { moved, patience } = await takeMoved(deletions, {
      log: this.#log,
      neighbours: this.#neighbours,
      isOverdue: (objectGUID, milliseconds) => this.#isOverdue(objectGUID, milliseconds),
      maxLag: this.#settings.maxLag,
      isComparison: mode === 'comparison',
      signal,
    });
    for (const { draft, namingContext } of moved) {
      this.#read.differences += draft.changes.length;
      reports.push(...(await this.#append(draft, undefined, namingContext)));
    }
    return patience;
  }

  /** Who may have been moved waits, unless a person has accepted the deletion. */
  #putOff(patience: number): void {
    const { deletions, waiting, mode } = this.#read;
    if (mode === 'baseline' || isAccepted(this.#read, this.#before)) return;
    for (const objectGUID of deletions.keys()) {
      if (this.#isOverdue(objectGUID, patience)) continue;
      deletions.delete(objectGUID);
      waiting.add(objectGUID);
    }
  }

  #isOverdue(objectGUID: string, after: number): boolean {
    const now = Date.now();
    return now - (Date.parse(this.#before?.held[objectGUID] ?? this.#before?.heldSince ?? '') || now) >= after;
  }

  /** Those who came into the scope or left it unseen: in a read of everything only while that went on. */
  async #lookWhoIsInScope(found: Draft, reports: ListenerReport[], signal: AbortSignal): Promise<Draft> {
    const read = this.#read;
    const members = await this.#scopeWatch.members(signal);
    if (members === undefined) return found;
    let draft = found;
    const before = read.members ?? this.#log.objectGUIDs(this.#session.domain);
    for (const guids of crossings(before, members, (guid) => read.deletions.has(guid) || this.#log.identity(guid) !== undefined)) {
      reports.push(...(await this.#append(draft, read.mode === 'baseline' ? this.#baselineBegun() : undefined)));
      read.known = this.#log;
      draft = await this.#take(unread(guids), reports, signal);
    }
    return draft;
  }

  #hasToLookAgain(): boolean {
    const held = Object.keys(this.#before?.held ?? {});
    const isNew = [...this.#read.waiting].some((objectGUID) => !held.includes(objectGUID));
    const isDue = performance.now() - this.#lookedAgain >= Math.min(LOOK_AGAIN, this.#settings.movesWithin || LOOK_AGAIN);
    // What is withheld has to be found each time, so that it can be accepted.
    return this.#read.mode !== 'baseline' && (isNew || (held.length > 0 && (isDue || this.#before?.withheld !== undefined)));
  }

  /** Whether the domain controller has caught up, knows better, or has had its time. */
  async #lookAgain(reports: ListenerReport[], signal: AbortSignal): Promise<Draft> {
    this.#lookedAgain = performance.now();
    const read = this.#read;
    read.lookedAgain = true;
    const held = this.#before?.held ?? {};
    const guids = [...new Set([...Object.keys(held), ...read.waiting])];
    const isOverdue = (objectGUID: string) => this.#isOverdue(objectGUID, this.#settings.maxLag);
    let draft = new Draft(this.#log);
    const shown = { vector: await this.#session.vector(), invocationId: this.#session.invocationId };
    for (const overdue of [false, true]) {
      for (const some of inPortions(guids, (objectGUID) => isOverdue(objectGUID) === overdue)) {
        const { present, absent } = await lookUp(some, this.#session, this.#log, { seen: read.seen, shown }, signal);
        reports.push(...(await this.#append(draft, undefined)));
        draft = await this.#take(present, reports, signal, { shown, overdue });
        for (const { objectGUID, isRefused, observed } of absent) {
          if (isOfAnother(this.#log.identity(objectGUID), this.#session.domain)) continue;
          if (overdue && !isRefused) read.deletions.set(objectGUID, { objectGUID, observed });
          else read.waiting.add(objectGUID);
        }
      }
    }
    return draft;
  }

  /** Before the end of a read no request has been served, and what is withheld still is. */
  #midway(position: Position): Position {
    const { served = [], withheld } = this.#before ?? {};
    return { ...this.#after(position), served, ...(withheld && { withheld }) };
  }

  #after(position: Position): Position {
    const after = positionAfter(position, this.#read, this.#before, this.#writes, this.#settings.maxLag);
    return { ...after, passedOver: [...this.#session.passedOver] };
  }

  async #append(draft: Draft, position: Position | undefined, namingContext = this.#session.namingContext): Promise<ListenerReport[]> {
    if (draft.identities.size === 0 && !this.#isDue(position)) return [];
    const { changes, identities, origins } = draft;
    const events = await this.#log.append({ namingContext, changes, identities, origins, position });
    if (position) this.#stored = performance.now();
    return events.length > 0 ? [{ type: 'published', events }] : [];
  }

  /** A full read is never forgotten once it is over: the next start would do it again. */
  #isDue(position: Position | undefined): boolean {
    if (position === undefined) return false;
    const stored = this.#log.position(this.#session.namingContext);
    return (
      this.#read.mode !== 'changes' ||
      stored === undefined ||
      isNews(position, stored) ||
      performance.now() - this.#stored >= this.#settings.positionEvery
    );
  }

  /** A position from the middle of the first read would make the rest look created: all that is stored is that it has begun. */
  #baselineBegun(): Position | undefined {
    if (this.#hasBegun || this.#log.position(this.#session.namingContext) !== undefined) return undefined;
    this.#hasBegun = true;
    return begun(this.#session.namingContext, this.#session.dc);
  }
}
