import { expect, it } from 'vitest';
import { lastHeard } from '../../src/directory/last-heard.ts';
import { invocationId, vectorOf } from './scripted-dcs.ts';

const AT = Date.UTC(2026, 0, 2, 3, 4, 5);
const head = (type: string, ...values: (Buffer | string)[]) => ({
  dn: 'DC=corp',
  attributes: [{ type, values: values.map((value) => Buffer.from(value)) }],
});
const inWords = (id: string, time: string) =>
  `<DS_REPL_CURSOR><uuidSourceDsaInvocationID>${id}</uuidSourceDsaInvocationID><usnAttributeFilter>7</usnAttributeFilter>
<ftimeLastSyncSuccess>${time}</ftimeLastSyncSuccess></DS_REPL_CURSOR>`;

it.each(['seconds', 'ticks'] as const)('is read from a vector with %s', (unit) => {
  const cursors = [
    { n: 2, usn: 7, at: AT },
    { n: 3, usn: 8, at: AT - 1_000 },
  ];
  expect([...lastHeard(head('replUpToDateVector', vectorOf(cursors, unit)))]).toEqual([
    [invocationId(2).text, AT],
    [invocationId(3).text, AT - 1_000],
  ]);
});

it('is read from partners, where Samba has it alone', () => {
  const partner = Buffer.alloc(274);
  partner.writeUInt32LE(1, 0);
  partner.writeBigUInt64LE(BigInt(AT / 1_000) + 11_644_473_600n, 16);
  invocationId(2).bytes.copy(partner, 176);
  const vector = vectorOf(
    [
      { n: 2, usn: 7, at: 0 },
      { n: 3, usn: 7, at: 0 },
    ],
    'ticks',
  );
  const both = {
    dn: 'DC=corp',
    attributes: [
      { type: 'repsFrom', values: [partner] },
      { type: 'replUpToDateVector', values: [vector] },
    ],
  };
  expect([...lastHeard(both)]).toEqual([[invocationId(2).text, AT]]);
});

it('is the latest of several', () => {
  const times = [AT - 1_000, AT, AT - 2_000].map((at) => vectorOf([{ n: 2, usn: 7, at }]));
  expect([...lastHeard(head('replUpToDateVector', ...times))]).toEqual([[invocationId(2).text, AT]]);
});

it('is read from words', () => {
  const { text } = invocationId(10);
  const values = [inWords(text.toUpperCase(), '2026-01-02T03:04:05Z'), inWords(invocationId(3).text, 'never'), '<DS_REPL_CURSOR/>'];
  expect([...lastHeard(head('msDS-NCReplCursors', ...values))]).toEqual([[text, AT]]);
});

it.each<[string, Parameters<typeof lastHeard>[0]]>([
  ['no entry', undefined],
  ['an empty value', head('replUpToDateVector', '')],
  ['a version without times', head('replUpToDateVector', Buffer.from('0100000000000000', 'hex'), Buffer.alloc(16, 1))],
  ['a partner cut short', head('repsFrom', Buffer.alloc(180, 1))],
  ['a partner of another version', head('repsFrom', Buffer.alloc(274, 2))],
  ['fewer bytes than are announced', head('replUpToDateVector', vectorOf([{ n: 2, usn: 7, at: AT }]).subarray(0, 47))],
])('is not known from %s', (_, entry) => {
  expect([...lastHeard(entry)]).toEqual([]);
});
