import { sameName } from '../../streams/identity.ts';
import type { Population } from './chain-population.ts';
import type { Random } from './chain-random.ts';
import type { Stage } from './chain-stage.ts';

const PARENTS = ['OU=People', 'OU=Staff', 'OU=Bulk'];

/** Random changes of accounts as another LDAP client makes them, one after the other. */
export class Operations {
  /** How many of each kind were done. */
  readonly counts = new Map<string, number>();
  readonly #stage: Stage;
  readonly #population: Population;
  readonly #random: Random;
  /** Those that are changed; everybody else stays as they are. */
  readonly #subjects: Set<string>;
  readonly #freed = new Set<string>();
  /** Names that records of deleted accounts show for ever: whoever has a record cannot get them without a person's decision. */
  readonly #buried = new Set<string>();
  /** Renamed since the records were seen to be right. */
  readonly #unsettled = new Set<string>();
  #fresh = 0;

  constructor(stage: Stage, population: Population, random: Random, subjects: Iterable<string>) {
    this.#stage = stage;
    this.#population = population;
    this.#random = random;
    this.#subjects = new Set(subjects);
  }

  /** The caller has seen that every record is right. */
  settled(): void {
    this.#unsettled.clear();
  }

  async perform(): Promise<void> {
    const kinds = [
      ['rename', 8, () => this.#rename(this.#someone(), this.#freshName(), this.#random.chance(0.6))],
      ['case', 3, () => this.#changeCase(this.#someone())],
      ['swap', 3, () => this.#swap()],
      ['reuse', 5, () => this.#reuse()],
      ['create', 4, () => this.#create(this.#freshName())],
      ['create-reused', 2, () => this.#create(this.#freedName('nobody') ?? this.#freshName())],
      ['delete', 2, () => this.#delete()],
      ['disable', 2, () => this.#change(this.#someone(), (guid) => this.#stage.admin.disable(guid))],
      ['enable', 2, () => this.#change(this.#someone(), (guid) => this.#stage.admin.enable(guid))],
      ['move', 2, () => this.#change(this.#someone(), (guid) => this.#stage.admin.move(guid, this.#random.pick(PARENTS)))],
      ['profile', 2, () => this.#profile()],
      ['upn', 2, () => this.#set({ userPrincipalName: this.#principalName(this.#freshName()) })],
    ] as const;
    const [kind, , operation] = this.#random.pick(kinds.flatMap((entry) => Array<typeof entry>(entry[1]).fill(entry)));
    await operation();
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  #someone(): string {
    return this.#random.pick([...this.#subjects]);
  }

  #freshName(): string {
    this.#fresh++;
    return `${this.#random.pick(['Lo', 'mi', 'TA', 'ne'])}-${this.#fresh}-${this.#random.below(10_000)}`;
  }

  #principalName(prefix: string): string {
    return `${prefix}@${this.#stage.bed.directory.realm.toLowerCase()}`;
  }

  /** A name that somebody gave up and nobody has. */
  #freedName(objectGUID: string): string | undefined {
    const buried = this.#population.records.has(objectGUID) ? this.#buried : new Set<string>();
    const free = [...this.#freed].filter((name) => !this.#population.isTaken(name) && !buried.has(name.toLowerCase()));
    return free.length === 0 ? undefined : this.#random.pick(free);
  }

  async #change(objectGUID: string, body: (objectGUID: string) => Promise<unknown>): Promise<void> {
    await this.#population.change(objectGUID, () => body(objectGUID));
  }

  #nameOf(objectGUID: string): string {
    return this.#population.now(objectGUID)?.sAMAccountName ?? '';
  }

  /** With the userPrincipalName as a rule, which the directory reserves as a name as well. */
  async #rename(objectGUID: string, to: string, withPrincipalName = true): Promise<void> {
    const from = this.#nameOf(objectGUID);
    if (!sameName(from, to)) {
      this.#freed.add(from);
      this.#unsettled.add(objectGUID);
    }
    const principalName = withPrincipalName ? { userPrincipalName: this.#principalName(to) } : {};
    await this.#change(objectGUID, (guid) => this.#stage.admin.set(guid, { sAMAccountName: to, ...principalName }));
  }

  async #changeCase(objectGUID: string): Promise<void> {
    const name = this.#nameOf(objectGUID);
    await this.#rename(objectGUID, name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase(), false);
  }

  async #swap(): Promise<void> {
    const one = this.#someone();
    const other = this.#random.pick([...this.#subjects].filter((guid) => guid !== one));
    const names = [this.#nameOf(one), this.#nameOf(other)] as const;
    if (names.some((name) => this.#buried.has(name.toLowerCase()))) return this.#rename(one, this.#freshName());
    await this.#rename(one, this.#freshName());
    await this.#rename(other, names[0]);
    await this.#rename(one, names[1]);
  }

  async #reuse(): Promise<void> {
    const objectGUID = this.#someone();
    await this.#rename(objectGUID, this.#freedName(objectGUID) ?? this.#freshName());
  }

  async #create(sAMAccountName: string): Promise<void> {
    const since = performance.timeOrigin + performance.now();
    const { objectGUID } = await this.#stage.admin.create({
      sAMAccountName,
      cn: `Person ${this.#freshName()}`,
      parent: this.#random.pick(PARENTS),
      attributes: { displayName: `New ${sAMAccountName}` },
    });
    await this.#population.note(objectGUID, since);
    this.#subjects.add(objectGUID);
  }

  /** Not of somebody whose record may be parked at this moment: there would be no right name for it any more. */
  async #delete(): Promise<void> {
    const { records } = this.#population;
    const possible = [...this.#subjects].filter((guid) => !records.has(guid) || !this.#unsettled.has(guid));
    if (possible.length === 0) return this.#create(this.#freshName());
    const objectGUID = this.#random.pick(possible);
    const name = this.#nameOf(objectGUID);
    this.#freed.add(name);
    if (records.has(objectGUID)) this.#buried.add(name.toLowerCase());
    this.#subjects.delete(objectGUID);
    await this.#change(objectGUID, (guid) => this.#stage.admin.delete(guid));
  }

  async #profile(): Promise<void> {
    const text = `Text ${this.#freshName()}`;
    const changes = [
      { displayName: text },
      { givenName: 'Jo', sn: text },
      { mail: `${this.#freshName()}@example.test` },
      { displayName: null },
    ];
    await this.#set(this.#random.pick<Record<string, string | null>>(changes));
  }

  async #set(attributes: Readonly<Record<string, string | null>>): Promise<void> {
    await this.#change(this.#someone(), (guid) => this.#stage.admin.set(guid, attributes));
  }
}
