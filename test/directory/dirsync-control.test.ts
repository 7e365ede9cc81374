import fc from 'fast-check';
import { PresenceFilter, SearchRequest } from 'ldapts';
import { expect, it } from 'vitest';
import { BerError } from '../../src/directory/ber.ts';
import { decodeDirSync, encodeDirSync } from '../../src/directory/dirsync.ts';
import { searchRequest } from '../../src/directory/search.ts';

it('asks for everything with a cookie of no bytes', () => {
  expect(encodeDirSync(0, 0x20_0000, Buffer.alloc(0)).toString('hex')).toBe('300a02010002032000000400');
});

it('writes INCREMENTAL_VALUES as a signed 32-bit integer', () => {
  expect(encodeDirSync(0x8000_0000, 0x7fff_ffff, Buffer.from([1])).toString('hex')).toBe(
    '300f' + '020480000000' + '02047fffffff' + '040101',
  );
});

it('gives back what the server says, cookies of any size too', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), fc.nat(300_000), (more, size) => {
      const cookie = Buffer.alloc(size, 0xa5);
      // An answer has the same form as a question.
      const answer = decodeDirSync(encodeDirSync(more, 0, cookie));
      expect(answer.more).toBe(more !== 0);
      expect(answer.cookie.equals(cookie)).toBe(true);
    }),
    { numRuns: 30 },
  );
});

it.each(['', '3000', '30030201', '3006020100020100', '0400'])('refuses %s', (hex) => {
  expect(() => decodeDirSync(Buffer.from(hex, 'hex'))).toThrow(BerError);
});

it('writes message id 128 in two bytes', () => {
  const request = searchRequest(128, {
    baseDN: '',
    scope: 'base',
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: [],
  });
  expect(request).toBeInstanceOf(SearchRequest);
  expect(request.write().subarray(2, 6).toString('hex')).toBe('02020080');
});

it('sets neither a time limit nor a size limit', () => {
  const request = searchRequest(1, { baseDN: '', scope: 'sub', filter: new PresenceFilter({ attribute: 'objectClass' }), attributes: [] });
  expect(request).toMatchObject({ timeLimit: 0, sizeLimit: 0, derefAliases: 'never' });
});
