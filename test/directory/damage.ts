import { BerReader, BerWriter } from 'ldapts';
import type { Random } from '../support/chain-random.ts';
import { BIND, DIRSYNC, dirSyncDone, NOTIFICATION, PAGED_RESULTS, SEARCH } from '../support/fake-domain-controller.ts';
import {
  type Attributes,
  bindResponse,
  extendedResponse,
  type LdapRequest,
  noticeOfDisconnection,
  searchDone,
  searchEntry,
  searchReference,
} from '../support/ldap-server.ts';

/** What is asked when an answer is damaged; `wake` is not asked for. */
export type Stage = 'logon' | 'rootDse' | 'opening' | 'registration' | 'wake' | 'read' | 'object';

export function stageOf({ operation, baseDN, controls, attributes }: LdapRequest): Stage | undefined {
  if (operation === BIND) return 'logon';
  if (operation !== SEARCH) return undefined;
  if (controls.has(DIRSYNC) || controls.has(PAGED_RESULTS)) return 'read';
  if (controls.has(NOTIFICATION)) return 'registration';
  if (baseDN === '') return 'rootDse';
  return attributes.includes('objectGUID') ? 'object' : 'opening';
}

/** The way to the client of a server that is out of order. */
export interface Wire {
  write(...bytes: readonly Buffer[]): void;
  end(): void;
  reset(): void;
  /** Until the connection is gone or the round is over. */
  every(milliseconds: number, step: () => void): void;
}

/** A right answer that is not going to arrive as it is: its messages, the last of which ends it. */
export interface Answered {
  readonly id: number;
  readonly stage: Stage;
  readonly messages: readonly Buffer[];
  /** An entry of an account that there is, with a name that it does not have. */
  lie(id: number): Buffer;
}

export interface Damage {
  readonly name: string;
  /** Those of it that it can be done to; absent: any. */
  readonly stages?: readonly Stage[];
  strike(answer: Answered, wire: Wire, random: Random): void;
}

const SEARCHES: readonly Stage[] = ['rootDse', 'opening', 'read', 'object'];
const OPENING: readonly Stage[] = ['rootDse', 'opening'];
/** Codes that say of one object that it cannot be had: then it is set aside, as SPEC rule 9 has it. */
const OF_ONE_OBJECT = [10, 32, 34, 50, 53];
const CODES = [1, 2, 3, 4, 7, 8, 10, 11, 12, 14, 16, 32, 34, 49, 50, 51, 52, 53, 68, 80, 118, 4_096, -1];
const DIAGNOSTICS = [
  '',
  'no\0\0',
  '0000203D: LdapErr: DSID-0C090B1B, comment: Error processing control, data 0, v4563\0',
  '0000202C: Unable to unmarshall cookie',
  'AcceptSecurityContext error, data 775, v4563\0',
  `${'long '.repeat(20_000)}\u0000\u001b[2J\n`,
];
const USELESS_ENTRIES: readonly Attributes[] = [
  {},
  { objectGUID: [] },
  { objectGUID: [Buffer.alloc(15)] },
  { objectGUID: [Buffer.alloc(16), Buffer.alloc(16, 1)], sAMAccountName: ['nobody'] },
  // Of an object that is nowhere to be found.
  { objectGUID: [Buffer.alloc(16, 0xee)], displayName: ['Nobody'] },
  { objectGUID: [Buffer.alloc(16, 0xee)], isDeleted: ['TRUE'], sAMAccountName: ['nobody'] },
  { '\0': ['\0'], 'displayName\0': ['nobody'] },
];

export const DAMAGES: readonly Damage[] = [
  { name: 'silence', strike: () => {} },
  { name: 'closed', strike: (_, wire, random) => over(wire, random) },
  {
    name: 'cut off anywhere',
    strike: ({ messages }, wire, random) => {
      const bytes = Buffer.concat(messages);
      wire.write(bytes.subarray(0, random.below(bytes.length)));
      if (random.chance(0.7)) over(wire, random);
    },
  },
  {
    name: 'closed after the answer',
    strike: ({ messages }, wire, random) => {
      wire.write(...messages);
      over(wire, random);
    },
  },
  {
    name: 'a message whose inside is cut off',
    strike: ({ messages }, wire, random) => {
      const which = random.below(messages.length);
      wire.write(
        ...messages.slice(0, which),
        framed(cutInside(content(messages[which] ?? Buffer.alloc(2)), random)),
        ...messages.slice(which + 1),
      );
    },
  },
  {
    name: 'a length that cannot be',
    strike: (_, wire, random) => {
      const length = random.pick([[0x80], [0x84, 0xff, 0xff, 0xff, 0xff], [0x85, 1, 0, 0, 0, 0], [0x88, 1, 1, 1, 1, 1, 1, 1, 1], [0xff]]);
      wire.write(Buffer.from([0x30, ...length]), Buffer.alloc(random.below(100)));
    },
  },
  {
    name: 'a length of megabytes that do not come',
    strike: (_, wire) => wire.write(Buffer.from([0x30, 0x84, 0x00, 0xf0, 0x00, 0x00, 0x02, 0x01])),
  },
  {
    name: 'what is not LDAP',
    strike: (_, wire, random) => wire.write(Buffer.from(random.pick(['HTTP/1.1 400 Bad Request\r\n\r\n', '\0', '0\0', '\x16\x03\x01']))),
  },
  {
    name: 'under another id',
    strike: ({ id, messages }, wire, random) => {
      const other = random.pick([id + 1_000, -id, 2 ** 31 - 1, 0]);
      wire.write(...messages.map((message) => withId(message, other)));
    },
  },
  {
    name: 'with its end under another id',
    stages: SEARCHES,
    strike: ({ id, messages }, wire) => wire.write(...messages.slice(0, -1), withId(messages.at(-1) ?? Buffer.alloc(0), id + 7)),
  },
  {
    name: 'references without end',
    stages: [...SEARCHES, 'registration'],
    strike: ({ id }, wire) =>
      wire.every(50, () => wire.write(...Array<Buffer>(20).fill(searchReference(id, 'ldap://elsewhere.example.test/DC=x')))),
  },
  {
    name: 'messages to nobody without end',
    strike: ({ id, lie }, wire) => wire.every(50, () => wire.write(lie(id + 99), searchDone(id + 99), extendedResponse(0, 0, '', '1.2.3'))),
  },
  {
    name: 'drop by drop',
    strike: ({ messages }, wire, random) => {
      const bytes = Buffer.concat(messages);
      const size = Math.max(1, Math.ceil(bytes.length / 150));
      let at = 0;
      wire.every(random.pick([1, 20, 400, 3_000]), () => {
        wire.write(bytes.subarray(at, at + size));
        at += size;
      });
    },
  },
  {
    name: 'in pieces',
    strike: ({ messages }, wire, random) => {
      for (let rest = Buffer.concat(messages); rest.length > 0; ) {
        const size = 1 + random.below(40);
        wire.write(rest.subarray(0, size));
        rest = rest.subarray(size);
      }
    },
  },
  {
    name: 'twice',
    stages: [...SEARCHES, 'logon', 'wake'],
    strike: ({ messages }, wire, random) => {
      const entries = messages.slice(0, -1);
      wire.write(
        ...(random.chance(0.5) ? [...entries, ...messages] : [...entries.flatMap((entry) => [entry, entry]), ...messages.slice(-1)]),
      );
      if (random.chance(0.5)) wire.write(...messages);
    },
  },
  {
    name: 'an answer to another question',
    strike: ({ id, stage }, wire, random) =>
      wire.write(stage === 'logon' ? searchDone(id) : random.pick([bindResponse(id), extendedResponse(id)])),
  },
  {
    name: 'unsolicited messages before it',
    strike: ({ id, messages, lie }, wire, random) => {
      const unsolicited = [
        lie(0),
        lie(id + 1_000),
        extendedResponse(0, 0, 'hello\0', '1.2.3.4'),
        extendedResponse(0, 53),
        searchEntry(0, 'CN=x', { objectGUID: [Buffer.alloc(16)] }),
        searchDone(0, 80),
        searchReference(0, ''),
        framed(Buffer.from([0x02, 0x01, id & 0x7f, 0x79, 0x00])),
      ];
      wire.write(random.pick(unsolicited), random.pick(unsolicited), ...messages);
    },
  },
  {
    name: 'a notice of disconnection',
    strike: ({ messages }, wire, random) => {
      wire.write(noticeOfDisconnection(random.pick([51, 52, 80]), 'going\0down\n'), ...messages);
      if (random.chance(0.5)) over(wire, random);
    },
  },
  {
    name: 'another result',
    stages: [...SEARCHES, 'registration'],
    strike: ({ id, stage, messages }, wire, random) => {
      const code = random.pick(CODES.filter((each) => stage !== 'object' || !OF_ONE_OBJECT.includes(each)));
      wire.write(...messages.slice(0, random.below(messages.length)), searchDone(id, code, random.pick(DIAGNOSTICS)));
    },
  },
  {
    name: 'an object that cannot be had',
    stages: ['object'],
    strike: ({ id }, wire, random) => wire.write(searchDone(id, random.pick(OF_ONE_OBJECT), random.pick(DIAGNOSTICS))),
  },
  {
    name: 'another object',
    stages: ['object'],
    strike: ({ id }, wire) =>
      wire.write(
        searchEntry(id, 'CN=Other', {
          objectGUID: [Buffer.alloc(16, 0xdd)],
          objectClass: ['user'],
          sAMAccountName: ['other'],
          userAccountControl: ['512'],
        }),
        searchDone(id),
      ),
  },
  {
    name: 'a refused logon',
    stages: ['logon'],
    strike: ({ id }, wire, random) => wire.write(bindResponse(id, random.pick(CODES), random.pick(DIAGNOSTICS))),
  },
  { name: 'no entry', stages: OPENING, strike: ({ id }, wire) => wire.write(searchDone(id)) },
  {
    name: 'an entry without most of it',
    stages: OPENING,
    strike: ({ id }, wire, random) =>
      wire.write(
        searchEntry(
          id,
          '',
          random.pick<Attributes>([
            {},
            { highestCommittedUSN: ['many\0'] },
            { invocationId: ['short'] },
            { nETBIOSName: [] },
            { currentTime: ['99999999999999.0Z'] },
          ]),
        ),
        searchDone(id),
      ),
  },
  {
    name: 'the registration ended',
    stages: ['registration', 'wake'],
    strike: ({ id }, wire, random) => wire.write(searchDone(id, random.pick([0, 3, 11, 51]))),
  },
  { name: 'no control', stages: ['read'], strike: ({ id, messages }, wire) => wire.write(...messages.slice(0, -1), searchDone(id)) },
  {
    name: 'another control, or one that cannot be read',
    stages: ['read'],
    strike: ({ id, messages }, wire, random) => {
      const value = random.pick([
        Buffer.alloc(0),
        Buffer.from('xx'),
        Buffer.from('3005020101', 'hex'),
        Buffer.from('30840fffffff', 'hex'),
        Buffer.alloc(5_000, 0x30),
      ]);
      wire.write(...messages.slice(0, -1), searchDone(id, 0, '', { [random.pick([DIRSYNC, '1.2.840.113556.1.4.319'])]: value }));
    },
  },
  {
    name: 'an empty cookie',
    stages: ['read'],
    strike: ({ id, messages }, wire, random) => wire.write(...messages.slice(0, -1), dirSyncDone(id, '', random.chance(0.5))),
  },
  {
    name: 'a cookie of no use',
    stages: ['read'],
    strike: ({ id, messages }, wire, random) =>
      wire.write(...messages.slice(0, -1), dirSyncDone(id, random.pick(['\0', 'MSDS', 'x'.repeat(50_000)]), random.chance(0.3))),
  },
  { name: 'more to come, and nothing of it', stages: ['read'], strike: ({ id }, wire) => wire.write(dirSyncDone(id, 'MSDS again', true)) },
  {
    name: 'entries of no use',
    stages: ['read', 'wake'],
    strike: ({ id, messages }, wire, random) => {
      const useless = Array.from({ length: 1 + random.below(20) }, () =>
        searchEntry(id, random.pick(['', 'CN=x\0,', '\0ADEL:']), random.pick(USELESS_ENTRIES)),
      );
      wire.write(...useless, ...messages);
    },
  },
];

function over(wire: Wire, random: Random): void {
  if (random.chance(0.5)) wire.end();
  else wire.reset();
}

/** What stands in the outermost sequence. */
function content(message: Buffer): Buffer {
  const reader = new BerReader(message);
  reader.readSequence();
  return message.subarray(reader.offset);
}

function framed(inside: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(inside.length);
  return Buffer.concat([Buffer.from([0x30, 0x84]), length, inside]);
}

/** Within the operation, so that no whole one is left. */
function cutInside(inside: Buffer, random: Random): Buffer {
  const reader = new BerReader(inside);
  reader.readInt();
  reader.readSequence();
  return inside.subarray(0, random.below(reader.offset + reader.length));
}

function withId(message: Buffer, id: number): Buffer {
  const inside = content(message);
  const reader = new BerReader(inside);
  reader.readInt();
  const writer = new BerWriter();
  writer.writeInt(id);
  return framed(Buffer.concat([writer.buffer, inside.subarray(reader.offset)]));
}
