import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import { until } from '../support/chain-wait.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { DIRSYNC, FakeDomainController, type Refusal } from '../support/fake-domain-controller.ts';
import { LdapServer } from '../support/ldap-server.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { READING } from '../support/reading-settings.ts';
import { Listening } from './listening.ts';
import { urlOf } from './scripted-dc.ts';
import { settingsOf } from './scripted-dcs.ts';

/** In Windows' words: its source is disabled for replication, as on a read-only one; the same told as access denied. */
const REFUSALS: readonly (readonly [string, Refusal])[] = [
  ['is unwilling', { code: 53, diagnostic: '00002108: SvcErr: DSID-03140D2A, problem 5003 (WILL_NOT_PERFORM), data 0\0' }],
  ['denies access', { code: 50, diagnostic: '00002105: LdapErr: DSID-0C0909EB, comment: Error processing control, data 0, v4563\0' }],
  ['does not know the control', { code: 12, diagnostic: '00002040: LdapErr: DSID-0C090D3B, comment: Unavailable critical extension\0' }],
];

/** Two domain controllers that replicate at once, the first preferred. */
class Pair implements AsyncDisposable {
  readonly one = new FakeDomainController(new FakeDirectory());
  readonly two = new FakeDomainController(
    new FakeDirectory({ host: 'dc2.corp.example.test', invocationId: 'd0000002-0000-4000-8000-000000000002' }),
  );
  readonly ann: string;
  readonly log = new MemoryChangeLog();
  readonly #mark: string;
  readonly #releases = new AsyncDisposableStack();
  readonly #servers: LdapServer[] = [];
  #marks = 0;

  constructor() {
    const { directory } = this.one;
    this.#mark = directory.addUser({ sAMAccountName: 'mark' });
    this.ann = directory.addUser({ sAMAccountName: 'ann' });
    for (let index = 0; index < 20; index += 1) directory.addUser({ sAMAccountName: `user${index}` });
    this.replicate();
  }

  replicate(): void {
    this.two.directory.pull(this.one.directory);
    this.one.directory.pull(this.two.directory);
  }

  rename(sAMAccountName: string): void {
    this.two.directory.modify(this.ann, { sAMAccountName });
    this.replicate();
  }

  refuseDirSync(dc: FakeDomainController, refusal: Refusal): void {
    dc.refuse = ({ controls }) => (controls.has(DIRSYNC) ? refusal : undefined);
  }

  /** On the domain controllers in this order. */
  async listener(dcs: readonly FakeDomainController[], more: Partial<DirectorySettings> = {}): Promise<Listening> {
    const servers = await Promise.all(dcs.map(({ answer }) => LdapServer.start(answer)));
    for (const server of servers) this.#releases.use(server);
    this.#servers.push(...servers);
    const mark = async () => {
      const mail = `mark${++this.#marks}@example.test`;
      this.one.directory.modify(this.#mark, { mail });
      this.replicate();
      return ({ known }: MemoryChangeLog) => known.identity(this.#mark)?.mail === mail;
    };
    const source = ldapDirectorySource(settingsOf(servers.map(urlOf), more));
    return this.#releases.use(new Listening(source, this.#mark, mark, this.log, { ...READING, readEvery: 200 }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#releases.disposeAsync();
  }
}

let pair: Pair;

beforeEach(() => {
  pair = new Pair();
});

afterEach(() => pair[Symbol.asyncDispose]());

const settingsOfService = () => {
  const { directory } = pair.one;
  return directory.objects().find(({ dn }) => dn === directory.service)?.objectGUID ?? expect.unreachable();
};
const connectedTo = (listening: Listening) => listening.reportsOf('connected').map(({ dc }) => dc.split('.')[0]);

describe('a read-only domain controller', () => {
  it.each<[string, Record<string, string | string[]>]>([
    ['by an attribute', { 'msDS-isRODC': 'TRUE' }],
    ['by its class', { objectClass: ['top', 'applicationSettings', 'nTDSDSARO'] }],
  ])('that says so (%s) is passed over, with the reason', async (_, values) => {
    pair.one.directory.modify(settingsOfService(), values);
    const listening = await (await pair.listener([pair.one, pair.two])).start();
    expect(listening.reportsOf('connected')).toMatchObject([
      { dc: 'dc2.corp.example.test', passedOver: [{ dc: 'dc1.corp.example.test', reason: expect.stringContaining('read-only') }] },
    ]);
    expect(await listening.events(async () => pair.rename('anne'))).toMatchObject([{ kind: 'renamed', observed: { via: 'dirsync' } }]);
  });

  it.each(REFUSALS)('that %s only when it is read is left for the next one, at the first read', async (_, refusal) => {
    pair.refuseDirSync(pair.one, refusal);
    const listening = await (await pair.listener([pair.one, pair.two])).start();
    expect(connectedTo(listening)).toEqual(['dc1', 'dc2']);
    expect(listening.reportsOf('leaving')).toHaveLength(1);
    expect(listening.reportsOf('leaving')[0]?.error.message).toContain(`${refusal.code}: ${refusal.diagnostic?.slice(0, 8)}`);
    expect(listening.reportsOf('waiting')).toEqual([]);
    expect(await listening.events(async () => pair.rename('anne'))).toMatchObject([{ kind: 'renamed' }]);
    expect(pair.log.known.identities).toEqual(pair.one.directory.identities());
  });

  it.each(REFUSALS)('that %s only when it is read is left for the next one, with a position of another one', async (_, refusal) => {
    const before = await (await pair.listener([pair.two])).start();
    await before.stop();
    pair.refuseDirSync(pair.one, refusal);
    pair.rename('anne');
    const listening = await (await pair.listener([pair.one, pair.two])).start();
    expect(connectedTo(listening)).toEqual(['dc1', 'dc2']);
    expect(pair.log.events.filter(({ objectGUID }) => objectGUID === pair.ann).map(({ kind }) => kind)).toEqual(['renamed']);
    expect(pair.log.notices).toEqual([]);
    expect(pair.log.known.identities).toEqual(pair.one.directory.identities());
  });

  it('that refuses each time it is gone back to does no harm: nothing is missed or told twice', async () => {
    pair.refuseDirSync(pair.one, { code: 53, diagnostic: '00002108: SvcErr' });
    const listening = await (await pair.listener([pair.one, pair.two], { probeEvery: 20, failBackAfter: 100 })).start();
    const backTo = () => connectedTo(listening).filter((dc) => dc === 'dc1').length;
    for (let times = 1; times < 4; times += 1) {
      pair.rename(`ann${times}`);
      await until('it is gone back to', async () => backTo() > times);
    }
    await listening.events(async () => {});
    expect(pair.log.events.filter(({ objectGUID }) => objectGUID === pair.ann).map(({ after }) => after?.sAMAccountName)).toEqual([
      'ann1',
      'ann2',
      'ann3',
    ]);
    expect(pair.log.notices).toEqual([]);
    expect(pair.log.known.identities).toEqual(pair.two.directory.identities());
  });

  it.each(REFUSALS)('that %s is read by uSNChanged where that is allowed and no other one is there', async (_, refusal) => {
    pair.refuseDirSync(pair.one, refusal);
    const listening = await (await pair.listener([pair.one], { source: 'auto' })).start();
    expect(listening.reportsOf('waiting').map(({ error }) => error.message)).toEqual([expect.stringContaining('read by uSNChanged')]);
    expect(listening.reportsOf('connected').at(-1)).toMatchObject({
      limits: [expect.stringContaining('uSNChanged'), ...Array(2).fill(expect.anything())],
    });
    expect(await listening.events(async () => pair.rename('anne'))).toMatchObject([{ kind: 'renamed', observed: { via: 'usn' } }]);
    expect(await listening.eventsAfterAbsence(async () => pair.rename('ann'))).toMatchObject([
      { kind: 'renamed', observed: { via: 'usn' } },
    ]);
    expect(pair.log.notices).toEqual([]);
  });

  it('is left for one that serves DirSync also where uSNChanged is allowed', async () => {
    pair.refuseDirSync(pair.one, { code: 53, diagnostic: '00002108: SvcErr' });
    const listening = await (await pair.listener([pair.one, pair.two], { source: 'auto' })).start();
    expect(connectedTo(listening)).toEqual(['dc1', 'dc2']);
    expect(await listening.events(async () => pair.rename('anne'))).toMatchObject([{ kind: 'renamed', observed: { via: 'dirsync' } }]);
  });

  it('that begins to refuse is read by uSNChanged after a comparison, if that is allowed, and stays so', async () => {
    const listening = await (await pair.listener([pair.one], { source: 'auto' })).start();
    pair.refuseDirSync(pair.one, { code: 53, diagnostic: '00002108: SvcErr' });
    const events = await listening.events(async () => pair.rename('anne'));
    expect(events).toMatchObject([{ kind: 'renamed', observed: { via: 'comparison' } }]);
    expect(pair.log.notices).toMatchObject([{ reason: expect.stringContaining('uSNChanged is used now') }]);
    expect(await listening.events(async () => pair.rename('ann'))).toMatchObject([{ kind: 'renamed', observed: { via: 'usn' } }]);
    pair.one.refuse = () => undefined;
    expect(await listening.eventsAfterAbsence(async () => pair.rename('anne'))).toMatchObject([{ observed: { via: 'usn' } }]);
    expect(pair.log.notices).toHaveLength(1);
  });
});

describe('by uSNChanged', () => {
  it('the first read of another domain controller is a comparison, and nothing is called lost; from then on each goes on where it was read', async () => {
    const listening = await (await pair.listener([pair.one], { source: 'usn' })).start();
    await listening.stop();
    pair.rename('anne');
    const elsewhere = await (await pair.listener([pair.two], { source: 'usn' })).start();
    expect(elsewhere.reportsOf('connected').map(({ fullRead }) => fullRead)).toEqual([
      'dc2.corp.example.test was never read by uSNChanged before',
    ]);
    expect(await elsewhere.events(async () => pair.rename('annie'))).toMatchObject([{ kind: 'renamed', observed: { via: 'usn' } }]);
    await elsewhere.stop();
    pair.rename('ann');
    const back = await (await pair.listener([pair.one], { source: 'usn' })).start();
    expect(back.reportsOf('connected').map(({ fullRead }) => fullRead)).toEqual([undefined]);
    const ofAnn = pair.log.events.filter(({ objectGUID }) => objectGUID === pair.ann);
    expect(ofAnn.map(({ after, observed }) => [after?.sAMAccountName, observed.via])).toEqual([
      ['anne', 'comparison'],
      ['annie', 'usn'],
      ['ann', 'usn'],
    ]);
    expect(pair.log.notices).toEqual([]);
    expect(pair.log.known.identities).toEqual(pair.one.directory.identities());
  });
});
