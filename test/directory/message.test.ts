import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BerError } from '../../src/directory/ber.ts';
import { inWords } from '../../src/directory/failure.ts';
import { type LdapMessage, readEntry, readExtendedName, readMessage, readResult } from '../../src/directory/message.ts';
import { noticeOfDisconnection, searchDone, searchEntry } from '../support/ldap-server.ts';

it('reads an entry, with attributes that have no value', () => {
  const { id, operation, body } = readMessage(searchEntry(128, 'CN=Ann', { sn: ['Lee'], mail: [], objectClass: ['top', 'user'] }));
  expect({ id, operation }).toEqual({ id: 128, operation: 0x64 });
  const text = (values: readonly Buffer[]) => values.map(String);
  const { dn, attributes } = readEntry(body);
  expect(dn).toBe('CN=Ann');
  expect(attributes.map(({ type, values }) => [type, text(values)])).toEqual([
    ['sn', ['Lee']],
    ['mail', []],
    ['objectClass', ['top', 'user']],
  ]);
});

it('reads a result with its controls, and says it on one line', () => {
  const message = readMessage(searchDone(3, 51, 'busy\r\n now\0', { '1.2.3.4': Buffer.from('abc') }));
  expect(message.controls.get('1.2.3.4')?.toString()).toBe('abc');
  expect(inWords(readResult(message.body))).toBe('LDAP result 51: busy now');
});

it('knows a notice of disconnection', () => {
  const { id, body } = readMessage(noticeOfDisconnection(52, 'going down'));
  expect(id).toBe(0);
  readResult(body);
  expect(readExtendedName(body)).toBe('1.3.6.1.4.1.1466.20036');
});

it('answers damage with BerError only, and never reads on for ever', () => {
  const readers: ((message: LdapMessage) => unknown)[] = [
    (m) => readEntry(m.body),
    (m) => readResult(m.body),
    (m) => readExtendedName(m.body),
  ];
  const good = searchEntry(7, 'CN=Ann Lee,DC=corp', { sn: ['Lee'], objectGUID: [Buffer.alloc(16)], mail: [] });
  const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(damage, fc.constantFrom(...readers), (changes, read) => {
      const bytes = Buffer.from(good);
      for (const [offset, value] of changes) bytes[offset] = value;
      try {
        read(readMessage(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(BerError);
      }
    }),
    { numRuns: 2000 },
  );
});
