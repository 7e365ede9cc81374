import { createHash } from 'node:crypto';
import { cookieValue, type DirSyncCookie, metadataValue, readCookie, sidBytes } from '../support/directory-values.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { DIRSYNC, dirSyncDone, FakeDomainController, readRequestCookie } from '../support/fake-domain-controller.ts';
import { type LdapClient, type LdapRequest, searchDone, searchEntry } from '../support/ldap-server.ts';

/** Nobody has a lower uSNChanged. */
const FIRST_USN = 10_000;
/** Entries that are made and sent at once. */
const CHUNK = 50;
/** 2026, in seconds since 1601. */
const WRITTEN = 13_411_612_800;
const SID = 'S-1-5-21-1004336348-1177238915-682003330';
const GIVEN_NAMES = ['Aleksandra', 'Bartholomew', 'Chiara', 'Daniel', 'Esra', 'François', 'Guðrún', 'Hannah', 'Ibrahim', 'Jo'];
const SURNAMES = [
  'Andersson',
  'Brandão',
  'Castellanos',
  'Dąbrowski',
  'Eriksen',
  'Fitzgerald',
  'Nguyen',
  'Oyelaran',
  'Sato',
  'Vandenberghe',
  'Wu',
];
const PLACES = ['Amsterdam', 'Berlin', 'Kraków', 'Lagos', 'São Paulo', 'Singapore', 'Wien'];
const PERSON = ['top', 'person', 'organizationalPerson', 'user'];

interface Renamed {
  readonly sAMAccountName: string;
  readonly usn: number;
  readonly version: number;
}

/**
 * A domain controller with any number of users, each made up when it is asked for: from its number, and from what it was renamed to
 * since. Everything else of a domain is as the tests have it.
 */
export class Crowd {
  readonly #users: number;
  /** Objects of one DirSync answer at most: Active Directory gives a thousand, Samba all. */
  readonly #perAnswer: number;
  readonly #directory = new FakeDirectory();
  readonly #controller = new FakeDomainController(this.#directory);
  readonly #head: string;
  readonly #renamed = new Map<number, Renamed>();

  constructor(users: number, perAnswer: number) {
    this.#users = users;
    this.#perAnswer = perAnswer;
    const { namingContext } = this.#directory;
    this.#head = this.#directory.objects().find(({ dn }) => dn === namingContext)?.objectGUID ?? '';
    this.#directory.modify(this.#head, { objectSid: sidBytes(SID) });
    this.#directory.highestCommittedUSN = FIRST_USN + users;
  }

  /** For LdapServer.start. */
  readonly answer = async (request: LdapRequest, client: LdapClient): Promise<void> => {
    const numbers = this.#askedFor(request);
    if (request.controls.has(DIRSYNC)) await this.#dirSync(request, client);
    else if (numbers === undefined) this.#controller.answer(request, client);
    else client.send(...numbers.map((number) => this.#whole(request.id, number)), searchDone(request.id));
  };

  /** @param number from 1 */
  rename(number: number, sAMAccountName: string): void {
    const version = (this.#renamed.get(number)?.version ?? 1) + 1;
    this.#renamed.set(number, { sAMAccountName, usn: this.#directory.highestCommittedUSN + 1, version });
    // Whoever waits for a notification is told that something changed, not what.
    this.#directory.modify(this.#head, { description: sAMAccountName });
  }

  /** Those of a read by objectGUID; undefined for any other search. */
  #askedFor({ filter }: LdapRequest): number[] | undefined {
    if (filter?.type !== 'or') return undefined;
    const guids = filter.filters.flatMap((each) => (each.type === 'equal' && each.attribute === 'objectGUID' ? [each.value] : []));
    if (guids.length < filter.filters.length) return undefined;
    return guids.map(numberOf).filter((number) => number >= 1 && number <= this.#users);
  }

  /** A read of everything goes by number; nobody is renamed meanwhile. */
  async #dirSync({ id, controls }: LdapRequest, client: LdapClient): Promise<void> {
    const { invocationId, highestCommittedUSN } = this.#directory;
    const cookie = readCookie(readRequestCookie(controls.get(DIRSYNC) ?? Buffer.alloc(0)));
    const end: DirSyncCookie = { invocationId, highest: highestCommittedUSN, vector: this.#directory.vector() };
    if (cookie !== undefined && cookie.vector.size > 0) {
      const due = [...this.#renamed].filter(([, { usn }]) => usn > cookie.highest);
      client.send(...due.map(([number, { sAMAccountName }]) => this.#delta(id, number, sAMAccountName)), dirSyncDone(id, cookieValue(end)));
      return;
    }
    const first = cookie === undefined ? 1 : cookie.highest - FIRST_USN + 1;
    const last = Math.min(this.#users, first + this.#perAnswer - 1);
    for (let from = first; from <= last; from += CHUNK) {
      const count = Math.min(CHUNK, last - from + 1);
      const entries = Array.from({ length: count }, (_, index) => this.#whole(id, from + index, false));
      if (!client.send(...entries)) await client.drained();
      if (client.closed) return;
    }
    const more = last < this.#users;
    const next = more ? { invocationId, highest: FIRST_USN + last, vector: new Map() } : end;
    client.send(dirSyncDone(id, cookieValue(next), more));
  }

  #delta(id: number, number: number, sAMAccountName: string): Buffer {
    return searchEntry(id, this.#user(number).dn, {
      objectGUID: [guidBytesOf(number)],
      instanceType: ['4'],
      sAMAccountName: [sAMAccountName],
    });
  }

  #whole(id: number, number: number, withMetadata = true): Buffer {
    const { dn, attributes } = this.#user(number);
    const { invocationId } = this.#directory;
    const stamp = { version: 1, time: WRITTEN, invocationId, usn: FIRST_USN + number, localUsn: FIRST_USN + number };
    const { usn, version } = this.#renamed.get(number) ?? { usn: FIRST_USN + number, version: 1 };
    const stamps = Object.keys(attributes).map((type) => {
      const isName = type === 'sAMAccountName';
      return [type, isName ? { ...stamp, version, usn, localUsn: usn } : stamp] as const;
    });
    return searchEntry(id, dn, {
      objectGUID: [guidBytesOf(number)],
      instanceType: ['4'],
      ...attributes,
      ...(withMetadata && { replPropertyMetaData: [metadataValue(stamps)] }),
    });
  }

  #user(number: number) {
    const { namingContext } = this.#directory;
    const givenName = GIVEN_NAMES[number % GIVEN_NAMES.length] ?? '';
    const sn = SURNAMES[number % SURNAMES.length] ?? '';
    const place = PLACES[number % PLACES.length] ?? '';
    const displayName = `${sn}, ${givenName} (${place}) ${number}`;
    const mail = `given.surname.${number}@corp.example.test`;
    return {
      dn: `CN=${displayName.replace(',', '\\,')},OU=${place},OU=People,${namingContext}`,
      attributes: {
        objectClass: PERSON,
        objectSid: [sidBytes(`${SID}-${1_000 + number}`)],
        sAMAccountName: [this.#renamed.get(number)?.sAMAccountName ?? `user${String(number).padStart(6, '0')}`],
        userAccountControl: ['512'],
        userPrincipalName: [mail],
        displayName: [displayName],
        givenName: [givenName],
        sn: [sn],
        mail: [mail],
      },
    };
  }
}

/** In no order, as objectGUIDs are; its last bytes are the number. */
function guidBytesOf(number: number): Buffer {
  const bytes = createHash('md5').update(String(number)).digest();
  bytes.writeUInt32BE(number, 12);
  return bytes;
}

function numberOf(guid: Buffer): number {
  return guid.readUInt32BE(12);
}
