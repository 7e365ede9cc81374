import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { guidBytes, guidText, sidText } from '../../src/directory/identifiers.ts';

describe('guidText', () => {
  it('swaps the first three fields', () => {
    expect(guidText(Buffer.from('00112233445566778899aabbccddeeff', 'hex'))).toBe('33221100-5544-7766-8899-aabbccddeeff');
  });

  it('holds every byte once, in lower case', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const text = guidText(Buffer.from(bytes)) ?? '';
        expect(text).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        const [a = '', b = '', c = '', d = '', e = ''] = text.split('-');
        const back = [a, b, c].map((field) => Buffer.from(field, 'hex').reverse().toString('hex')).join('') + d + e;
        expect(back).toBe(Buffer.from(bytes).toString('hex'));
      }),
    );
  });

  it('knows no other length', () => {
    expect(guidText(Buffer.alloc(15))).toBeUndefined();
    expect(guidText(Buffer.alloc(17))).toBeUndefined();
    expect(guidText(undefined)).toBeUndefined();
  });
});

describe('guidBytes', () => {
  it('gives the bytes back that a text came from', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(guidBytes(guidText(Buffer.from(bytes)) ?? '')).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('takes nothing but a GUID', () => {
    expect(() => guidBytes('x')).toThrow(TypeError);
    expect(() => guidBytes('33221100-5544-7766-8899-aabbccddeeff)(objectClass=*')).toThrow(TypeError);
  });
});

describe('sidText', () => {
  const sid = (hex: string) => sidText(Buffer.from(hex, 'hex'));

  it.each([
    ['01020000000000052000000020020000', 'S-1-5-32-544'],
    ['010500000000000515000000ffffffff010000000200000054040000', 'S-1-5-21-4294967295-1-2-1108'],
    ['010100000000000100000000', 'S-1-1-0'],
    ['010101000000000000000000', 'S-1-0x010000000000-0'],
    ['0100000000000005', 'S-1-5'],
  ])('%s is %s', (hex, text) => {
    expect(sid(hex)).toBe(text);
  });

  it.each(['', '0102', '0201000000000005', '01020000000000052000000020', '0110000000000005'])('%s is none', (hex) => {
    expect(sid(hex)).toBeUndefined();
  });
});
