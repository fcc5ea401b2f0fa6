import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ByteReader, ByteWriter, CodecGarbage } from './byte-cursor.js';
import { FrameProtocol, openFrame, sealFrame } from './checked-frame.js';
import { crc32c } from './crc32c.js';

describe('crc32c', () => {
  it('gives the values of RFC 3720, appendix B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8_ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe(0x46dd_794e);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe306_9283);
  });

  it('can be taken in pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
        const cut = Math.min(at, bytes.length);
        expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(crc32c(bytes));
      }),
    );
  });
});

describe('fields', () => {
  it('come back as they were written', () => {
    const integers = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(integers, fc.string({ maxLength: 300 }), fc.uint8Array(), (number, text, bytes) => {
        const reader = new ByteReader(new ByteWriter(1).u64(number).text(text).bytes(bytes).u8(1).finish());
        expect(reader.u64()).toBe(number);
        expect(reader.text(2_000)).toBe(Buffer.from(text).toString());
        expect(Buffer.compare(reader.bytes(1_000), bytes)).toBe(0);
        expect(reader.boolean()).toBe(true);
        reader.end();
      }),
    );
  });

  it('are refused when cut short, forged or too long', () => {
    const bytes = new ByteWriter().text('name').finish();
    expect(() => new ByteReader(bytes.subarray(0, 4)).text(100)).toThrow(CodecGarbage);
    expect(() => new ByteReader(bytes).text(3)).toThrow(CodecGarbage);
    expect(() => new ByteReader(new ByteWriter().u32(0xffff_ffff).finish()).count(1_000_000)).toThrow(
      CodecGarbage,
    );
    expect(() => new ByteReader(Buffer.alloc(8, 255)).u64()).toThrow('2^53');
    expect(() => new ByteReader(bytes).end()).toThrow('too many');
  });
});

describe('a checked frame', () => {
  it('is refused when any one bit of it is wrong', () => {
    const frame = sealFrame(FrameProtocol.Consensus, 1, 3, Buffer.from('a body'));
    expect(openFrame(FrameProtocol.Consensus, 1, frame)).toMatchObject({ kind: 3 });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const damaged = Buffer.from(frame);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => openFrame(FrameProtocol.Consensus, 1, damaged)).toThrow(CodecGarbage);
    }
  });

  it('is refused by another protocol and another version', () => {
    const frame = sealFrame(FrameProtocol.Consensus, 1, 3, Buffer.alloc(0));
    expect(() => openFrame(FrameProtocol.Membership, 1, frame)).toThrow('protocol 2');
    expect(() => openFrame(FrameProtocol.Consensus, 2, frame)).toThrow('version 1');
  });
});
