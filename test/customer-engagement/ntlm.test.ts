import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { md4 } from '../../src/customer-engagement/ntlm/md4.ts';
import { authenticateMessage, negotiateMessage, parseChallenge } from '../../src/customer-engagement/ntlm/messages.ts';

describe('MD4', () => {
  // RFC 1320, A.5.
  test.each([
    ['', '31d6cfe0d16ae931b73c59d7e0c089c0'],
    ['a', 'bde52cb31de33e46245e05fbdbd6fb24'],
    ['abc', 'a448017aaf21d8525fc10ae87aa6729d'],
    ['message digest', 'd9130a8164549fe818874806e1c7014b'],
    ['abcdefghijklmnopqrstuvwxyz', 'd79e1c308aa5bbcdeea8ed63df412da9'],
    ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', '043f8582f241db351ce627e153e7f0e4'],
    ['12345678901234567890123456789012345678901234567890123456789012345678901234567890', 'e33b4ddc9c38f2199c3e7b164fcc0536'],
  ])('of %j', (text, digest) => {
    expect(md4(Buffer.from(text)).toString('hex')).toBe(digest);
  });
});

const CREDENTIALS = { user: 'svc', domain: 'CORP', password: 'pass:wörd' };

function challengeWith(pairs: Buffer): Buffer {
  const head = Buffer.alloc(48);
  head.write('NTLMSSP\0', 'latin1');
  head.writeUInt32LE(2, 8);
  head.writeUInt16LE(pairs.length, 40);
  head.writeUInt16LE(pairs.length, 42);
  head.writeUInt32LE(48, 44);
  return Buffer.concat([head, pairs]);
}

describe('NTLM messages', () => {
  test('bind the logon to the certificate of the server (Extended Protection)', () => {
    const challenge = parseChallenge(challengeWith(Buffer.alloc(4)));
    const certificate = Buffer.from('a certificate');
    const bound = authenticateMessage(negotiateMessage(), challenge, CREDENTIALS, { spn: 'HTTP/crm', certificate });
    const data = Buffer.concat([Buffer.from('tls-server-end-point:'), createHash('sha256').update(certificate).digest()]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(data.length);
    const binding = createHash('md5')
      .update(Buffer.concat([Buffer.alloc(16), length, data]))
      .digest();
    expect(bound.includes(Buffer.concat([Buffer.from([10, 0, 16, 0]), binding]))).toBe(true);
    expect(bound.includes(Buffer.from('HTTP/crm', 'utf16le'))).toBe(true);
  });

  test('hold no password, and are different each time', () => {
    const challenge = parseChallenge(challengeWith(Buffer.alloc(4)));
    const make = () => authenticateMessage(negotiateMessage(), challenge, CREDENTIALS, { spn: 'HTTP/crm', certificate: undefined });
    expect(make().includes(Buffer.from(CREDENTIALS.password, 'utf16le'))).toBe(false);
    expect(make().equals(make())).toBe(false);
  });

  test('whatever a server sends is a challenge, or an error that says what it is not', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.uint8Array({ maxLength: 100 }).map((pairs) => challengeWith(Buffer.from(pairs))),
        ),
        (bytes) => {
          try {
            parseChallenge(Buffer.from(bytes));
          } catch (error) {
            expect(error).toMatchObject({ message: expect.stringMatching(/NTLM challenge/) });
          }
        },
      ),
    );
  });
});
