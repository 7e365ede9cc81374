import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BerError } from '../../src/directory/ber.ts';
import { MessageFramer } from '../../src/directory/framing.ts';

/** A message with the length written in the shortest form, or in one of the longer ones that BER allows. */
function message(content: Uint8Array, lengthBytes: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  const needed = content.length < 0x80 ? 0 : content.length < 0x100 ? 1 : 2;
  const count = Math.max(needed, lengthBytes);
  const header = count === 0 ? [0x30, content.length] : [0x30, 0x80 | count, ...length.subarray(4 - count)];
  return Buffer.concat([Buffer.from(header), content]);
}

const messages = fc.array(fc.tuple(fc.uint8Array({ maxLength: 700 }), fc.nat(4)).map(([content, count]) => message(content, count)));

describe('MessageFramer', () => {
  it('gives the same messages however the stream is split', () => {
    fc.assert(
      fc.property(messages, fc.array(fc.nat(4000)), (whole, cuts) => {
        const stream = Buffer.concat(whole);
        const edges = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
        const framer = new MessageFramer();
        // Copies, as a socket gives: nothing may depend on the bytes of an earlier chunk staying where they are.
        const got = edges.slice(1).flatMap((edge, i) => {
          const chunk = Buffer.from(stream.subarray(edges[i], edge));
          const found = framer.push(chunk).map((each) => Buffer.from(each));
          chunk.fill(0xff);
          return found;
        });
        expect(got).toEqual(whole);
        expect(framer.incomplete).toBe(false);
      }),
    );
  });

  it('takes a message byte by byte', () => {
    const whole = message(new Uint8Array(300).fill(7), 0);
    const framer = new MessageFramer();
    const got = [...whole].flatMap((byte) => framer.push(Buffer.of(byte)));
    expect(got).toEqual([whole]);
  });

  it('refuses a message larger than allowed by its header alone', () => {
    const framer = new MessageFramer(1000);
    expect(() => framer.push(Buffer.from([0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]))).toThrow(BerError);
    expect(new MessageFramer(1000).push(message(new Uint8Array(996), 2))).toHaveLength(1);
    expect(() => new MessageFramer(1000).push(message(new Uint8Array(997), 2))).toThrow('1001 bytes');
  });

  it.each([
    ['no sequence', [0x48, 0x54, 0x54, 0x50]],
    ['an indefinite length', [0x30, 0x80, 0, 0]],
    ['a length of nine bytes', [0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
  ])('refuses %s', (_, bytes) => {
    expect(() => new MessageFramer().push(Buffer.from(bytes))).toThrow(BerError);
  });
});
